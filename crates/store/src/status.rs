//! What a store tells about itself.

use crate::error::Result;
use crate::meta::Volume;
use crate::store::{Core, Store};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tintype_history::Point;

/// How long a status waits for the core before it looks whether a check holds it.
const ASK_AGAIN: Duration = Duration::from_millis(10);
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// All volumes by id.
    pub volumes: Vec<Volume>,
}

/// What a status takes from the core.
#[derive(Clone, Default)]
pub(crate) struct Glance {
    live_bytes: u64,
    due: usize,
    longest_chain: usize,
    volumes: Vec<Volume>,
}

impl Glance {
    pub(crate) fn of(core: &Core) -> Self {
        Self {
            live_bytes: core.sums.values().sum(),
            due: core.history.due(),
            longest_chain: longest_chain(core),
            volumes: core.catalog.volumes.values().cloned().collect(),
        }
    }
}

/// While it lives, a status does not ask the core: it is held for long, and stays as it was noted.
pub(crate) struct Noted<'s>(&'s Store);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        *self.0.noted.lock() = None;
    }
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

    /// For whoever holds the core for long without changing it.
    pub(crate) fn note(&self, core: &Core) -> Noted<'_> {
        *self.noted.lock() = Some(Glance::of(core));
        Noted(self)
    }

    /// What a status needs of the core, as it is now: a check that holds it for long has noted that.
    fn glance(&self) -> Glance {
        loop {
            if let Some(noted) = self.noted.lock().clone() {
                return noted;
            }
            if let Some(core) = self.core.try_lock_for(ASK_AGAIN) {
                return Glance::of(&core);
            }
        }
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

    /// A store at a glance. It does not wait for a check.
    ///
    /// # Errors
    /// The engines could not tell their sizes.
    pub fn status(&self) -> Result<StoreStatus> {
        let segments = self.shared.segments.list()?;
        let glance = self.glance();
        Ok(StoreStatus {
            record_bytes: self.shared.kv.disk_bytes()?,
            segment_bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segment_live_bytes: glance.live_bytes,
            reclaim_due: glance.due,
            longest_chain: glance.longest_chain,
            dirty_records: self.shared.dirty_records.load(Ordering::Relaxed),
            unwritten_bytes: self.shared.ram.unwritten.load(Ordering::Relaxed),
            commits: self.done.load(Ordering::Relaxed),
            commit_interval_ms: self.options.commit_interval.as_millis() as u64,
            stopped: self.shared.check().err().map(|error| error.to_string()),
            progress: self.progress.lock().clone(),
            volumes: glance.volumes,
        })
    }
}

fn longest_chain(core: &Core) -> usize {
    let tree = core.history.tree();
    let heads = tree.iter().filter(|(_, space)| space.head);
    let chains = heads.map(|(id, s)| tree.chain(Point { space: id, epoch: s.open }).len());
    chains.max().unwrap_or(0)
}
