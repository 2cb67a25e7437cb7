//! Mounts that a killed server left behind.
//!
//! Every call on such a mount fails with "Transport endpoint is not connected", even mounting over
//! it. A live mount, whoever serves it, is left alone. One that does not answer at all is an error: what is mounted over it
//! would hide it, and a look into it would never come back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno as Os;

use crate::error::FuseError;
use crate::guard::with_limit;
use crate::{mount, mountinfo};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two questions to a mount whose server is just dying.
const PAUSE: Duration = Duration::from_millis(20);
/// More dead mounts than this on top of each other are not ours to guess about.
const DEEPEST: usize = 32;

/// Detaches the dead FUSE mounts at `dir`, also several on top of each other; returns how many.
/// Where nothing is, nothing is dead.
///
/// # Errors
/// When the place cannot be looked up, a dead mount cannot be detached (no right to it), or the server of a mount
/// hangs ([`FuseError::Timeout`]).
pub fn repair_dead_mount(dir: &Path) -> Result<usize, FuseError> {
    let point = |source| FuseError::MountPoint { dir: dir.to_owned(), source };
    let asked = dir.to_owned();
    let full = match with_limit(dir, ANSWER, move || full_path(&asked))? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        full => full.map_err(point)?,
    };
    let mut repaired = 0;
    while repaired < DEEPEST && mountinfo::fuse_mount_at(&full).map_err(point)?.is_some() {
        if !is_dead(&full)? {
            break;
        }
        mount::unmount(&full, true)?;
        tracing::info!(dir = %full.display(), "detached a mount without a server");
        repaired += 1;
    }
    Ok(repaired)
}

/// The path without symlinks; its last part is not touched, for a dead mount answers nothing.
fn full_path(dir: &Path) -> io::Result<PathBuf> {
    match dir.canonicalize() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            let absolute = std::path::absolute(dir)?;
            let name = absolute.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            let parent = absolute.parent().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(parent.canonicalize()?.join(name))
        }
        other => other,
    }
}

/// Asks for the free space: never answered from the kernel's caches, unlike `stat`.
fn is_dead(dir: &Path) -> Result<bool, FuseError> {
    let path = dir.to_owned();
    let ask = move || loop {
        match rustix::fs::statfs(&path) {
            // The rings of a server that is being killed are on their way out.
            Err(Os::CANCELED | Os::CONNABORTED) => std::thread::sleep(PAUSE),
            answer => return answer.map(drop),
        }
    };
    Ok(with_limit(dir, ANSWER, ask)? == Err(Os::NOTCONN))
}
