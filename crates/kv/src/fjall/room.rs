//! Room on the disk, looked after before a batch is handed to the engine.
//!
//! The engine takes a failed write for the end: nothing more is accepted until the store is opened again. Three things
//! of it need room, and a disk without it refuses the batch while nothing has happened yet:
//!
//! - The journal. Its blocks are taken here, ahead of the engine and in steps. Only room is taken: no byte of the file
//!   changes, and its length stays. Ordinary batches leave a piece of it untouched for batches that free space, so these
//!   are written even to a disk without a free byte.
//! - The memory table, which goes to disk as a new file when it is full, and the merging of tables that follows. No room
//!   can be taken for files that the engine has yet to make. So free bytes are compared with what these need: always for
//!   ordinary batches; for those that free space only when they would fill the memory table, or take free bytes while tables are merged. On a small disk the memory
//!   table is made small (see [`memtable_limit`]).
//!
//! What it does not do: another program may fill the disk between the comparison and the engine's write, and a merge may
//! be larger than [`MERGE_MAX`]. Then the engine fails, and the store has to be opened again.
//!
//! Where the engine's end of the journal lies is counted, never too low: a journal that came to be between two batches may or
//! may not hold the earlier one. Room that is taken twice, or too far ahead, costs nothing but a step.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::zeros::Zeros;
use crate::KvError;

/// Bytes taken at a time.
const STEP: u64 = 1 << 20;
/// Bytes of the journal that ordinary batches leave to those that free space.
const AHEAD: u64 = 1 << 20;
/// The memory table is at most this part of the disk.
const MEMTABLE_PART: u64 = 32;
/// The smallest memory table.
const MEMTABLE_MIN: u64 = 1 << 20;
/// Room that is kept for merging tables, at most.
const MERGE_MAX: u64 = 128 << 20;
/// Free bytes beyond what is needed with which the disk is not asked again at once, and for how long.
const PLENTY: u64 = 512 << 20;
const FRESH: Duration = Duration::from_millis(100);
/// So many tables that came from memory are merged.
const MERGE_FROM: usize = 4;

/// What a batch needs, and the engine around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Bytes of the batch in the journal.
    pub len: u64,
    /// Bytes that the caller is about to write beside the store, on the same disk.
    pub beside: u64,
    /// Bytes in memory that will go to disk as tables.
    pub unflushed: u64,
    /// Bytes at which memory goes to disk.
    pub memtable: u64,
    /// Bytes of all tables on disk.
    pub tables: u64,
    /// Tables that came from memory and were not merged yet.
    pub young: usize,
    /// Whether the batch is on the way to free space.
    pub frees: bool,
}

impl Need {
    /// Free bytes that the engine must find after this batch, apart from the journal's, which grows by `growth`.
    fn kept(&self, growth: u64) -> u64 {
        let flush = self.unflushed + self.len;
        if self.frees && flush < self.memtable {
            return self.kept_beside(growth);
        }
        // What is in memory becomes a table each time it is full, as the engine counts, and whenever the engine comes to it; then the
        // next one begins.
        let full = (flush + self.memtable / 4) / self.memtable.max(1);
        let coming = usize::try_from(full).unwrap_or(MERGE_FROM).saturating_add(1);
        // Ordinary batches leave the room of a merge alone at all times: merges of older tables run whenever the engine comes to them.
        // What is in memory now needs room twice: as a table, and in the merged one.
        let soon = !self.frees || self.young + coming >= MERGE_FROM;
        let merge = if soon { (self.tables + flush).min(MERGE_MAX) } else { 0 };
        self.beside + flush + merge + if self.frees { 0 } else { STEP }
    }

    /// Free bytes without which this batch would be refused, wherever the journal's end lies.
    pub(super) fn kept_of_disk(&self) -> u64 {
        let growth = if self.frees { STEP } else { AHEAD + STEP };
        self.kept(growth) + growth
    }

    /// For a batch that frees space and stays in memory. A merge that is due or runs must find its room: tables are young until it ends.
    fn kept_beside(&self, growth: u64) -> u64 {
        let takes = growth + self.beside > 0;
        let merging = takes && self.young >= MERGE_FROM;
        self.beside + if merging { self.tables.min(MERGE_MAX) } else { 0 }
    }
}

/// The newest journal, and how far the disk has room for it.
pub(super) struct Room {
    dir: PathBuf,
    journal: u64,
    /// `None` when the file is gone or the filesystem cannot take room ahead.
    file: Option<File>,
    /// The engine's end of the journal is not behind this.
    end: u64,
    taken: u64,
    last_batch: u64,
    zeros: Option<Zeros>,
    known: Known,
}

/// What the disk said last of its free bytes.
#[derive(Default)]
struct Known(Option<(u64, Instant)>);

impl Known {
    /// Whether so much is free. With plenty more, what was said a moment ago is good enough.
    fn has(&mut self, needed: u64, dir: &Path) -> Result<(), u64> {
        if self.0.is_some_and(|(free, at)| free >= needed + PLENTY && at.elapsed() < FRESH) {
            return Ok(());
        }
        self.0 = free(dir).map(|free| (free, Instant::now()));
        match self.0 {
            Some((free, _)) if free < needed => Err(free),
            _ => Ok(()),
        }
    }
}

impl Room {
    /// For a journal that was found, to whose `end` the engine appends.
    pub(super) fn found(dir: &Path, journal: u64, end: u64) -> Self {
        let file = open(dir, journal);
        let dir = dir.to_path_buf();
        let (zeros, known) = (None, Known::default());
        Self { dir, journal, file, end, taken: 0, last_batch: 0, zeros, known }
    }

    /// For a journal that the engine just made.
    pub(super) fn made(dir: &Path, journal: u64) -> Self {
        let room = Self::found(dir, journal, 0);
        Self { zeros: Zeros::of(room.file.as_ref()), ..room }
    }

    /// The newest journal, as it was when room was last taken.
    pub(super) fn journal(&self) -> u64 {
        self.journal
    }

    /// Takes room for a batch that is written next.
    pub(super) fn take(&mut self, need: &Need) -> Result<(), KvError> {
        self.follow();
        self.ensure(need)?;
        if let (Some(zeros), Some(file)) = (&mut self.zeros, &self.file) {
            zeros.before(file, self.end, need.len, self.taken);
        }
        self.end += need.len;
        self.last_batch = need.len;
        Ok(())
    }

    /// Takes room for a batch that may be written later, in the journal that is known.
    pub(super) fn ensure(&mut self, need: &Need) -> Result<(), KvError> {
        let ahead = if need.frees { 0 } else { AHEAD };
        let end = self.end + need.len + ahead;
        let upto = if end > self.taken { end.next_multiple_of(STEP) } else { self.taken };
        self.leave_room(need, upto.saturating_sub(self.taken.max(self.end)))?;
        if upto > self.taken {
            self.allocate(upto).map_err(|source| self.refused(source, need.len))?;
            self.taken = upto;
        }
        Ok(())
    }

    /// Goes to the newest journal; the last batch may lie in it.
    fn follow(&mut self) {
        while path(&self.dir, self.journal + 1).exists() {
            self.journal += 1;
            (self.end, self.taken) = (self.last_batch, 0);
            self.file = open(&self.dir, self.journal);
            self.zeros = Zeros::of(self.file.as_ref());
        }
    }

    /// Takes the blocks up to a position.
    fn allocate(&mut self, upto: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let from = if self.taken == 0 { 0 } else { self.taken };
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, upto - from) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.file = None;
                Ok(())
            }
            done => done.map_err(io::Error::from),
        }
    }

    /// Refuses a batch that would leave the engine without room; `growth` bytes are about to be taken for the journal.
    fn leave_room(&mut self, need: &Need, growth: u64) -> Result<(), KvError> {
        let kept = need.kept(growth);
        if kept == 0 {
            return Ok(());
        }
        let needed = kept + growth;
        let lack = |free| KvError::NoSpace { path: self.dir.clone(), needed, free };
        self.known.has(needed, &self.dir).map_err(lack)
    }

    /// Names the situation behind an error of the operating system.
    fn refused(&self, source: io::Error, needed: u64) -> KvError {
        let path = self.dir.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                KvError::NoSpace { path, needed, free: 0 }
            }
            _ => KvError::Io { doing: "write", path, source },
        }
    }
}

/// Free bytes of the disk, for this user; `None` when it does not say.
pub(super) fn free(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The size of the memory table: as wanted, and smaller on a small disk.
pub(super) fn memtable_limit(dir: &Path, wanted: u64) -> u64 {
    let total = rustix::fs::statvfs(dir).map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    wanted.min(total.unwrap_or(u64::MAX) / MEMTABLE_PART).max(MEMTABLE_MIN)
}

fn path(dir: &Path, journal: u64) -> PathBuf {
    dir.join(format!("{journal}.jnl"))
}

/// The journal, to take room for it. Without it the engine's own write says what is wrong.
fn open(dir: &Path, journal: u64) -> Option<File> {
    OpenOptions::new().read(true).write(true).open(path(dir, journal)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn need(frees: bool) -> Need {
        Need { len: 1000, beside: 0, unflushed: 0, memtable: MIB, tables: 8 * MIB, young: 0, frees }
    }

    #[test]
    fn what_is_in_memory_needs_room_as_a_table_and_in_the_merged_one() {
        for frees in [false, true] {
            let small = Need { unflushed: MIB, young: MERGE_FROM, ..need(frees) };
            let large = Need { unflushed: 3 * MIB, ..small };
            assert_eq!(large.kept(0), small.kept(0) + 4 * MIB);
        }
    }

    #[test]
    fn what_frees_space_takes_no_room_from_a_merge() {
        let merging = Need { young: MERGE_FROM, ..need(true) };
        assert_eq!(need(true).kept(STEP), 0);
        assert_eq!(merging.kept(STEP), 8 * MIB);
        assert_eq!(Need { beside: MIB, ..merging }.kept(0), 9 * MIB);
        // Room in the journal that is taken already is nobody else's.
        assert_eq!(merging.kept(0), 0);
    }
}
