//! How far a command has come that mends or rewrites a repository; shared with whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::watch::Stop;

/// Counters of a repair, a rewrite, a merge or a recovery: read at any time, by any thread.
#[derive(Debug, Default)]
pub struct MendProgress {
    trees: AtomicU64,
    packs: AtomicU64,
    packs_total: AtomicU64,
    stop: Stop,
}

impl MendProgress {
    /// None yet; the work ends soon when `stop` is asked for. What it leaves is as sound as before.
    pub fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
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

    pub(crate) fn tree(&self) -> Result<()> {
        self.trees.fetch_add(1, Ordering::Relaxed);
        self.stop.check()
    }

    pub(crate) fn pack(&self) -> Result<()> {
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.stop.check()
    }

    pub(crate) fn packs_to_read(&self, count: usize) {
        self.packs_total.fetch_add(count as u64, Ordering::Relaxed);
    }
}
