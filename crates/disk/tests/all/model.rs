//! Random operations on a disk against a plain array that is cloned at each snapshot: reads, allocation, changes, restores, power loss.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tintype_disk::{Allocation, Blocks, Disk, DiskError, DiskView, Equal, changes, create};
use tintype_kv::MemoryKv;
use tintype_model::{SnapshotId, VolumeId};
use tintype_segments::MemoryFiles;
use tintype_store::{LineRef, MomentRef, Store};

use crate::setup::{Rng, SPAN, new_snapshot, new_volume, open, seeds, volume};

const LARGEST: u64 = 5 * SPAN;

struct World {
    rng: Rng,
    kv: Arc<MemoryKv>,
    files: Arc<MemoryFiles>,
    store: Arc<Store>,
    volume: VolumeId,
    disk: Arc<Disk>,
    content: Vec<u8>,
    snapshots: BTreeMap<SnapshotId, Vec<u8>>,
    /// Content and snapshots at the last commit.
    durable: (Vec<u8>, BTreeMap<SnapshotId, Vec<u8>>),
    names: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
        let store = open(&kv, &files).unwrap();
        let id = volume(&store, "d");
        create(&store, LineRef::Volume(id), 3 * SPAN + 512).unwrap();
        let disk = Disk::open(&store, LineRef::Volume(id)).unwrap();
        let content = vec![0; 3 * SPAN as usize + 512];
        let durable = (content.clone(), BTreeMap::new());
        let rng = Rng(seed * 0x9E37_79B9 + 1);
        let snapshots = BTreeMap::new();
        Self { rng, kv, files, store, volume: id, disk, content, snapshots, durable, names: 0 }
    }

    fn range(&mut self) -> (u64, u64) {
        let size = self.content.len() as u64;
        let (a, b) = (self.rng.place(size), self.rng.place(size));
        (a.min(b).min(size), a.max(b).min(size))
    }

    fn committed(&mut self) {
        self.durable = (self.content.clone(), self.snapshots.clone());
    }

    fn pick(&mut self) -> Option<SnapshotId> {
        let n = self.rng.below(self.snapshots.len() as u64) as usize;
        self.snapshots.keys().nth(n).copied()
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=7 => self.write(),
            8 => self.discard(),
            9..=10 => self.zero(),
            11 => self.resize(),
            12..=13 => self.snapshot(),
            14 => self.delete(),
            15 => self.restore(),
            16 => {
                self.disk.flush().unwrap();
                self.committed();
            }
            17 => self.reopen(),
            18 => {
                self.store.run_background_until_idle().unwrap();
                self.committed();
            }
            _ => self.compare_moments(),
        }
    }

    fn write(&mut self) {
        let (from, to) = self.range();
        let mut data: Vec<u8> = (from..to).map(|at| (at * 7 + self.names) as u8).collect();
        let value = self.rng.below(256) as u8;
        data.iter_mut().for_each(|byte| *byte ^= value);
        self.disk.write_at(from, &data).unwrap();
        self.content[from as usize..to as usize].copy_from_slice(&data);
    }

    fn discard(&mut self) {
        let (from, to) = self.range();
        self.disk.discard(from, to - from).unwrap();
        let size = self.content.len() as u64;
        let (first, mut last) = (from.div_ceil(4096) * 4096, to / 4096 * 4096);
        if to == size {
            last = size;
        }
        if first < last {
            self.content[first as usize..last as usize].fill(0);
        }
    }

    fn zero(&mut self) {
        let (from, to) = self.range();
        let reserve = self.rng.below(2) == 0;
        self.disk.write_zeroes(from, to - from, reserve).unwrap();
        self.content[from as usize..to as usize].fill(0);
    }

    fn resize(&mut self) {
        let size = (1 + self.rng.below(LARGEST / 512)) * 512;
        self.disk.resize(size).unwrap();
        self.content.resize(size as usize, 0);
    }

    fn snapshot(&mut self) {
        self.names += 1;
        let new = new_snapshot(&format!("s{}", self.names), false);
        let made = self.store.create_snapshot(self.volume, new).unwrap();
        self.snapshots.insert(made.id, self.content.clone());
        self.committed();
    }

    fn delete(&mut self) {
        if let Some(id) = self.pick() {
            self.store.delete_snapshots(&[id]).unwrap();
            self.snapshots.remove(&id);
            self.committed();
        }
    }

    fn restore(&mut self) {
        if let Some(id) = self.pick() {
            self.store.restore(self.volume, id, None).unwrap();
            self.content = self.snapshots[&id].clone();
            self.committed();
        }
    }

    fn reopen(&mut self) {
        self.disk.close().unwrap();
        self.committed();
        self.serve();
    }

    fn serve(&mut self) {
        let kv = self.kv.clone();
        self.disk = Disk::open(&self.store, LineRef::Volume(self.volume)).unwrap();
        drop(kv);
    }

    fn moments(&self) -> Vec<(MomentRef, Vec<u8>)> {
        let all = self.snapshots.iter();
        all.map(|(id, content)| (MomentRef::Snapshot(*id), content.clone()))
            .chain([(MomentRef::Live(self.volume), self.content.clone())])
            .collect()
    }

    fn compare_moments(&mut self) {
        let all = self.moments();
        let (a, b) = (self.rng.below(all.len() as u64), self.rng.below(all.len() as u64));
        let ((a, old), (b, new)) = (&all[a as usize], &all[b as usize]);
        let exact = changes(&self.store, *a, *b, Equal::Bytes).unwrap();
        self.committed();
        let mut want = Vec::new();
        for at in (0..new.len()).step_by(4096) {
            let end = (at + 4096).min(new.len());
            let before: Vec<u8> = (at..end).map(|i| old.get(i).copied().unwrap_or(0)).collect();
            if before != new[at..end] {
                want.push(at as u64);
            }
        }
        let blocks = |ranges: &[tintype_disk::ByteRange]| -> Vec<u64> {
            ranges.iter().flat_map(|r| (r.offset..r.offset + r.length).step_by(4096)).collect()
        };
        assert_eq!(blocks(&exact), want);
        let coarse = blocks(&changes(&self.store, *a, *b, Equal::Place).unwrap());
        assert!(want.iter().all(|block| coarse.contains(block)));
    }

    fn check(&self) {
        compare(&*self.disk, &self.content, "live");
        for (id, content) in &self.snapshots {
            let view = DiskView::open(&self.store, MomentRef::Snapshot(*id)).unwrap();
            compare(&view, content, &format!("snapshot {}", id.0));
        }
    }
}

/// Content, and that what is told to be zero is.
fn compare(disk: &dyn Blocks, content: &[u8], what: &str) {
    assert_eq!(disk.size(), content.len() as u64, "{what}");
    let mut buf = vec![1; content.len()];
    disk.read_at(0, &mut buf).unwrap();
    let differs = buf.iter().zip(content).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{what}");
    let mut at = 0;
    while at < disk.size() {
        for run in disk.extents(at, disk.size() - at, 3).unwrap() {
            assert_eq!(run.offset, at, "{what}");
            assert!(run.length > 0);
            at += run.length;
            let bytes = &content[run.offset as usize..at as usize];
            if run.allocation != Allocation::Data {
                assert!(bytes.iter().all(|byte| *byte == 0), "{what}: {run:?}");
            }
        }
    }
}

#[test]
fn every_moment_equals_an_array() {
    for seed in seeds(12) {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.check();
        world.disk.flush().unwrap();
        let report = world.store.fsck(false).unwrap();
        assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
    }
}

#[test]
fn a_power_loss_shows_the_last_commit() {
    for seed in seeds(12) {
        let mut world = World::new(seed ^ 0xabcd);
        for _ in 0..40 + seed * 7 {
            world.step();
        }
        let kv = Arc::new(world.kv.crash(seed));
        let files = Arc::new(world.files.crash(seed));
        let store = open(&kv, &files).unwrap();
        let disk = Disk::open(&store, LineRef::Volume(world.volume)).unwrap();
        let (content, snapshots) = &world.durable;
        compare(&*disk, content, "live after the power loss");
        for (id, content) in snapshots {
            let view = DiskView::open(&store, MomentRef::Snapshot(*id)).unwrap();
            compare(&view, content, "snapshot after the power loss");
        }
        let report = store.fsck(false).unwrap();
        assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
    }
}

#[test]
fn clones_and_writable_snapshots_go_their_own_way() {
    let mut world = World::new(5);
    world.write();
    world.snapshot();
    let id = world.pick().unwrap();
    let clone = world.store.clone_snapshot(id, new_volume("c")).unwrap();
    let other = Disk::open(&world.store, LineRef::Volume(clone.id)).unwrap();
    other.write_at(10, b"clone").unwrap();
    let made = world.store.create_snapshot(world.volume, new_snapshot("w", true)).unwrap();
    let writable = Disk::open(&world.store, LineRef::Snapshot(made.id)).unwrap();
    writable.write_at(20, b"writable").unwrap();
    world.check();
    let mut want = world.content.clone();
    want[10..15].copy_from_slice(b"clone");
    compare(&*other, &want, "clone");
    let found =
        changes(&world.store, MomentRef::Snapshot(id), MomentRef::Live(clone.id), Equal::Bytes);
    assert_eq!(found.unwrap(), [tintype_disk::ByteRange { offset: 0, length: 4096 }]);
    world.store.delete_snapshots(&[made.id]).unwrap();
    assert!(matches!(writable.write_at(0, b"x"), Err(DiskError::Gone)));
}

#[test]
fn the_image_that_a_disk_holds_is_known_until_the_first_change() {
    let world = World::new(7);
    let disk = &world.disk;
    let moments = |disk: &Disk| {
        let view = DiskView::open(&world.store, MomentRef::Live(world.volume)).unwrap();
        (disk.image(), view.image())
    };
    let image = [9; 16];
    let size = disk.size();
    for change in [
        &|disk: &Disk| disk.write_at(0, &[1]).unwrap(),
        &|disk: &Disk| disk.discard(0, 4096).unwrap(),
        &|disk: &Disk| disk.write_zeroes(5, 9000, true).unwrap(),
        &|disk: &Disk| disk.resize(size).unwrap(),
    ] as [&dyn Fn(&Disk); 4]
    {
        disk.set_image(image);
        disk.flush().unwrap();
        assert_eq!(moments(disk), (Some(image), Some(image)));
        change(disk);
        disk.flush().unwrap();
        assert_eq!(moments(disk), (None, None));
    }
    // A snapshot goes on to know it, and going back to it too.
    disk.set_image(image);
    let snapshot = world.store.create_snapshot(world.volume, new_snapshot("i", false)).unwrap();
    disk.write_at(0, &[2]).unwrap();
    disk.flush().unwrap();
    let view = DiskView::open(&world.store, MomentRef::Snapshot(snapshot.id)).unwrap();
    assert_eq!((view.image(), disk.image()), (Some(image), None));
    world.store.restore(world.volume, snapshot.id, None).unwrap();
    assert_eq!(moments(disk), (Some(image), Some(image)));
}

#[test]
fn ranges_outside_and_odd_sizes_are_refused() {
    let world = World::new(1);
    let size = world.disk.size();
    for (offset, length) in [(size, 1), (size - 1, 2), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
        let refused = world.disk.extents(offset, length, 1);
        assert!(matches!(refused, Err(DiskError::OutOfBounds { .. })), "{offset} {length}");
        assert!(matches!(world.disk.discard(offset, length), Err(DiskError::OutOfBounds { .. })));
        let zeroed = world.disk.write_zeroes(offset, length, false);
        assert!(matches!(zeroed, Err(DiskError::OutOfBounds { .. })), "{zeroed:?}");
    }
    assert!(matches!(world.disk.write_at(size - 1, &[1, 2]), Err(DiskError::OutOfBounds { .. })));
    assert!(matches!(world.disk.read_at(size, &mut [0]), Err(DiskError::OutOfBounds { .. })));
    world.disk.read_at(size, &mut []).unwrap();
    for size in [0, 1, 513, u64::MAX] {
        assert!(matches!(world.disk.resize(size), Err(DiskError::Size { .. })));
    }
    let other = volume(&world.store, "no-disk");
    let missing = Disk::open(&world.store, LineRef::Volume(other));
    assert!(matches!(missing.err(), Some(DiskError::NoDisk)));
}

#[test]
fn limits_hold_and_reserved_blocks_count() {
    let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
    let store = open(&kv, &files).unwrap();
    let mut new = new_volume("d");
    new.meta.quota = Some(8 * 4096);
    let id = store.create_volume(new).unwrap().id;
    create(&store, LineRef::Volume(id), 1 << 40).unwrap();
    let disk = Disk::open(&store, LineRef::Volume(id)).unwrap();
    disk.write_zeroes(1 << 30, 6 * 4096, true).unwrap();
    disk.write_at(0, &[1; 2 * 4096]).unwrap();
    let full = disk.write_at(1 << 35, &[1]);
    assert!(full.as_ref().is_err_and(DiskError::is_full), "{full:?}");
    disk.write_at((1 << 30) + 5, &[1; 4096]).unwrap();
    disk.discard(0, 1 << 40).unwrap();
    assert_eq!(disk.mapped_bytes(), 0);
    disk.write_at(1 << 35, &[1]).unwrap();
}

#[test]
fn a_large_disk_shrinks_and_grows_with_zeroes() {
    let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
    let store = open(&kv, &files).unwrap();
    let id = volume(&store, "d");
    create(&store, LineRef::Volume(id), 1 << 44).unwrap();
    let disk = Disk::open(&store, LineRef::Volume(id)).unwrap();
    for at in [0, 4096, 1 << 32, (1 << 44) - 512] {
        disk.write_at(at, &[7; 512]).unwrap();
    }
    disk.resize(1024).unwrap();
    assert_eq!(disk.mapped_bytes(), 4096);
    disk.resize(512).unwrap();
    disk.resize(1 << 44).unwrap();
    let mut buf = [1; 1024];
    disk.read_at(0, &mut buf).unwrap();
    assert!(buf[..512] == [7; 512] && buf[512..] == [0; 512]);
    disk.read_at((1 << 44) - 512, &mut buf[..512]).unwrap();
    assert_eq!(buf[..512], [0; 512]);
}

/// A restore keeps what was there; each acknowledged write is in what was kept or in the live disk.
#[test]
fn writes_during_a_restore_are_kept_or_live() {
    const BLOCKS: u64 = 4000;
    let store = open(&Arc::default(), &Arc::default()).unwrap();
    let id = volume(&store, "d");
    create(&store, LineRef::Volume(id), BLOCKS * 4096).unwrap();
    let disk = Disk::open(&store, LineRef::Volume(id)).unwrap();
    let base = store.create_snapshot(id, new_snapshot("base", false)).unwrap().id;
    let (disk, store) = (&disk, &store);
    let start = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for n in 0..BLOCKS {
                disk.write_at(n * 4096, &[1; 4096]).unwrap();
            }
        });
        start.wait();
        for n in 0..20 {
            let keep = new_snapshot(&format!("k{n}"), false);
            store.restore(id, base, Some(keep)).unwrap();
        }
    });
    store.sync().unwrap();
    let snapshots = store.snapshots(Some(id)).into_iter().map(|s| MomentRef::Snapshot(s.id));
    let moments: Vec<_> = snapshots
        .chain([MomentRef::Live(id)])
        .map(|moment| DiskView::open(store, moment).unwrap())
        .collect();
    let mut block = [0; 4096];
    for n in 0..BLOCKS {
        let mut holds = |view: &DiskView| {
            view.read_at(n * 4096, &mut block).unwrap();
            block[0] == 1
        };
        assert_eq!(moments.iter().filter(|view| holds(view)).count(), 1, "block {n}");
    }
    disk.close().unwrap();
    assert!(matches!(disk.write_at(0, &[2; 4096]), Err(DiskError::Closed)));
}

/// A delta takes the place of a disk only as long as nothing is written to it; what is written in that instant comes upon the delta.
#[test]
fn a_held_disk_is_replaced_before_the_next_write() {
    let store = open(&Arc::default(), &Arc::default()).unwrap();
    let id = volume(&store, "d");
    create(&store, LineRef::Volume(id), 1 << 20).unwrap();
    let disk = Disk::open(&store, LineRef::Volume(id)).unwrap();
    let before = disk.generation();
    disk.write_at(0, &[1; 4096]).unwrap();
    assert!(disk.hold_at(before).is_none(), "it was written to since");
    disk.flush().unwrap();
    let other = store.create_snapshot(id, new_snapshot("other", true)).unwrap().id;
    let beside = Disk::open(&store, LineRef::Snapshot(other)).unwrap();
    beside.write_at(0, &[2; 8192]).unwrap();
    for round in 0..20_u8 {
        let written = AtomicBool::new(false);
        let hold = disk.hold_at(disk.generation()).unwrap();
        assert!(disk.hold_at(disk.generation()).is_none(), "one at a time");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                disk.write_at(8192, &[10 + round; 4096]).unwrap();
                written.store(true, Ordering::Release);
            });
            let mut block = [9; 4096];
            for _ in 0..50 {
                disk.read_at(8192, &mut block).unwrap();
                std::thread::yield_now();
            }
            store.restore(id, other, None).unwrap();
            store.sync().unwrap();
            assert!(!written.load(Ordering::Acquire), "it waits");
            drop(hold);
            writer.join().unwrap();
        });
        let mut bytes = [0; 12288];
        disk.read_at(0, &mut bytes).unwrap();
        assert!(bytes[..8192] == [2; 8192] && bytes[8192..] == [10 + round; 4096], "{round}");
    }
}
