//! Makes what was read of a journal be on disk, in place and without room.
//!
//! Why: after a failed sync the kernel may hold pages in memory that never reach the disk, and it counts them as written. A
//! restarted process reads them back as if they were there; building on them would make a later sync a lie. So the journal
//! is cut to its whole batches, and these are written over themselves and synced: every page is dirty again, and
//! reaches the disk or fails the sync.
//!
//! Safe at every instant. The cut takes only what no statement calls synced (see `sound`). Then each byte is
//! replaced by itself: a sector on disk holds the same before and after, or one that never arrived arrives. So a crash leaves a
//! journal of which the same whole batches are found, or fewer that were never synced, and the next opening begins again.
//! It relies on what appending relies on, too: a sector is on disk as before or as after.
//!
//! What it does not do: a filesystem that writes every change to a new place takes room for it all the same. Then the error
//! says how much.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::tail;

/// Bytes written at a time: the blocks of common filesystems, so that none is taken for the zeros beside some bytes.
const BLOCK: usize = 4096;

/// What a step of an opening lacks on a full disk; travels inside an `io::Error`.
#[derive(Debug, thiserror::Error)]
#[error("{needed} bytes are needed")]
pub(super) struct NoRoom {
    /// Bytes.
    pub needed: u64,
}

impl NoRoom {
    /// As an error of the operating system.
    pub(super) fn error(needed: u64) -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, Self { needed })
    }

    /// Says of an error for want of room how many bytes are needed; others stay.
    pub(super) fn name(error: io::Error, needed: u64) -> io::Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::error(needed),
            _ => error,
        }
    }
}

/// Cuts a journal to `len` bytes and makes them be on disk.
pub(super) fn in_place(path: &Path, len: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    file.set_len(len)?;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(BLOCK).min(BLOCK);
        let Some(part) = block.get_mut(..want) else { break };
        file.read_exact_at(part, at)?;
        if !(tail::is_zero(part) && hole(&file, at, want as u64)) {
            file.write_all_at(part, at).map_err(|e| NoRoom::name(e, len - at))?;
        }
        at += want as u64;
    }
    file.sync_all().map_err(|e| NoRoom::name(e, len))
}

/// Whether nothing is allocated in a piece of a file: writing its zeros would take room.
fn hole(file: &File, at: u64, len: u64) -> bool {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data >= at + len,
        Err(error) => error == Errno::NXIO,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn bytes_and_holes_stay_and_the_rest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.jnl");
        let file = File::create(&path).unwrap();
        file.write_all_at(&[1; 1000], 0).unwrap();
        file.write_all_at(&[2; 1000], 320 * BLOCK as u64).unwrap();
        file.set_len(64 << 20).unwrap();
        file.sync_all().unwrap();
        let (before, blocks) = (fs::read(&path).unwrap(), file.metadata().unwrap().blocks());
        let len = 320 * BLOCK + 500;
        in_place(&path, len as u64).unwrap();
        assert!(fs::read(&path).unwrap() == before[..len]);
        assert!(file.metadata().unwrap().blocks() <= blocks);
    }
}
