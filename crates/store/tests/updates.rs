//! Changes of snapshots are one commit each, and a status does not wait for a check.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may stop"
)]

mod world;

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tintype_history::codec::{prefix, row_range};
use tintype_kv::{Batch, Kv, KvError, MemoryKv, Pairs};
use tintype_model::{SnapshotId, SnapshotName, VolumeKind, VolumeMeta, VolumeName};
use tintype_segments::{MemoryFiles, Options, Segments};
use tintype_store::{NewVolume, Store, StoreError};
use world::{World, options};

fn with_snapshot(seed: u64) -> (World, SnapshotId) {
    let mut world = World::new(seed);
    for _ in 0..30 {
        world.mutate().unwrap();
    }
    world.snapshot_now(0, false).unwrap();
    let id = world.snaps.last().unwrap().id;
    (world, id)
}

/// The name that it has after a power loss, and whether it is writable.
fn found(world: &mut World, id: SnapshotId) -> (String, bool) {
    let (kv, files) = (Arc::new(world.kv.crash_keeping(0)), Arc::new(world.files.crash(2)));
    world.reopen_on(kv, files).unwrap();
    let snapshot = world.store.snapshot_by_id(id).unwrap();
    (snapshot.meta.name.to_string(), snapshot.writable())
}

fn name(text: &str) -> SnapshotName {
    SnapshotName::new(text).unwrap()
}

#[test]
fn a_snapshot_becomes_writable_and_changes_at_once_or_not_at_all() {
    let (mut world, id) = with_snapshot(41);
    let before = world.store.snapshot_by_id(id).unwrap().meta.name.to_string();
    let update = |world: &World| {
        world.store.make_writable(id, &mut |meta| meta.name = name("new")).map(|s| s.writable())
    };
    let writes = world.kv.writes();
    world.kv.fail_write(1);
    assert!(update(&world).is_err());
    assert_eq!(world.kv.writes() - writes, 1);
    assert_eq!(found(&mut world, id), (before, false));
    // Whatever would be written after the first batch fails: there is nothing.
    world.kv.fail_write(2);
    assert!(update(&world).unwrap());
    assert_eq!(found(&mut world, id), ("new".to_owned(), true));
    assert_eq!(world.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_refused_name_leaves_a_snapshot_read_only() {
    let (mut world, id) = with_snapshot(42);
    world.snapshot_now(0, false).unwrap();
    let taken = world.snaps.last().unwrap().id;
    let taken = world.store.snapshot_by_id(taken).unwrap().meta.name.clone();
    let refused = world.store.make_writable(id, &mut |meta| meta.name = taken.clone());
    assert!(matches!(refused, Err(StoreError::Exists { .. })), "{refused:?}");
    assert!(!world.store.snapshot_by_id(id).unwrap().writable());
    world.sync().unwrap();
    assert_eq!(world.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

/// Records whose dead lists are not read to the end before somebody says so.
struct Gate {
    records: MemoryKv,
    closed: AtomicBool,
    reached: SyncSender<()>,
    open: parking_lot::Mutex<Receiver<()>>,
}

impl Kv for Gate {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.records.get(key)
    }
    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        let all = from == &row_range(prefix::DEAD, &[]).0[..];
        if all && self.closed.swap(false, Ordering::SeqCst) {
            self.reached.send(()).unwrap();
            self.open.lock().recv().unwrap();
        }
        self.records.range(from, to)
    }
    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        self.records.range_rev(from, to)
    }
    fn write(&self, batch: Batch) -> Result<(), KvError> {
        self.records.write(batch)
    }
    fn room_for(&self, bytes: u64, beside: u64, frees: bool) -> Result<(), KvError> {
        self.records.room_for(bytes, beside, frees)
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

fn volume(name: &str) -> NewVolume {
    let (name, kind) = (VolumeName::new(name).unwrap(), VolumeKind::Filesystem);
    NewVolume { meta: VolumeMeta::new(name, kind, jiff::Timestamp::UNIX_EPOCH) }
}

#[test]
fn a_status_does_not_wait_for_a_check() {
    let ((reached, at_gate), (open, gate)) = (sync_channel(1), sync_channel(1));
    let (records, open_gate) = (MemoryKv::new(), parking_lot::Mutex::new(gate));
    let kv = Gate { records, closed: AtomicBool::new(false), reached, open: open_gate };
    let kv = Arc::new(kv);
    let segments = Segments::open(Arc::new(MemoryFiles::new()), Options::default()).unwrap();
    let store = Store::open(kv.clone(), Arc::new(segments), options()).unwrap();
    store.create_volume(volume("home")).unwrap();
    kv.closed.store(true, Ordering::SeqCst);
    let checking = std::thread::spawn({
        let store = store.clone();
        move || store.fsck(false)
    });
    at_gate.recv().unwrap();
    let (tell, told) = sync_channel(1);
    std::thread::spawn({
        let store = store.clone();
        move || tell.send(store.status()).unwrap()
    });
    // A status that waits for the check would wait for ever.
    let status = told.recv_timeout(Duration::from_secs(60));
    open.send(()).unwrap();
    assert_eq!(status.expect("it waits").unwrap().volumes.len(), 1);
    assert!(checking.join().unwrap().unwrap().problems.is_empty());
    store.create_volume(volume("two")).unwrap();
    assert_eq!(store.status().unwrap().volumes.len(), 2);
}
