//! Making the kernel hand over the dirty pages of our own mount, before a snapshot.
//!
//! `syncfs` is not enough: for FUSE the kernel (measured on 6.18) only starts writing and returns
//! at once, because it does not want to wait for a server. Closing a descriptor does wait, for the
//! whole file whoever wrote to it. So after starting everything with `syncfs`, each file that is
//! open for writing is opened once more and closed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as Os;
use tintype_fs::vfs::Node;

use crate::error::FuseError;
use crate::guard::with_limit;
use crate::sys;
use crate::writers::Writers;

/// Flushes one mount. Cheap to clone and to keep.
#[derive(Clone, Debug)]
pub struct Flusher {
    dir: PathBuf,
    writers: Arc<Writers>,
}

impl Flusher {
    pub(crate) fn new(dir: &Path, writers: Arc<Writers>) -> Self {
        Self { dir: dir.to_owned(), writers }
    }

    /// When this returns, every write to the mount that had returned before the call has reached
    /// the tree, also through memory mappings. It makes nothing durable.
    ///
    /// No lock that a request handler takes may be held meanwhile. An ioctl handler may call it.
    ///
    /// # Errors
    /// [`FuseError::Flush`] when a page could not be written, [`FuseError::Timeout`] when that
    /// takes longer than `limit`.
    pub fn flush(&self, limit: Duration) -> Result<(), FuseError> {
        let own = self.clone();
        let flushed = with_limit(&self.dir, limit, move || own.flush_here())?;
        flushed.map_err(|source| FuseError::Flush { dir: self.dir.clone(), source })
    }

    fn flush_here(&self) -> io::Result<()> {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        self.writers.let_in(thread, true);
        let flushed = self.flush_all();
        self.writers.let_in(thread, false);
        flushed
    }

    fn flush_all(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.dir, flags, Mode::empty())?;
        twice(|| rustix::fs::syncfs(rustix::fs::open(&self.dir, flags, Mode::empty())?))?;
        for node in self.writers.nodes() {
            twice(|| self.close_once(&root, node))?;
        }
        Ok(())
    }

    fn close_once(&self, root: &OwnedFd, node: Node) -> io::Result<()> {
        let name = Writers::name(node);
        let open = |flags| rustix::fs::openat(root, &name, flags | OFlags::CLOEXEC, Mode::empty());
        let file = match open(OFlags::RDONLY) {
            Err(Os::ACCESS) => open(OFlags::WRONLY),
            other => other,
        };
        match file {
            Ok(file) => sys::close(file),
            // Closed and removed since, or of a moment that a restore has replaced.
            Err(Os::NOENT | Os::STALE) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The kernel keeps a failure of the past, such as a page that a quota refused, and tells it to the first who asks: only what fails
/// again fails now. The program learns of its loss at its own `msync`, `fsync` or `close`.
fn twice<E: std::fmt::Display>(work: impl Fn() -> Result<(), E>) -> Result<(), E> {
    work().or_else(|error| {
        tracing::warn!(%error, "pages of a program could not be written; trying again");
        work()
    })
}
