//! The ports through which the use cases show filesystems and disks to programs.
//!
//! The edge implements them with the kernel's FUSE and a block protocol; tests implement them with nothing. The app knows
//! neither FUSE nor its transports, nor the block protocol.

use std::path::Path;
use std::sync::Arc;

use tintype_fs::vfs::{Invalidate, Vfs};
use tintype_model::VolumeName;

use crate::exports::ExportId;

/// Why a mount could not be made, flushed or taken away.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MountError {
    /// The folder is not there, is not a folder, or is not empty of mounts.
    #[error("{0}")]
    BadFolder(String),
    /// Programs still use it.
    #[error("{0}")]
    Busy(String),
    /// The system cannot mount: no /dev/fuse, no fusermount3, not permitted.
    #[error("{0}")]
    Unsupported(String),
    /// What is mounted there does not answer.
    #[error("{0}")]
    Hangs(String),
    /// Anything else that the system answered.
    #[error("{0}")]
    System(String),
}

/// Makes mounts.
pub trait Mounter: Send + Sync + 'static {
    /// Shows `tree` at `dir`. A dead mount that a killed server left at `dir` is taken away first.
    fn mount(
        &self,
        volume: &VolumeName,
        dir: &Path,
        tree: Arc<dyn Vfs>,
    ) -> Result<Box<dyn Mount>, MountError>;

    /// Takes away a dead mount at `dir`, if there is one.
    fn repair(&self, dir: &Path) -> Result<(), MountError>;
}

/// A mount that exists.
pub trait Mount: Send + Sync + 'static {
    /// How the kernel reaches us.
    fn transport(&self) -> String;
    /// How to tell the kernel that what it knows is stale.
    fn invalidate(&self) -> Arc<dyn Invalidate>;
    /// `false` once somebody else has unmounted it.
    fn is_alive(&self) -> bool;
    /// Brings every dirty page of the mount, also of shared mappings, to the tree. On return,
    /// everything that programs wrote before the call has been written to the tree.
    fn flush(&self) -> Result<(), MountError>;
    /// Waits until the kernel has been told everything that was sent through `invalidate`.
    fn settle(&self);
    /// Ends all requests and descriptors of programs with an error, where the system lets us.
    fn abort(&self) {}
    /// Takes the mount away. `Busy` leaves it as it was, unless `force`.
    fn unmount(&self, force: bool) -> Result<(), MountError>;
}

/// Where a disk can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUris {
    /// On this machine.
    pub local: String,
    /// Through the network, if somebody listens there.
    pub network: Option<String>,
}

/// Shows disks to programs.
pub trait DiskServer: Send + Sync + 'static {
    /// Where a disk can be reached.
    fn uris(&self, disk: &VolumeName) -> DiskUris;
    /// Connections that use one of these now.
    fn clients(&self, exports: &[ExportId]) -> usize;
    /// All connections.
    fn connections(&self) -> u64;
    /// Ends the connections that use one of these, and those that are about to: what has arrived is answered first, if
    /// that does not take too long. Returns how many there were.
    fn close(&self, exports: &[ExportId]) -> usize;
    /// Ends all connections in the same way.
    fn close_all(&self);
}

/// Mounts nothing: for stores that are only looked at, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMounter;

impl Mounter for NoMounter {
    fn mount(
        &self,
        volume: &VolumeName,
        _dir: &Path,
        _tree: Arc<dyn Vfs>,
    ) -> Result<Box<dyn Mount>, MountError> {
        Err(MountError::Unsupported(format!("filesystem {volume}: nothing mounts here")))
    }

    fn repair(&self, _dir: &Path) -> Result<(), MountError> {
        Ok(())
    }
}
