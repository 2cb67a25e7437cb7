//! How many snapshots there are, and which is the newest of each history: kept up to date, so that
//! making a snapshot never counts the others.

use std::collections::HashMap;

use tintype_model::{SnapshotId, VolumeId};
use tintype_store::{Snapshot, Store};

/// Numbers of one volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) read_only: u64,
    pub(crate) writable: u64,
    /// The snapshot that the live volume grew from last.
    pub(crate) newest: Option<SnapshotId>,
}

/// Numbers of a store.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    volumes: HashMap<VolumeId, Count>,
}

impl Tally {
    /// Counts everything once.
    pub(crate) fn of(store: &Store) -> Self {
        let mut tally = Self::default();
        for snapshot in store.snapshots(None) {
            tally.add(&snapshot);
        }
        for (volume, snapshot) in store.grown_from() {
            tally.set_newest(volume, Some(snapshot));
        }
        tally
    }

    pub(crate) fn add(&mut self, snapshot: &Snapshot) {
        let count = self.volumes.entry(snapshot.volume).or_default();
        let kind = if snapshot.writable() { &mut count.writable } else { &mut count.read_only };
        *kind += 1;
    }

    pub(crate) fn remove(&mut self, snapshot: &Snapshot) {
        let count = self.volumes.entry(snapshot.volume).or_default();
        let kind = if snapshot.writable() { &mut count.writable } else { &mut count.read_only };
        *kind = kind.saturating_sub(1);
    }

    pub(crate) fn remove_volume(&mut self, volume: VolumeId) {
        self.volumes.remove(&volume);
    }

    pub(crate) fn set_newest(&mut self, volume: VolumeId, snapshot: Option<SnapshotId>) {
        self.volumes.entry(volume).or_default().newest = snapshot;
    }

    pub(crate) fn volume(&self, volume: VolumeId) -> Count {
        self.volumes.get(&volume).copied().unwrap_or_default()
    }

    /// Read-only and writable ones of all volumes.
    pub(crate) fn total(&self) -> (u64, u64) {
        self.volumes
            .values()
            .fold((0, 0), |(r, w), count| (r + count.read_only, w + count.writable))
    }
}
