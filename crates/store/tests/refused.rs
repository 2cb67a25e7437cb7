//! What a full disk costs while it stays full: a refused batch is asked for before it is tried again, so nothing is read
//! again and again.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_history::codec::{prefix, row_range};
use tintype_kv::{Batch, Kv, KvError, MemoryKv, Pairs};
use tintype_model::VolumeId;
use tintype_segments::{MemoryFiles, Options, Segments};
use tintype_store::{Key, LineRef, NewVolume, Store};
use world::{Owner, World, options, serve};

/// Records on a disk with so many free bytes, for whatever purpose; counts how often all spaces are read.
struct Tight {
    records: MemoryKv,
    free: AtomicU64,
    loads: AtomicU64,
}

impl Tight {
    fn ask(&self, bytes: u64) -> Result<(), KvError> {
        let free = self.free.load(Ordering::Relaxed);
        if bytes <= free {
            return Ok(());
        }
        Err(KvError::NoSpace { path: "memory".into(), needed: bytes, free })
    }
}

impl Kv for Tight {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.records.get(key)
    }
    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        if from == &row_range(prefix::SPACE, &[]).0[..] {
            self.loads.fetch_add(1, Ordering::Relaxed);
        }
        self.records.range(from, to)
    }
    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        self.records.range_rev(from, to)
    }
    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.ask(batch.bytes() as u64)?;
        self.records.write(batch)
    }
    fn room_for(&self, bytes: u64, _beside: u64, _frees: bool) -> Result<(), KvError> {
        self.ask(bytes)
    }
    fn sync(&self) -> Result<(), KvError> {
        self.records.sync()
    }
    fn disk_bytes(&self) -> Result<u64, KvError> {
        self.records.disk_bytes()
    }
    fn compact(&self) -> Result<(), KvError> {
        self.records.compact()
    }
}

struct Fixture {
    kv: Arc<Tight>,
    store: Arc<Store>,
    volume: VolumeId,
    owner: Arc<Owner>,
    names: World,
}

impl Fixture {
    fn new() -> Self {
        let kv = Arc::new(Tight {
            records: MemoryKv::new(),
            free: AtomicU64::new(u64::MAX),
            loads: AtomicU64::new(0),
        });
        let segments = Segments::open(Arc::new(MemoryFiles::new()), Options::default()).unwrap();
        let store = Store::open(kv.clone(), Arc::new(segments), options()).unwrap();
        let names = World::new(1);
        let meta = names.store.volumes()[0].meta.clone();
        let volume = store.create_volume(NewVolume { meta }).unwrap().id;
        let line = LineRef::Volume(volume);
        let owner = serve(&store, line).unwrap();
        Self { kv, store, volume, owner, names }
    }

    fn put(&self, count: u64, body: usize) {
        let mut line = self.owner.line.lock();
        for n in 0..count {
            line.put(Key::new(1, n, 0), vec![7; body].into(), Box::default());
        }
    }

    /// How often everything was read during `f`.
    fn loads(&self, f: impl FnOnce()) -> u64 {
        let before = self.kv.loads.load(Ordering::Relaxed);
        f();
        self.kv.loads.load(Ordering::Relaxed) - before
    }

    fn free(&self, bytes: u64) {
        self.kv.free.store(bytes, Ordering::Relaxed);
    }
}

#[test]
fn reclaim_without_room_reads_nothing_again() {
    let mut f = Fixture::new();
    f.put(3000, 10);
    let new = f.names.new_snapshot(None, false);
    let id = f.store.create_snapshot(f.volume, new).unwrap().id;
    f.put(3000, 10);
    f.store.sync().unwrap();
    f.store.delete_snapshots(&[id]).unwrap();
    let refused = |times: u64| {
        (0..times).for_each(|_| assert!(f.store.reclaim_step().unwrap_err().is_full()))
    };
    f.free(100);
    assert_eq!(f.loads(|| refused(5)), 0, "without any room");
    // Room for what a step takes at least, and not for this one.
    f.free(33 << 10);
    assert_eq!(f.loads(|| refused(5)), 1, "without room for this step");
    f.free(u64::MAX);
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.usage(f.volume).snapshot_bytes, 0);
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_commit_without_room_reads_nothing_again() {
    let f = Fixture::new();
    f.put(100, 4000);
    f.free(100 << 10);
    let sync = || (0..5).for_each(|_| assert!(f.store.sync().unwrap_err().is_full()));
    assert_eq!(f.loads(sync), 1);
    f.free(u64::MAX);
    f.store.sync().unwrap();
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}
