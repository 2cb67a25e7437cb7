//! What a store tells about itself.

use crate::error::Result;
use crate::store::{Core, Store};
use std::sync::atomic::Ordering;
use tintype_history::Point;

/// About what a changed record takes in the journal and in the tables. Bytes.
const RECORD: u64 = 256;

/// Progress of the background work since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps of reclaim done.
    pub reclaim_steps: u64,
    /// Accounted bytes that reclaim freed.
    pub reclaimed_bytes: u64,
    /// Segments cleaned or dropped.
    pub segments_cleaned: u64,
    /// Bytes moved by cleaning.
    pub moved_bytes: u64,
    /// Extents that the running or last scrub has read.
    pub scrubbed_extents: u64,
    /// A scrub is running.
    pub scrub_running: bool,
}

/// A store at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Bytes of record files.
    pub record_bytes: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Bytes of segments that live extents keep.
    pub segment_live_bytes: u64,
    /// Pieces of reclaim that are known to be due.
    pub reclaim_due: usize,
    /// The most spaces that a read of a live volume or a writable snapshot may visit.
    pub longest_chain: usize,
    /// Records changed in memory.
    pub dirty_records: usize,
    /// Data that waits to be written. Bytes.
    pub unwritten_bytes: usize,
    /// Commits done.
    pub commits: u64,
    /// Longest time that a change stays un-synced by itself. Milliseconds.
    pub commit_interval_ms: u64,
    /// Why the store stopped, if it did.
    pub stopped: Option<String>,
    /// Background work.
    pub progress: Progress,
}

impl Store {
    /// Commits done since the store was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// New data that waits in memory, and about what changed records will take. Bytes.
    #[must_use]
    pub fn unwritten_bytes(&self) -> u64 {
        let records = self.shared.dirty_records.load(Ordering::Relaxed);
        self.shared.ram.unwritten.load(Ordering::Relaxed) as u64 + records as u64 * RECORD
    }

    /// Whether a volume has snapshots, as of the last commit. Takes no lock that a commit holds.
    #[must_use]
    pub fn has_snapshots(&self, volume: tintype_model::VolumeId) -> bool {
        self.usage.read().get(&volume).is_some_and(|(_, snapshots)| *snapshots)
    }

    /// Bytes of records and data on disk. Takes no lock that a commit holds.
    ///
    /// # Errors
    /// The engines could not tell their sizes.
    pub fn disk_bytes(&self) -> Result<u64> {
        let segments = self.shared.segments.list()?;
        let data: u64 = segments.iter().map(|segment| segment.bytes).sum();
        Ok(self.shared.kv.disk_bytes()?.saturating_add(data))
    }

    /// A store at a glance.
    ///
    /// # Errors
    /// The engines could not tell their sizes.
    pub fn status(&self) -> Result<StoreStatus> {
        let segments = self.shared.segments.list()?;
        let core = self.core();
        Ok(StoreStatus {
            record_bytes: self.shared.kv.disk_bytes()?,
            segment_bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segment_live_bytes: core.sums.values().sum(),
            reclaim_due: core.history.due(),
            longest_chain: longest_chain(&core),
            dirty_records: self.shared.dirty_records.load(Ordering::Relaxed),
            unwritten_bytes: self.shared.ram.unwritten.load(Ordering::Relaxed),
            commits: self.done.load(Ordering::Relaxed),
            commit_interval_ms: self.options.commit_interval.as_millis() as u64,
            stopped: self.shared.check().err().map(|error| error.to_string()),
            progress: self.progress.lock().clone(),
        })
    }
}

fn longest_chain(core: &Core) -> usize {
    let tree = core.history.tree();
    let heads = tree.iter().filter(|(_, space)| space.head);
    let chains = heads.map(|(id, s)| tree.chain(Point { space: id, epoch: s.open }).len());
    chains.max().unwrap_or(0)
}
