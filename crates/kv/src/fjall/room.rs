//! Room on the disk for the journal, taken before a batch is handed to the engine.
//!
//! The engine takes a failed write of its journal for the end: nothing more is accepted until the store is opened again. So
//! the blocks of the journal are taken here first, ahead of the engine and in steps; a disk without room refuses the
//! batch while nothing has happened yet. Only room is taken: no byte of the file changes, and its length stays.
//!
//! Where the engine's end of the journal lies is counted, never too low: a journal that came to be between two batches may or
//! may not hold the earlier one. Room that is taken twice, or too far ahead, costs nothing but a step.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::KvError;

/// Bytes taken at a time.
const STEP: u64 = 1 << 20;
/// Free bytes that batches leave alone when they do not free anything: at most this part of the disk.
const KEPT_PART: u64 = 32;

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
}

impl Room {
    /// For a store that was just opened.
    pub(super) fn new(dir: &Path, journal: u64, end: u64) -> Self {
        let file = open(dir, journal);
        Self { dir: dir.to_path_buf(), journal, file, end, taken: 0, last_batch: 0 }
    }

    /// The newest journal, as it was when room was last taken.
    pub(super) fn journal(&self) -> u64 {
        self.journal
    }

    /// Takes room for a batch. `unflushed` bytes in memory will need room too; a batch that frees space may use that.
    pub(super) fn take(&mut self, len: u64, unflushed: u64, frees: bool) -> Result<(), KvError> {
        self.follow();
        if !frees {
            self.leave_room(len, unflushed)?;
        }
        let end = self.end + len;
        if end > self.taken {
            let upto = end.next_multiple_of(STEP);
            self.allocate(upto).map_err(|source| self.refused(source, len))?;
            self.taken = upto;
        }
        self.end = end;
        self.last_batch = len;
        Ok(())
    }

    /// Goes to the newest journal; the last batch may lie in it.
    fn follow(&mut self) {
        while path(&self.dir, self.journal + 1).exists() {
            self.journal += 1;
            (self.end, self.taken) = (self.last_batch, 0);
            self.file = open(&self.dir, self.journal);
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

    /// Refuses a batch that would leave no room to put on disk what is in memory.
    fn leave_room(&self, len: u64, unflushed: u64) -> Result<(), KvError> {
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let needed = len + (unflushed + STEP).min(total / KEPT_PART);
        if free >= needed {
            return Ok(());
        }
        Err(KvError::NoSpace { path: self.dir.clone(), needed, free })
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

fn path(dir: &Path, journal: u64) -> PathBuf {
    dir.join(format!("{journal}.jnl"))
}

/// The journal, to take room for it. Without it the engine's own write says what is wrong.
fn open(dir: &Path, journal: u64) -> Option<File> {
    OpenOptions::new().write(true).open(path(dir, journal)).ok()
}
