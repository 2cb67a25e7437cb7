//! Calls on a mounted directory that a hanging server would never answer, with a time limit.
//!
//! The call runs on a thread of its own. When the limit passes, the thread is left behind: it ends
//! when the server answers or its connection ends.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::error::FuseError;

/// Runs `call` with a limit; `dir` is for the message.
pub(crate) fn with_limit<T: Send + 'static>(
    dir: &Path,
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FuseError> {
    let (send, receive) = mpsc::channel();
    std::thread::Builder::new()
        .name("fuse-guard".to_owned())
        .spawn(move || drop(send.send(call())))
        .map_err(FuseError::Thread)?;
    let timeout = |_| FuseError::Timeout { dir: dir.to_owned(), limit };
    receive.recv_timeout(limit).map_err(timeout)
}

/// Makes the kernel write the dirty pages of the mount at `dir` to the server behind it.
///
/// The server may call this about its own mount, before it cuts a snapshot: every write that
/// returned before this call has then reached the tree. No lock that a request handler takes may
/// be held meanwhile. It does not make anything durable: FUSE passes no `syncfs` on.
///
/// # Errors
/// [`FuseError::Flush`] when a page could not be written, [`FuseError::Timeout`] when the server
/// does not answer within `limit`.
pub fn sync_dirty(dir: &Path, limit: Duration) -> Result<(), FuseError> {
    let path = dir.to_owned();
    let flushed = with_limit(dir, limit, move || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::syncfs(rustix::fs::open(&path, flags, Mode::empty())?)
    })?;
    flushed.map_err(|error| FuseError::Flush { dir: dir.to_owned(), source: error.into() })
}
