//! Calls on a mounted directory that a hanging server would never answer, with a time limit.
//!
//! The call runs on a thread of its own. When the limit passes, the thread is left behind: it ends
//! when the server answers or its connection ends.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

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
