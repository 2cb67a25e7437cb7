//! Has the kernel look at a queue of io_uring again after a lane was added to it.
//!
//! A request that finds all lanes of its queue busy waits there, and is given out when one of these lanes answers. A lane that is added later gets only what
//! comes after it, and takes what waits when it has answered that. So when all busy lanes need answers of their own mount, and what they need waits in
//! the queue already, a new lane alone would help nobody: something has to come. That something is made here: `statfs` of the mount, from the
//! processor of the queue. It takes no lock of the kernel that what waits could hold.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::guard;
use crate::seat;

/// How long starting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one request to the mount at `dir` through this queue, and does not wait for its answer.
///
/// # Errors
/// No thread can be had, or this process may not run on the queue's processor.
pub(crate) fn kick(dir: &Path, queue: u16) -> io::Result<()> {
    let dir: PathBuf = dir.to_owned();
    let (seated, told) = mpsc::channel();
    guard::apart(move || {
        let sits = seat::sit(queue);
        let may = sits.is_ok();
        drop(seated.send(sits));
        if may && let Err(error) = rustix::fs::statfs(&dir) {
            tracing::debug!(%error, queue, "a request to the own mount failed");
        }
    })?;
    told.recv_timeout(PATIENCE).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
