//! Volumes and snapshots as rows: JSON values under short keys, so that they stay readable and can grow.
//!
//! Row `M v ID` = a volume, `M s ID` = a snapshot, `M n` = the next id. Documents (`M d`) are in `documents.rs`, holds (`M h`) in `holds.rs`.

use crate::documents::{self, DOCUMENT};
use crate::error::{Result, StoreError};
use crate::holds::{self, HOLD, Hold};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tintype_history::{Epoch, Point, SpaceId};
use tintype_kv::{Batch, Kv};
use tintype_model::{SnapshotId, SnapshotMeta, VolumeId, VolumeMeta};

/// Row prefix of this file.
pub const META: u8 = b'M';

/// A volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Its id; never reused.
    pub id: VolumeId,
    /// What users see.
    pub meta: VolumeMeta,
    /// The space of its live end.
    pub space: SpaceId,
}

/// Where a snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A fixed moment.
    ReadOnly(Point),
    /// A line of its own.
    Writable(SpaceId),
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its id; never reused.
    pub id: SnapshotId,
    /// The volume under which it appears.
    pub volume: VolumeId,
    /// What users see.
    pub meta: SnapshotMeta,
    /// Where it stands.
    pub place: Place,
}

impl Snapshot {
    /// Whether it can be written.
    #[must_use]
    pub fn writable(&self) -> bool {
        matches!(self.place, Place::Writable(_))
    }
}

#[derive(Serialize, Deserialize)]
struct VolumeRow {
    space: u64,
    meta: VolumeMeta,
}

#[derive(Serialize, Deserialize)]
struct SnapshotRow {
    volume: u64,
    space: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    meta: SnapshotMeta,
}

/// All volumes and snapshots, in memory.
#[derive(Default)]
pub struct Catalog {
    pub(crate) volumes: BTreeMap<VolumeId, Volume>,
    pub(crate) snapshots: BTreeMap<SnapshotId, Arc<Snapshot>>,
    volume_names: HashMap<String, VolumeId>,
    names: HashMap<(VolumeId, String), SnapshotId>,
    access_points: HashMap<(VolumeId, String), SnapshotId>,
    of_volume: HashMap<VolumeId, BTreeSet<SnapshotId>>,
    next_id: u64,
    changed: BTreeSet<VolumeId>,
    /// Pairs of moments that are kept for a while.
    pub(crate) holds: BTreeMap<String, Hold>,
}

fn key(kind: u8, id: u64) -> Vec<u8> {
    let mut key = vec![META, kind];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn json<T: Serialize>(what: &'static str, id: u64, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|_| StoreError::Damaged { what, id })
}

impl Catalog {
    /// Reads all rows.
    pub fn load(kv: &dyn Kv) -> Result<Self> {
        let mut catalog = Self { next_id: 1, ..Self::default() };
        if let Some(value) = kv.get(&[META, b'n'])? {
            let bytes: [u8; 8] = (&value[..])
                .try_into()
                .map_err(|_| StoreError::Damaged { what: "id counter", id: 0 })?;
            catalog.next_id = u64::from_be_bytes(bytes);
        }
        for row in kv.range(&[META, b'v'], &[META, b'w']) {
            catalog.load_volume(&row?)?;
        }
        for row in kv.range(&[META, b's'], &[META, b't']) {
            catalog.load_snapshot(&row?)?;
        }
        catalog.holds = holds::load(kv)?;
        Ok(catalog)
    }

    fn load_volume(&mut self, (key, value): &tintype_kv::Pair) -> Result<()> {
        let id = row_id(key);
        let row: VolumeRow = serde_json::from_slice(value)
            .map_err(|_| StoreError::Damaged { what: "volume", id })?;
        let volume = Volume { id: VolumeId(id), meta: row.meta, space: SpaceId(row.space) };
        self.index_volume(volume);
        Ok(())
    }

    fn index_volume(&mut self, volume: Volume) {
        self.unindex_volume(volume.id);
        self.volume_names.insert(volume.meta.name.to_string(), volume.id);
        self.volumes.insert(volume.id, volume);
    }

    fn unindex_volume(&mut self, id: VolumeId) {
        self.changed.insert(id);
        let Some(old) = self.volumes.remove(&id) else { return };
        if self.volume_names.get(old.meta.name.as_str()) == Some(&id) {
            self.volume_names.remove(old.meta.name.as_str());
        }
    }

    fn load_snapshot(&mut self, (key, value): &tintype_kv::Pair) -> Result<()> {
        let id = row_id(key);
        let row: SnapshotRow = serde_json::from_slice(value)
            .map_err(|_| StoreError::Damaged { what: "snapshot", id })?;
        let space = SpaceId(row.space);
        let place = match row.epoch {
            Some(epoch) => Place::ReadOnly(Point { space, epoch: Epoch(epoch) }),
            None => Place::Writable(space),
        };
        let (id, volume) = (SnapshotId(id), VolumeId(row.volume));
        self.index(Arc::new(Snapshot { id, volume, meta: row.meta, place }));
        Ok(())
    }

    fn index(&mut self, snapshot: Arc<Snapshot>) {
        let volume = snapshot.volume;
        self.changed.insert(volume);
        self.of_volume.entry(volume).or_default().insert(snapshot.id);
        self.names.insert((volume, snapshot.meta.name.to_string()), snapshot.id);
        self.access_points.insert((volume, snapshot.meta.access_point.to_string()), snapshot.id);
        self.snapshots.insert(snapshot.id, snapshot);
    }

    fn unindex(&mut self, id: SnapshotId) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshots.remove(&id)?;
        let volume = snapshot.volume;
        self.changed.insert(volume);
        if let Some(ids) = self.of_volume.get_mut(&volume) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_volume.remove(&volume);
            }
        }
        self.names.remove(&(volume, snapshot.meta.name.to_string()));
        self.access_points.remove(&(volume, snapshot.meta.access_point.to_string()));
        Some(snapshot)
    }

    /// Number of a volume's snapshots.
    pub fn count(&self, volume: VolumeId) -> u64 {
        self.of_volume.get(&volume).map_or(0, |ids| ids.len() as u64)
    }

    /// A volume's snapshots by id; looks at no others.
    pub fn snapshots_of(&self, volume: VolumeId) -> impl Iterator<Item = &Arc<Snapshot>> {
        let ids = self.of_volume.get(&volume).into_iter().flatten();
        ids.filter_map(|id| self.snapshots.get(id))
    }

    /// The volumes of which something, or the snapshots, changed since this was last called, or since loading.
    pub fn take_changed(&mut self) -> BTreeSet<VolumeId> {
        std::mem::take(&mut self.changed)
    }

    /// Whether nothing was ever made here.
    pub fn is_new(&self) -> bool {
        self.next_id == 1
    }

    /// A fresh id.
    pub fn take_id(&mut self, batch: &mut Batch) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        batch.put(vec![META, b'n'], self.next_id.to_be_bytes().to_vec());
        id
    }

    /// The volume of that name.
    pub fn volume_named(&self, name: &str) -> Option<&Volume> {
        self.volumes.get(self.volume_names.get(name)?)
    }

    /// The snapshot of that name.
    pub fn snapshot_named(&self, volume: VolumeId, name: &str) -> Option<Arc<Snapshot>> {
        let id = self.names.get(&(volume, name.to_owned()))?;
        self.snapshots.get(id).cloned()
    }

    /// The snapshot behind an access point.
    pub fn snapshot_at(&self, volume: VolumeId, access_point: &str) -> Option<Arc<Snapshot>> {
        let id = self.access_points.get(&(volume, access_point.to_owned()))?;
        self.snapshots.get(id).cloned()
    }

    /// Refuses a snapshot whose name or access point another one has.
    pub fn check_free(
        &self,
        volume: VolumeId,
        meta: &SnapshotMeta,
        except: Option<SnapshotId>,
    ) -> Result<()> {
        let name = meta.name.to_string();
        let access_point = meta.access_point.to_string();
        let taken = |id: Option<&SnapshotId>| id.is_some_and(|id| Some(*id) != except);
        if taken(self.names.get(&(volume, name.clone()))) {
            return Err(StoreError::Exists { what: format!("snapshot {name}") });
        }
        if taken(self.access_points.get(&(volume, access_point.clone()))) {
            return Err(StoreError::Exists { what: format!("access point {access_point}") });
        }
        Ok(())
    }

    /// Puts or replaces a volume.
    pub fn put_volume(&mut self, batch: &mut Batch, volume: Volume) -> Result<()> {
        let row = VolumeRow { space: volume.space.0, meta: volume.meta.clone() };
        batch.put(key(b'v', volume.id.0), json("volume", volume.id.0, &row)?);
        self.index_volume(volume);
        Ok(())
    }

    /// Removes a volume.
    pub fn remove_volume(&mut self, batch: &mut Batch, id: VolumeId) {
        batch.delete(key(b'v', id.0));
        self.unindex_volume(id);
    }

    /// Puts or replaces a snapshot.
    pub fn put_snapshot(&mut self, batch: &mut Batch, snapshot: Snapshot) -> Result<Arc<Snapshot>> {
        let (space, epoch) = match snapshot.place {
            Place::ReadOnly(point) => (point.space.0, Some(point.epoch.0)),
            Place::Writable(space) => (space.0, None),
        };
        let row =
            SnapshotRow { volume: snapshot.volume.0, space, epoch, meta: snapshot.meta.clone() };
        batch.put(key(b's', snapshot.id.0), json("snapshot", snapshot.id.0, &row)?);
        self.unindex(snapshot.id);
        let snapshot = Arc::new(snapshot);
        self.index(snapshot.clone());
        Ok(snapshot)
    }

    /// Removes a snapshot.
    pub fn remove_snapshot(&mut self, batch: &mut Batch, id: SnapshotId) -> Option<Arc<Snapshot>> {
        batch.delete(key(b's', id.0));
        self.unindex(id)
    }
}

/// What kind of row this is, for messages.
pub fn row_kind(key: &[u8]) -> &'static str {
    match key.get(1) {
        Some(b'v') => "volume",
        Some(b's') => "snapshot",
        Some(&DOCUMENT) => "document",
        Some(&HOLD) => "hold",
        _ => "id counter",
    }
}

/// Whether [`Catalog::load`] can read this row.
pub fn is_sound(key: &[u8], value: &[u8]) -> bool {
    match key.get(1) {
        Some(b'v') => key.len() == 10 && serde_json::from_slice::<VolumeRow>(value).is_ok(),
        Some(b's') => key.len() == 10 && serde_json::from_slice::<SnapshotRow>(value).is_ok(),
        Some(&DOCUMENT) => documents::is_sound(key, value),
        Some(&HOLD) => holds::is_sound(key, value),
        _ => value.len() == 8,
    }
}

fn row_id(key: &[u8]) -> u64 {
    key.get(2..10).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes)
}
