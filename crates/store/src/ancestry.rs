//! From which snapshot a live volume grew: derived from spaces and points, so that it holds after every restart.

use crate::meta::Place;
use crate::store::Store;
use std::collections::{BTreeMap, HashMap};
use tintype_history::{Epoch, Point, SpaceId};
use tintype_model::{SnapshotId, VolumeId};

impl Store {
    /// For each volume the newest read-only snapshot on the way that led to its live end, if any is left.
    #[must_use]
    pub fn grown_from(&self) -> HashMap<VolumeId, SnapshotId> {
        let core = self.core();
        let mut points: BTreeMap<(SpaceId, Epoch), SnapshotId> = BTreeMap::new();
        for snapshot in core.catalog.snapshots.values() {
            if let Place::ReadOnly(point) = snapshot.place {
                points.entry((point.space, point.epoch)).or_insert(snapshot.id);
            }
        }
        let tree = core.history.tree();
        let newest = |(id, space): (&VolumeId, SpaceId)| {
            let epoch = tree.get(space).map_or(Epoch(0), |space| space.open);
            let way = tree.chain(Point { space, epoch });
            let at = |point: &Point| {
                let range = (point.space, Epoch(0))..=(point.space, point.epoch);
                points.range(range).next_back().map(|(_, snapshot)| *snapshot)
            };
            Some((*id, way.iter().find_map(at)?))
        };
        let volumes = core.catalog.volumes.iter();
        volumes.map(|(id, volume)| (id, volume.space)).filter_map(newest).collect()
    }
}
