//! Calls on a mounted directory that a hanging server would never answer, with a time limit or without waiting at all.
//!
//! The call runs on a thread of its own. When the limit passes, the thread is left behind: it ends
//! when the server answers or its connection ends.
//!
//! When the server is this very process and is killed, such a thread waits in the kernel for an answer that never comes, and
//! keeps what it shares with the process: all descriptors, thus the connection, whose end alone would wake it, the lock of the
//! store, and the sockets of waiting clients; and all maps. So the thread has an empty table of descriptors of its own, and
//! nothing that holds the connection is mapped (`ring.rs`).

use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::error::FuseError;
use crate::sys;

/// Runs `call` with a limit; `dir` is for the message.
pub(crate) fn with_limit<T: Send + 'static>(
    dir: &Path,
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FuseError> {
    let (send, receive) = mpsc::channel();
    apart(move || drop(send.send(call()))).map_err(FuseError::Thread)?;
    let timeout = |_| FuseError::Timeout { dir: dir.to_owned(), limit };
    receive.recv_timeout(limit).map_err(timeout)
}

/// Runs `call` beside the caller, who does not wait.
pub(crate) fn apart(call: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = move || {
        if let Err(error) = sys::leave_descriptors() {
            tracing::info!(%error, "a kill of this process may have to wait");
        }
        call();
    };
    std::thread::Builder::new().name("fuse-guard".to_owned()).spawn(run).map(drop)
}
