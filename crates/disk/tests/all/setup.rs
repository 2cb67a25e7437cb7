//! What the tests of this crate begin with: a store in memory, names, and chance that repeats.

use std::error::Error;
use std::sync::Arc;

use tintype_kv::MemoryKv;
use tintype_model::{
    AccessPoint, SnapshotMeta, SnapshotName, VolumeId, VolumeKind, VolumeMeta, VolumeName,
};
use tintype_segments::{MemoryFiles, Segments};
use tintype_store::{NewSnapshot, NewVolume, Store, StoreOptions};

pub type Done<T = ()> = Result<T, Box<dyn Error>>;

/// Bytes of a block map.
pub const SPAN: u64 = 128 << 10;

pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n.max(1)
    }

    pub fn pick<T: Copy>(&mut self, from: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.collect();
        let at = self.below(all.len() as u64) as usize;
        all.get(at).copied()
    }

    /// A place that is often at a border of sectors, blocks or spans.
    pub fn place(&mut self, end: u64) -> u64 {
        let unit = [1, 512, 4096, 4096, SPAN][self.below(5) as usize];
        self.below(end / unit + 1) * unit
    }
}

pub fn time() -> jiff::Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

/// A store without background work.
pub fn open(kv: &Arc<MemoryKv>, files: &Arc<MemoryFiles>) -> Done<Arc<Store>> {
    let segments = Segments::open(files.clone(), Default::default())?;
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    Ok(Store::open(kv.clone(), Arc::new(segments), options)?)
}

pub fn new_snapshot(name: &str, writable: bool) -> NewSnapshot {
    let access = AccessPoint::new(format!("at-{name}")).unwrap();
    let meta = SnapshotMeta::new(SnapshotName::new(name).unwrap(), access, time());
    NewSnapshot { meta, unique_access_point: false, source: None, writable }
}

pub fn new_volume(name: &str) -> NewVolume {
    NewVolume { meta: VolumeMeta::new(VolumeName::new(name).unwrap(), VolumeKind::Disk, time()) }
}

pub fn volume(store: &Arc<Store>, name: &str) -> VolumeId {
    store.create_volume(new_volume(name)).unwrap().id
}

/// Random histories: as many as `TINTYPE_SEEDS` says.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("TINTYPE_SEEDS").ok().and_then(|n| n.parse().ok());
    1..count.unwrap_or(default) + 1
}
