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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tintype_model::{Compression, SnapshotFilter, SnapshotName, SnapshotRef, VolumeName};
    use tintype_store::Place;

    use super::*;
    use crate::types::{CloneRequest, FsCreate, SnapshotCreate, SnapshotUpdate};
    use crate::{App, AppOptions, NoMounter};

    /// Numbers that look random.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) as usize % n.max(1)
        }

        fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
            from.get(self.below(from.len())).cloned()
        }
    }

    fn open(dir: &tempfile::TempDir) -> Arc<App> {
        let options = AppOptions {
            store: dir.path().join("store"),
            create: true,
            snapshot_limits: None,
            user: "tester".into(),
        };
        App::open(options, Arc::new(NoMounter)).unwrap()
    }

    fn volumes(app: &App) -> Vec<VolumeName> {
        app.fs_list().unwrap().into_iter().map(|fs| fs.name).collect()
    }

    fn snapshots(app: &App) -> Vec<SnapshotRef> {
        let list = app.snapshot_list(None, &SnapshotFilter::default()).unwrap();
        list.into_iter()
            .map(|info| SnapshotRef { volume: info.volume, snapshot: info.name })
            .collect()
    }

    /// One operation; whether it was done or refused does not matter.
    fn step(app: &App, dice: &mut Dice, n: usize) {
        let name = |what: &str| VolumeName::new(format!("{what}{n}")).unwrap();
        // Now and then a name that is taken.
        let fresh =
            SnapshotName::new(format!("s{}", if n.is_multiple_of(5) { n / 2 } else { n })).unwrap();
        let (volume, snapshot) = (dice.pick(&volumes(app)), dice.pick(&snapshots(app)));
        let done = match (dice.below(12), volume, snapshot) {
            (0, ..) | (_, None, _) => {
                let (quota, capacity, mount) = (None, None, None);
                let compression = Compression::default();
                let wish = FsCreate { name: name("v"), quota, capacity, compression, mount };
                app.fs_create(&wish).map(drop)
            }
            (1, Some(volume), _) if n.is_multiple_of(3) => app.fs_delete(&volume, true).map(drop),
            (1..=5, Some(volume), _) | (_, Some(volume), None) => {
                let plain = SnapshotCreate::plain(SnapshotRef { volume, snapshot: fresh });
                app.snapshot_create(&SnapshotCreate { writable: n.is_multiple_of(4), ..plain })
                    .map(drop)
            }
            (6, _, Some(from)) => {
                let new = SnapshotRef { volume: from.volume.clone(), snapshot: fresh };
                let plain = SnapshotCreate::plain(new);
                let (source, writable) = (Some(from), n.is_multiple_of(2));
                app.snapshot_create(&SnapshotCreate { source, writable, ..plain }).map(drop)
            }
            (7, _, Some(from)) => {
                app.snapshot_clone(&from, &CloneRequest { name: name("c"), mount: None }).map(drop)
            }
            (8, _, Some(from)) => {
                let keep = (n.is_multiple_of(2)).then_some(fresh);
                app.snapshot_restore(&from, keep.as_ref()).map(drop)
            }
            (9, _, Some(from)) => {
                let (writable, name) =
                    (Some(!n.is_multiple_of(4)), (n.is_multiple_of(2)).then_some(fresh));
                let update = SnapshotUpdate { writable, name, ..SnapshotUpdate::default() };
                app.snapshot_update(&from, &update).map(drop)
            }
            (_, _, Some(from)) => app.snapshot_delete(&[from.clone(), from]).map(drop),
        };
        drop(done);
    }

    #[test]
    fn the_numbers_kept_equal_the_numbers_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut app = open(&dir);
        let mut dice = Dice(3);
        for n in 0..400 {
            step(&app, &mut dice, n);
            if n % 97 == 96 {
                app.close().unwrap();
                drop(app);
                app = open(&dir);
            }
            let store = app.store().unwrap();
            let (kept, counted) = (app.tally.lock(), Tally::of(&store));
            assert_eq!(kept.total(), counted.total(), "after operation {n}");
            for volume in store.volumes() {
                let (kept, counted) = (kept.volume(volume.id), counted.volume(volume.id));
                let both = |count: Count| (count.read_only, count.writable);
                assert_eq!(both(kept), both(counted), "after operation {n}: {}", volume.meta.name);
                // One that was deleted or made writable since is told as the parent until the store is opened again.
                let place = |id: Option<SnapshotId>| Some(store.snapshot_by_id(id?)?.place);
                if let Some(Place::ReadOnly(point)) = place(kept.newest) {
                    let counted = place(counted.newest);
                    assert_eq!(counted, Some(Place::ReadOnly(point)), "after operation {n}");
                }
            }
        }
        let (read_only, writable) = app.tally.lock().total();
        assert!(read_only > 20 && writable > 5, "{read_only} {writable}");
        app.close().unwrap();
    }
}
