//! What can go wrong around a mount.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure to mount, serve, flush or unmount. Errors of single file operations are not here:
/// those are error numbers that the tree gives to the calling program.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The kernel's device cannot be opened: no FUSE in the kernel, or no right to it.
    #[error("cannot open /dev/fuse: {0}; load the fuse module, or run as a user who may open it")]
    Device(#[source] io::Error),
    /// The mount point is missing or cannot be entered.
    #[error("cannot use {dir} as a mount point: {source}; it must be an existing directory")]
    MountPoint {
        /// The mount point.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel or the helper program refused to mount.
    #[error("cannot mount at {dir}: {reason}")]
    Mount {
        /// The mount point.
        dir: PathBuf,
        /// Why, in the words of whoever refused.
        reason: String,
    },
    /// The first exchange with the kernel failed.
    #[error("the kernel and the server did not come to terms: {0}")]
    Handshake(String),
    /// io_uring was demanded and cannot be had.
    #[error("FUSE over io_uring is not possible: {0}; choose the transport `auto` or `dev`")]
    Uring(String),
    /// A worker thread could not be started.
    #[error("cannot start a thread for the mount: {0}; raise the limit of processes")]
    Thread(#[source] io::Error),
    /// Programs still use the mount.
    #[error("{dir} is busy: programs have files or directories open there; close them, or detach")]
    Busy {
        /// The mount point.
        dir: PathBuf,
    },
    /// The kernel or the helper program refused to unmount.
    #[error("cannot unmount {dir}: {reason}")]
    Unmount {
        /// The mount point.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// The kernel's dirty pages of the mount could not be written back.
    #[error("cannot flush {dir}: {source}")]
    Flush {
        /// The mount point.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A call that depends on a server's answers did not return in time.
    #[error("{dir} did not answer within {limit:?}; the server behind it may hang")]
    Timeout {
        /// The mount point.
        dir: PathBuf,
        /// The limit.
        limit: Duration,
    },
}
