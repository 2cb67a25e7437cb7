//! How far a command has come that mends or rewrites a repository; shared with whoever shows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{RepoError, Result};

/// Counters of a repair, a rewrite, a merge or a recovery: read at any time, by any thread.
#[derive(Debug, Default)]
pub struct MendProgress {
    trees: AtomicU64,
    packs: AtomicU64,
    packs_total: AtomicU64,
    stop: AtomicBool,
}

impl MendProgress {
    /// Asks the work to stop soon. What it leaves is as sound as before.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Trees read so far.
    pub fn trees(&self) -> u64 {
        self.trees.load(Ordering::Relaxed)
    }

    /// Packs, or their headers, read so far.
    pub fn packs(&self) -> u64 {
        self.packs.load(Ordering::Relaxed)
    }

    /// Packs to read.
    pub fn packs_total(&self) -> u64 {
        self.packs_total.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(RepoError::Stopped) } else { Ok(()) }
    }

    pub(crate) fn tree(&self) -> Result<()> {
        self.trees.fetch_add(1, Ordering::Relaxed);
        self.check()
    }

    pub(crate) fn pack(&self) -> Result<()> {
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.check()
    }

    pub(crate) fn packs_to_read(&self, count: usize) {
        self.packs_total.fetch_add(count as u64, Ordering::Relaxed);
    }
}
