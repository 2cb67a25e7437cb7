//! The app's mounts, made with the kernel's FUSE.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tintype_app::{Mount, MountError, Mounter};
use tintype_fs::vfs::{Invalidate, Vfs};
use tintype_fuse::{Choice, FuseError, Options, Session, Transport, WhenBusy, repair_dead_mount};
use tintype_model::VolumeName;

/// How long bringing the dirty pages of a mount to its tree may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(300);

/// How long telling the kernel what to forget may take.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// Which way the kernel's requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// io_uring where the kernel offers it, else `/dev/fuse`.
    #[default]
    Auto,
    /// `/dev/fuse`.
    Dev,
    /// io_uring or an error.
    Uring,
}

/// Mounts through FUSE.
#[derive(Clone, Debug, Default)]
pub struct FuseMounter {
    transport: TransportChoice,
}

impl FuseMounter {
    /// Mounts over this transport.
    pub fn new(transport: TransportChoice) -> Self {
        Self { transport }
    }

    fn options(&self, volume: &VolumeName) -> Options {
        let transport = match self.transport {
            TransportChoice::Auto => Choice::Auto,
            TransportChoice::Dev => Choice::Dev,
            TransportChoice::Uring => Choice::Uring,
        };
        // Commas separate mount options, so a name that holds one is not shown as the source.
        let plain =
            volume.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let fsname = if plain { format!("tintype-{volume}") } else { "tintype".to_owned() };
        Options { fsname, transport, ..Options::default() }
    }
}

impl Mounter for FuseMounter {
    fn mount(
        &self,
        volume: &VolumeName,
        dir: &Path,
        tree: Arc<dyn Vfs>,
    ) -> Result<Box<dyn Mount>, MountError> {
        self.repair(dir)?;
        let session = Session::mount(tree, dir, &self.options(volume)).map_err(explain)?;
        Ok(Box::new(FuseMount { session }))
    }

    fn repair(&self, dir: &Path) -> Result<(), MountError> {
        match repair_dead_mount(dir) {
            Err(error @ FuseError::Timeout { .. }) => Err(MountError::Hangs(error.to_string())),
            other => other.map(drop).map_err(explain),
        }
    }
}

struct FuseMount {
    session: Session,
}

impl Mount for FuseMount {
    fn transport(&self) -> String {
        match self.session.transport() {
            Transport::Dev => "dev-fuse".to_owned(),
            Transport::Uring => "io-uring".to_owned(),
        }
    }

    fn invalidate(&self) -> Arc<dyn Invalidate> {
        self.session.notifier()
    }

    fn is_alive(&self) -> bool {
        self.session.is_running()
    }

    fn flush(&self) -> Result<(), MountError> {
        if !self.session.is_running() {
            return Ok(());
        }
        self.session.flusher().flush(FLUSH_LIMIT).map_err(explain)
    }

    fn settle(&self) {
        if !self.session.notifier().settle(SETTLE_LIMIT) {
            tracing::warn!("the kernel was not told in time what to forget");
        }
    }

    fn abort(&self) {
        self.session.abort();
    }

    fn unmount(&self, force: bool) -> Result<(), MountError> {
        let when_busy = if force { WhenBusy::Detach } else { WhenBusy::Fail };
        self.session.unmount(when_busy).map_err(explain)
    }
}

fn explain(error: FuseError) -> MountError {
    let text = error.to_string();
    match error {
        FuseError::MountPoint { .. } => MountError::BadFolder(text),
        FuseError::Busy { .. } => MountError::Busy(text),
        FuseError::Device(_) | FuseError::Mount { .. } | FuseError::Uring(_) => {
            MountError::Unsupported(text)
        }
        _ => MountError::System(text),
    }
}
