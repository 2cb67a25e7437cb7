//! Several disks and writable snapshots at once, with clones, restores, sizes and deletes in any order, against plain arrays;
//! and a power loss at every sync of such histories: what is visible then is the last commit or the one in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_disk::{Blocks, Disk, DiskView, check, create};
use tintype_kv::MemoryKv;
use tintype_model::{SnapshotId, VolumeId};
use tintype_segments::MemoryFiles;
use tintype_store::{LineRef, MomentRef, NewSnapshot, NewVolume, Store};

use crate::setup::{Done, Rng, SPAN, new_snapshot, new_volume, open, seeds};

const LARGEST: u64 = 3 * SPAN;
/// Lines and snapshots at once, at most: arrays are compared as a whole.
const MANY: usize = 7;

/// What every name shows.
#[derive(Clone, Default)]
struct Image {
    volumes: BTreeMap<VolumeId, Vec<u8>>,
    /// With the volume that each belongs to, and whether it is writable.
    snapshots: BTreeMap<SnapshotId, (VolumeId, bool, Vec<u8>)>,
}

impl Image {
    fn content(&mut self, line: LineRef) -> &mut Vec<u8> {
        match line {
            LineRef::Volume(id) => self.volumes.get_mut(&id).unwrap(),
            LineRef::Snapshot(id) => &mut self.snapshots.get_mut(&id).unwrap().2,
        }
    }

    fn lines(&self) -> impl Iterator<Item = LineRef> {
        let writable = self.snapshots.iter().filter(|(_, (_, writable, _))| *writable);
        let volumes = self.volumes.keys().map(|id| LineRef::Volume(*id));
        volumes.chain(writable.map(|(id, _)| LineRef::Snapshot(*id)))
    }

    fn moments(&self) -> impl Iterator<Item = (MomentRef, &Vec<u8>)> {
        let volumes = self.volumes.iter().map(|(id, content)| (MomentRef::Live(*id), content));
        let snapshots = self.snapshots.iter();
        volumes.chain(snapshots.map(|(id, (.., content))| (MomentRef::Snapshot(*id), content)))
    }

    /// Everything in it is there and shows this.
    fn matches(&self, store: &Store) -> Result<(), String> {
        for (moment, content) in self.moments() {
            let what = |error: &dyn std::fmt::Display| format!("{moment:?}: {error}");
            let view = DiskView::open(store, moment).map_err(|e| what(&e))?;
            if view.size() != content.len() as u64 {
                return Err(what(&format!("{} bytes, not {}", view.size(), content.len())));
            }
            let mut buf = vec![1; content.len()];
            view.read_at(0, &mut buf).map_err(|e| what(&e))?;
            if let Some(at) = buf.iter().zip(content).position(|(a, b)| a != b) {
                return Err(what(&format!("byte {at} differs")));
            }
            let report = check(store, moment).map_err(|e| what(&e))?;
            if report.problem_count > 0 {
                return Err(what(&format!("{:?}", report.problems)));
            }
        }
        Ok(())
    }
}

struct World {
    rng: Rng,
    kv: Arc<MemoryKv>,
    files: Arc<MemoryFiles>,
    store: Arc<Store>,
    disks: BTreeMap<LineRef, Arc<Disk>>,
    /// With everything that was begun.
    now: Image,
    /// As of the last commit.
    durable: Image,
    commits: u64,
    names: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
        let store = open(&kv, &files).unwrap();
        let mut world = Self {
            rng: Rng(seed.wrapping_mul(0x9E37_79B9) + 1),
            kv,
            files,
            store,
            disks: BTreeMap::new(),
            now: Image::default(),
            durable: Image::default(),
            commits: 0,
            names: 0,
        };
        world.add().unwrap();
        world.committed();
        world
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn new_volume(&mut self) -> NewVolume {
        new_volume(&self.name())
    }

    fn new_snapshot(&mut self, source: Option<SnapshotId>, writable: bool) -> NewSnapshot {
        NewSnapshot { source, ..new_snapshot(&self.name(), writable) }
    }

    /// Notes what is durable, if there was a commit.
    fn committed(&mut self) {
        let commits = self.store.status().unwrap().commits;
        if commits != self.commits {
            self.commits = commits;
            self.durable = self.now.clone();
        }
    }

    fn disk(&mut self, line: LineRef) -> Done<Arc<Disk>> {
        if let Some(disk) = self.disks.get(&line) {
            return Ok(Arc::clone(disk));
        }
        let disk = Disk::open(&self.store, line)?;
        self.disks.insert(line, Arc::clone(&disk));
        Ok(disk)
    }

    fn line(&mut self) -> LineRef {
        let lines: Vec<LineRef> = self.now.lines().collect();
        self.rng.pick(lines.into_iter()).unwrap()
    }

    fn snapshot(&mut self) -> Option<SnapshotId> {
        let all: Vec<SnapshotId> = self.now.snapshots.keys().copied().collect();
        self.rng.pick(all.into_iter())
    }

    fn step(&mut self) -> Done {
        match self.rng.below(24) {
            0..=6 => self.write()?,
            7 => self.clear(false)?,
            8 => self.clear(true)?,
            9 => self.resize()?,
            10..=12 => self.take(false)?,
            13 => self.take(true)?,
            14 => self.take_of_snapshot()?,
            15 => self.make_writable()?,
            16 => self.clone()?,
            17..=18 => self.delete_snapshot()?,
            19 => self.restore()?,
            20 => self.delete_volume()?,
            21 => self.let_go()?,
            22 => self.store.run_background_until_idle()?,
            _ => self.store.sync()?,
        }
        self.committed();
        Ok(())
    }

    fn range(&mut self, line: LineRef) -> (u64, u64) {
        let size = self.now.content(line).len() as u64;
        let (a, b) = (self.rng.place(size), self.rng.place(size));
        (a.min(b).min(size), a.max(b).min(size))
    }

    fn write(&mut self) -> Done {
        let line = self.line();
        let (from, to) = self.range(line);
        let value = self.rng.below(255) as u8 + 1;
        let data: Vec<u8> = (from..to).map(|at| (at * 7) as u8 ^ value).collect();
        self.now.content(line)[from as usize..to as usize].copy_from_slice(&data);
        Ok(self.disk(line)?.write_at(from, &data)?)
    }

    fn clear(&mut self, reserve: bool) -> Done {
        let line = self.line();
        let (from, to) = self.range(line);
        self.now.content(line)[from as usize..to as usize].fill(0);
        Ok(self.disk(line)?.write_zeroes(from, to - from, reserve)?)
    }

    fn resize(&mut self) -> Done {
        let line = self.line();
        let size = (1 + self.rng.below(LARGEST / 512)) * 512;
        self.now.content(line).resize(size as usize, 0);
        Ok(self.disk(line)?.resize(size)?)
    }

    fn take(&mut self, writable: bool) -> Done {
        if self.now.snapshots.len() >= MANY {
            return self.delete_snapshot();
        }
        let all: Vec<VolumeId> = self.now.volumes.keys().copied().collect();
        let volume = self.rng.pick(all.into_iter()).unwrap();
        let new = self.new_snapshot(None, writable);
        let made = self.store.create_snapshot(volume, new)?;
        let content = self.now.volumes[&volume].clone();
        self.now.snapshots.insert(made.id, (volume, writable, content));
        Ok(())
    }

    /// A snapshot of a snapshot, also of a writable one.
    fn take_of_snapshot(&mut self) -> Done {
        let Some(source) = self.snapshot().filter(|_| self.now.snapshots.len() < MANY) else {
            return Ok(());
        };
        let writable = self.rng.below(2) == 0;
        let new = self.new_snapshot(Some(source), writable);
        let (volume, _, content) = self.now.snapshots[&source].clone();
        let made = self.store.create_snapshot(volume, new)?;
        self.now.snapshots.insert(made.id, (volume, writable, content));
        Ok(())
    }

    fn make_writable(&mut self) -> Done {
        let Some(id) = self.snapshot() else { return Ok(()) };
        self.store.make_writable(id, &mut |_| ())?;
        self.now.snapshots.get_mut(&id).unwrap().1 = true;
        Ok(())
    }

    fn clone(&mut self) -> Done {
        let Some(source) = self.snapshot().filter(|_| self.now.volumes.len() < 4) else {
            return Ok(());
        };
        let new = self.new_volume();
        let content = self.now.snapshots[&source].2.clone();
        let made = self.store.clone_snapshot(source, new)?;
        self.now.volumes.insert(made.id, content);
        Ok(())
    }

    fn add(&mut self) -> Done {
        let new = self.new_volume();
        let size = (1 + self.rng.below(LARGEST / 512)) * 512;
        let id = self.store.create_volume(new)?.id;
        create(&self.store, LineRef::Volume(id), size)?;
        self.now.volumes.insert(id, vec![0; size as usize]);
        Ok(())
    }

    fn delete_snapshot(&mut self) -> Done {
        let Some(id) = self.snapshot() else { return Ok(()) };
        self.now.snapshots.remove(&id);
        self.store.delete_snapshots(&[id])?;
        if let Some(disk) = self.disks.remove(&LineRef::Snapshot(id)) {
            assert!(disk.is_gone() && disk.write_at(0, b"x").is_err());
        }
        Ok(())
    }

    fn restore(&mut self) -> Done {
        let Some(id) = self.snapshot() else { return Ok(()) };
        let (volume, _, content) = self.now.snapshots[&id].clone();
        if !self.now.volumes.contains_key(&volume) {
            return Ok(());
        }
        self.now.volumes.insert(volume, content);
        Ok(self.store.restore(volume, id, None)?)
    }

    fn delete_volume(&mut self) -> Done {
        let all: Vec<VolumeId> = self.now.volumes.keys().copied().collect();
        let Some(id) = self.rng.pick(all.into_iter()) else { return Ok(()) };
        if self.now.volumes.len() < 2 {
            return self.add();
        }
        self.now.volumes.remove(&id);
        let gone: Vec<SnapshotId> = self.now.snapshots.keys().copied().collect();
        self.now.snapshots.retain(|_, (volume, ..)| *volume != id);
        if let Some(disk) = self.disks.remove(&LineRef::Volume(id)) {
            disk.retire()?;
        }
        self.store.delete_volume(id, true)?;
        for id in gone.into_iter().filter(|id| !self.now.snapshots.contains_key(id)) {
            self.disks.remove(&LineRef::Snapshot(id));
        }
        Ok(())
    }

    fn let_go(&mut self) -> Done {
        let open: Vec<LineRef> = self.disks.keys().copied().collect();
        let Some(line) = self.rng.pick(open.into_iter()) else { return Ok(()) };
        self.disks[&line].close()?;
        self.disks.remove(&line);
        Ok(())
    }
}

fn sound(store: &Store) -> Result<(), String> {
    let report = store.fsck(false).map_err(|error| tintype_store::chain_text(&error))?;
    if report.problems.is_empty() { Ok(()) } else { Err(format!("{:?}", report.problems)) }
}

#[test]
fn every_line_goes_its_own_way() {
    for seed in seeds(25) {
        let mut world = World::new(seed);
        for step in 0..200 {
            world.step().unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
        }
        world.store.sync().unwrap();
        world.now.matches(&world.store).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        world.store.run_background_until_idle().unwrap();
        world.now.matches(&world.store).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        sound(&world.store).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
}

/// Where a history ends.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    KvSync(u64),
    SegmentSync(u64),
    /// A sync that only pretends: a planted bug.
    SkippedKvSync(u64),
    SkippedSegmentSync(u64),
}

/// Runs a history up to the fault, loses power, opens again, and judges what is there. Answers how many syncs of both kinds there were.
fn lose_power(seed: u64, fault: Fault) -> Result<(u64, u64), String> {
    let mut world = World::new(seed);
    match fault {
        Fault::None => {}
        Fault::KvSync(nth) => world.kv.fail_sync(nth),
        Fault::SegmentSync(nth) => world.files.fail_sync(nth),
        Fault::SkippedKvSync(nth) => world.kv.skip_sync(nth),
        Fault::SkippedSegmentSync(nth) => world.files.skip_sync(nth),
    }
    let start = (world.kv.syncs(), world.files.syncs());
    let mut before = Image::default();
    let failed = (0..70).any(|_| {
        before = world.now.clone();
        world.step().is_err()
    });
    let syncs = (world.kv.syncs() - start.0, world.files.syncs() - start.1);
    let (kv, files) = (Arc::new(world.kv.crash(seed ^ 77)), Arc::new(world.files.crash(seed ^ 99)));
    let store = open(&kv, &files).map_err(|error| error.to_string())?;
    let durable = world.durable.matches(&store);
    match durable {
        // A commit of the operation in flight may have become durable: one of what was there before it, or its own.
        Err(what) if failed && before.matches(&store).is_err() => {
            world.now.matches(&store).map_err(|other| format!("{what}; in flight: {other}"))?;
        }
        Err(_) if failed => {}
        other => other?,
    }
    sound(&store)?;
    Ok(syncs)
}

#[test]
fn a_power_loss_at_any_sync_shows_a_commit() {
    for seed in seeds(4) {
        let (kv, files) = lose_power(seed, Fault::None).unwrap();
        let all = (1..=kv).map(Fault::KvSync).chain((1..=files).map(Fault::SegmentSync));
        for fault in all {
            lose_power(seed, fault).unwrap_or_else(|what| panic!("seed {seed}, {fault:?}: {what}"));
        }
    }
}

#[test]
fn a_sync_that_only_pretends_is_noticed() {
    let noticed = |seed: u64| {
        let (kv, files) = lose_power(seed, Fault::None).unwrap();
        // The last ones: what a later sync makes durable is not lost.
        let last = [Fault::SkippedKvSync(kv), Fault::SkippedSegmentSync(files)];
        last.map(|fault| lose_power(seed, fault).is_err())
    };
    let found: Vec<[bool; 2]> = seeds(12).map(noticed).collect();
    assert!(found.iter().any(|[kv, _]| *kv) && found.iter().any(|[_, files]| *files), "{found:?}");
}
