//! A mount in service, from the first exchange with the kernel to the last thread.
//!
//! The session notices when the mount is taken away from outside (`umount`): its threads end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tintype_fs::vfs::Vfs;

use crate::crew::Life;
use crate::dev;
use crate::error::FuseError;
use crate::flush::Flusher;
use crate::lanes::{self, Parts};
use crate::mount::{self, Place};
use crate::notify::Notifier;
use crate::options::{Choice, Options, Transport};
use crate::serve::{Refused, Service};
use crate::uring::Lane;
use crate::wire::abi::{self, IN_HEADER, init, op};
use crate::wire::init::{Agreement, Offer, Wish, agree, encode};
use crate::wire::reply;
use crate::wire::request::Header;

/// Under io_uring only forgets and interrupts travel through `/dev/fuse`.
const DEV_THREADS_BESIDE_URING: usize = 2;
/// How long a session that is dropped waits for dirty pages and for its threads.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a busy mount is asked again before it counts as busy, and how long after each time.
const BUSY_TRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long the threads of a mount may outlive it.
const DETACHED: Duration = Duration::from_secs(2);

/// What to do when programs still use the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    /// Leave everything as it is and say so.
    Fail,
    /// Take the mount out of sight; it is served until the last program lets go.
    Detach,
}

/// A mount in service. Dropping it unmounts, detaching if it is busy.
#[derive(Debug)]
pub struct Session {
    place: Place,
    life: Arc<Life>,
    notifier: Arc<Notifier>,
    flusher: Flusher,
    transport: Transport,
    fallback: Option<String>,
}

impl Session {
    /// Mounts `vfs` at `dir` and serves it on threads of its own. When this returns, the mount is
    /// usable.
    ///
    /// # Errors
    /// Any [`FuseError`] about the device, the mount point or the first exchange; nothing stays
    /// mounted then.
    pub fn mount(vfs: Arc<dyn Vfs>, dir: &Path, options: &Options) -> Result<Self, FuseError> {
        let (device, place) = mount::mount(dir, options)?;
        let started = Self::start(vfs, Arc::new(device), place.clone(), options);
        if started.is_err() {
            drop(place.unmount(true));
        }
        started
    }

    fn start(
        vfs: Arc<dyn Vfs>,
        device: Arc<OwnedFd>,
        place: Place,
        options: &Options,
    ) -> Result<Self, FuseError> {
        let greeting = greet(&device, options)?;
        let refused = Refused { opendir: options.no_opendir, flush: !options.flush };
        let service = Service::new(vfs, greeting.agreed.dialect, refused);
        let life = Arc::new(Life::default());
        let notifier = Notifier::start(Arc::clone(&device)).map_err(FuseError::Thread)?;
        let mut session = Self {
            flusher: Flusher::new(&place.dir, service.writers()),
            place,
            life: Arc::clone(&life),
            notifier,
            transport: Transport::Dev,
            fallback: greeting.refused,
        };
        if let Some(spare) = greeting.spare {
            let depth = options.queue_depth(usize::from(lanes::queue_count()));
            let payload = (greeting.wish.max_write as usize).max(8192);
            let (service, device, life) = (service.clone(), Arc::clone(&device), life.clone());
            let dir = session.place.dir.clone();
            let parts = Parts { service, device, dir, life, payload, depth };
            match lanes::start(&parts, spare) {
                Ok(()) => session.transport = Transport::Uring,
                Err(error) => session.fallback = Some(error.to_string()),
            }
        }
        session.check(options.transport)?;
        let threads = match session.transport {
            Transport::Uring => DEV_THREADS_BESIDE_URING,
            Transport::Dev => options.dev_threads(),
        };
        let crew = dev::crew(service, device, life, greeting.wish.max_write, threads);
        crew.fill().map_err(FuseError::Thread)?;
        if let Some(kib) = options.read_ahead_kib {
            session.place.set_read_ahead(kib);
        }
        Ok(session)
    }

    fn check(&self, choice: Choice) -> Result<(), FuseError> {
        match (&self.fallback, choice) {
            (Some(why), Choice::Uring) => Err(FuseError::Uring(why.clone())),
            (Some(why), Choice::Auto) => {
                tracing::info!(why, "serving through /dev/fuse instead of io_uring");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Where it is mounted, without symlinks.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Which way requests travel.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Why io_uring is not used although it was not ruled out.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Tells the kernel what to forget.
    #[must_use]
    pub fn notifier(&self) -> Arc<Notifier> {
        Arc::clone(&self.notifier)
    }

    /// Makes the kernel hand over the mount's dirty pages.
    #[must_use]
    pub fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Whether the mount is still served; `false` soon after someone unmounted it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.life.is_alive()
    }

    /// Waits until the mount is gone and the last thread has ended; with a limit, returns whether
    /// that came true in time.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        self.life.wait(limit)
    }

    /// Ends the connection under all programs: what they wait for or ask from now on fails. Only root can; for others
    /// nothing happens. The mount still has to be unmounted.
    pub fn abort(&self) {
        self.place.abort();
    }

    /// Unmounts and waits for the threads. A detached busy mount is served on, and this returns
    /// without waiting: see [`Session::wait`].
    ///
    /// # Errors
    /// [`FuseError::Busy`] with [`WhenBusy::Fail`]; [`FuseError::Unmount`] when the system refuses.
    pub fn unmount(&self, when_busy: WhenBusy) -> Result<(), FuseError> {
        match (self.unmount_idle(), when_busy) {
            (Err(FuseError::Busy { dir }), WhenBusy::Detach) => {
                tracing::warn!(dir = %dir.display(), "the mount is busy; detaching it");
                self.flusher.flush(PATIENCE).unwrap_or_else(|error| tracing::error!(%error));
                return self.place.unmount(true);
            }
            (result, _) => result?,
        }
        // Programs that hold a detached mount open keep it alive: the end of the process ends it for them.
        if !self.life.wait(Some(DETACHED)) {
            tracing::warn!("programs still hold a detached mount open; it ends with the server");
        }
        Ok(())
    }

    /// Asks a few times: a file that was just closed may still be held for an instant, by a process on the way from its fork to its exec.
    fn unmount_idle(&self) -> Result<(), FuseError> {
        for _ in 0..BUSY_TRIES {
            match self.place.unmount(false) {
                Err(FuseError::Busy { .. }) => std::thread::sleep(BUSY_PAUSE),
                result => return result,
            }
        }
        self.place.unmount(false)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.unmount(WhenBusy::Detach) {
            tracing::error!(%error, "the mount stays behind");
        }
    }
}

/// What the first exchange brought.
struct Greeting {
    agreed: Agreement,
    wish: Wish,
    /// Present when io_uring was agreed.
    spare: Option<Lane>,
    /// Why it was not, if it was wanted.
    refused: Option<String>,
}

fn greet(device: &OwnedFd, options: &Options) -> Result<Greeting, FuseError> {
    let (header, offer) = loop {
        let (header, offer) = hear(device)?;
        if offer.major <= abi::MAJOR {
            break (header, offer);
        }
        say(device, &header, &[abi::MAJOR.to_ne_bytes(), [0; 4]].concat())?;
    };
    if offer.major < abi::MAJOR || offer.minor < abi::OLDEST_MINOR {
        let (major, minor) = (offer.major, offer.minor);
        let text = format!("the kernel speaks FUSE {major}.{minor}; Linux 5.4 or newer is needed");
        return Err(FuseError::Handshake(text));
    }
    let (spare, refused) = match (options.transport, ring_possible(&offer)) {
        (Choice::Dev, _) => (None, None),
        (_, Ok(lane)) => (Some(lane), None),
        (_, Err(why)) => (None, Some(why)),
    };
    let wish = options.wish(spare.is_some());
    let agreed = agree(&offer, &wish);
    say(device, &header, &encode(&offer, &wish, &agreed))?;
    Ok(Greeting { agreed, wish, spare, refused })
}

fn ring_possible(offer: &Offer) -> Result<Lane, String> {
    if offer.flags & init::OVER_IO_URING == 0 {
        let switch = "/sys/module/fuse/parameters/enable_uring";
        return Err(format!("the kernel does not offer it; as root: echo Y > {switch}"));
    }
    lanes::probe().map_err(|error| format!("this process cannot have rings: {error}"))
}

fn hear(device: &OwnedFd) -> Result<(Header, Offer), FuseError> {
    let failed = |text: String| FuseError::Handshake(text);
    let mut buffer = vec![0; 16 << 10];
    let len = loop {
        match rustix::io::read(device.as_fd(), &mut *buffer) {
            Err(rustix::io::Errno::INTR) => (),
            other => break other.map_err(|error| failed(format!("cannot read: {error}")))?,
        }
    };
    let request = buffer.get(..len).unwrap_or_default();
    let header =
        Header::decode(request).map_err(|_| failed("a request without a header".into()))?;
    let body = request.get(IN_HEADER..).unwrap_or_default();
    match Offer::decode(body) {
        Ok(offer) if header.opcode == op::INIT => Ok((header, offer)),
        _ => Err(failed(format!("expected INIT, got operation {}", header.opcode))),
    }
}

fn say(device: &OwnedFd, header: &Header, body: &[u8]) -> Result<(), FuseError> {
    let head = reply::header(body.len(), 0, header.unique);
    let parts = [io::IoSlice::new(&head), io::IoSlice::new(body)];
    let sent = rustix::io::writev(device.as_fd(), &parts);
    sent.map(drop).map_err(|error| FuseError::Handshake(format!("cannot answer: {error}")))
}
