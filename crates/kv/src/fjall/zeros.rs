//! Zeros behind the end of the journal, so that a sync has only bytes to write.
//!
//! Room that was taken ahead counts as unwritten: a sync that is the first to write there also has the host's filesystem note, in
//! a journal of its own, that it is written now, and waits for that. Where zeros lie already, it writes over them and waits for
//! the bytes alone.
//!
//! Safe because nothing of the engine's is ever overwritten. Zeros go only into a journal that the engine made, for there it writes at a
//! position (to one that it found it appends: what lies behind its end would move it); only behind the counted end, which is never
//! too low, and while no batch is being applied; and only where the file holds zeros as it is. How a journal reads does not
//! change: behind the last batch were zeros before, too, and a torn end is cut in the same place. The file's length stays.
//!
//! What it does not do: fail a batch. Without zeros a sync is slower and nothing else. On filesystems that write to a new
//! place each time zeros would only use up the room that was taken, so they are written where files are changed in place.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::tail;

/// Bytes written at a time.
const STEP: usize = 256 << 10;
/// Longer batches bring their own bytes to disk: zeros would only double them.
const LONG: u64 = 64 << 10;
/// Filesystems that change files in place, by the numbers that they give: ext4 and XFS.
const IN_PLACE: [u32; 2] = [0xEF53, 0x5846_5342];

/// How far the zeros of one journal reach.
#[derive(Debug, Default)]
pub(super) struct Zeros {
    upto: u64,
}

impl Zeros {
    /// For a journal that the engine just made; `None` where zeros bring nothing.
    pub(super) fn of(file: Option<&File>) -> Option<Self> {
        let disk = rustix::fs::fstatfs(file?).ok()?;
        IN_PLACE.iter().any(|kind| i64::from(*kind) == disk.f_type).then(Self::default)
    }

    /// A batch of `len` bytes comes next, at `end` at the latest; room is taken up to `taken`.
    pub(super) fn before(&mut self, file: &File, end: u64, len: u64, taken: u64) {
        if end + len <= self.upto {
            return;
        }
        if len >= LONG {
            self.upto = end + len;
            return;
        }
        let from = self.upto.max(end);
        let upto = taken.min(from + STEP as u64);
        let bytes = usize::try_from(upto.saturating_sub(from)).unwrap_or(0);
        let mut here = vec![1; bytes.min(STEP)];
        if file.read_exact_at(&mut here, from).is_ok() && tail::is_zero(&here) {
            let _ = file.write_all_at(&here, from);
        }
        self.upto = upto.max(end + len);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_there_stays_and_nothing_goes_behind_the_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.jnl");
        fs::write(&path, [&[7; 5000][..], &[0; 95_000]].concat()).unwrap();
        let before = fs::read(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        // Counted right, too low, and with room behind the end of the file.
        for (end, taken) in [(5000, 100_000), (4000, 50_000), (5000, 200_000), (99_990, 99_000)] {
            let mut zeros = Zeros::default();
            zeros.before(&file, end, 100, taken);
            assert!(zeros.upto >= end + 100);
            assert!(fs::read(&path).unwrap() == before, "{end} {taken}");
        }
    }
}
