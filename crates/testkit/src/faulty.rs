//! Places for backup repositories that fail where they are told, and a driver that lets some work meet every such failure.
//!
//! Works around any adapter of the port. What was not finished leaves nothing behind, as in memory, or a part under a temporary name, as in a
//! folder. Operations are counted as they come; with several threads their order may differ from run to run, and every one is met all the same.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use tintype_repo::{Backend, BackendError, FileKind, Id, MemoryBackend};

/// Which operations are counted and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Writing and removing.
    Changes,
    /// Reading and listing.
    Reads,
}

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: operations are only counted.
    None,
    /// It fails and does nothing. Later ones work.
    Once,
    /// It is done, and fails all the same: the answer is lost.
    Unheard,
    /// It and everything after it fail, as for a process that is gone or a place that is cut off.
    Gone,
    /// What is read has a wrong byte. For [`Side::Reads`].
    Bent,
    /// This process ends by SIGKILL before the operation.
    Kill,
    /// This process ends by SIGKILL, and a part of what was to be written lies under a temporary name.
    KillTorn,
}

/// A place around another one.
#[derive(Debug)]
pub struct Faulty<B> {
    inner: B,
    side: Side,
    fault: Fault,
    at: u64,
    count: AtomicU64,
    gone: AtomicBool,
    folder: Option<PathBuf>,
}

impl<B: Backend> Faulty<B> {
    /// Fails at the operation with this number, from 0.
    pub fn new(inner: B, side: Side, fault: Fault, at: u64) -> Self {
        let (count, gone) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { inner, side, fault, at, count, gone, folder: None }
    }

    /// The folder of the repository, where torn files are left.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// How many operations of its side there were.
    pub fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    fn failure(&self, doing: &'static str, kind: FileKind, id: Id) -> BackendError {
        let source = ErrorKind::StorageFull.into();
        BackendError::Io {
            doing,
            object: format!("{kind} {id}"),
            location: self.location(),
            source,
        }
    }

    /// Does one operation, or what the fault makes of it.
    fn meet<T>(
        &self,
        side: Side,
        doing: &'static str,
        (kind, id): (FileKind, Id),
        data: &[u8],
        work: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<(T, bool), BackendError> {
        let failure = || Err(self.failure(doing, kind, id));
        if self.gone.load(SeqCst) {
            return failure();
        }
        let here = side == self.side && self.count.fetch_add(1, SeqCst) == self.at;
        match self.fault {
            Fault::Once if here => failure(),
            Fault::Gone if here => {
                self.gone.store(true, SeqCst);
                failure()
            }
            Fault::Unheard if here => work().and_then(|_| failure()),
            Fault::Kill if here => die(),
            Fault::KillTorn if here => {
                self.tear(kind, id, data);
                die()
            }
            _ => work().map(|done| (done, here && self.fault == Fault::Bent)),
        }
    }

    fn read_any(
        &self,
        kind: FileKind,
        id: Id,
        work: impl FnOnce() -> Result<Vec<u8>, BackendError>,
    ) -> Result<Vec<u8>, BackendError> {
        let (mut bytes, bent) = self.meet(Side::Reads, "read", (kind, id), &[], work)?;
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle).filter(|_| bent) {
            *byte ^= 0x10;
        }
        Ok(bytes)
    }

    /// Leaves the first half under such a name as the adapter for folders uses.
    fn tear(&self, kind: FileKind, id: Id, data: &[u8]) {
        let Some(folder) = self.folder.as_ref().filter(|_| !data.is_empty()) else { return };
        let name = id.to_string();
        let below = match kind {
            FileKind::Config => folder.clone(),
            FileKind::Pack => folder.join("data").join(&name[..2]),
            other => folder.join(other.folder()),
        };
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join(format!("{name}-tmp-1-0")), &data[..data.len() / 2]).unwrap();
    }
}

fn die() -> ! {
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

impl<B: Backend> Backend for Faulty<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<(), BackendError> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, BackendError> {
        let work = || self.inner.list(kind);
        Ok(self.meet(Side::Reads, "list", (kind, Id::default()), &[], work)?.0)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, BackendError> {
        self.read_any(kind, id, || self.inner.read(kind, id))
    }

    fn read_part(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, BackendError> {
        self.read_any(kind, id, || self.inner.read_part(kind, id, offset, len))
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<(), BackendError> {
        let work = || self.inner.write(kind, id, data);
        self.meet(Side::Changes, "write", (kind, id), data, work).map(|((), _)| ())
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<(), BackendError> {
        let work = || self.inner.remove(kind, id);
        self.meet(Side::Changes, "remove", (kind, id), &[], work).map(|((), _)| ())
    }
}

/// One round of [`everywhere`].
#[derive(Clone, Debug)]
pub struct Round {
    /// The place as it really is; its reads and writes work.
    pub real: MemoryBackend,
    /// The place that fails.
    pub faulty: Arc<Faulty<MemoryBackend>>,
    /// Nothing fails in this round.
    pub calm: bool,
    /// What happens in this round, for messages.
    pub when: String,
}

/// Runs `round` on copies of `base`: first without a failure, then once for each fault at each operation, at no more than `most` of them,
/// evenly spread. `round` does the work on [`Round::faulty`] and judges what is left in [`Round::real`]. Answers the number of operations.
pub fn everywhere(
    base: &MemoryBackend,
    side: Side,
    faults: &[Fault],
    most: u64,
    mut round: impl FnMut(&Round),
) -> u64 {
    let mut go = |fault: Fault, at: u64| {
        let real = base.copy();
        let faulty = Arc::new(Faulty::new(real.clone(), side, fault, at));
        let when = format!("{fault:?} at {at} of {side:?}");
        let calm = fault == Fault::None;
        let this = Round { real, faulty, calm, when };
        round(&this);
        this.faulty.count()
    };
    let total = go(Fault::None, 0);
    let step = total.div_ceil(most.max(1)).max(1);
    for fault in faults {
        for at in (0..total).step_by(usize::try_from(step).unwrap()) {
            go(*fault, at);
        }
    }
    total
}
