//! A small disk that another program fills while a store is written: nothing acknowledged goes, deleting works, and writing
//! goes on when there is room, without opening the store again.
//!
//! Needs root, for disks of its own; skipped loudly elsewhere.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_kv::{FjallKv, Options as KvOptions};
use tintype_model::{SnapshotId, VolumeId};
use tintype_segments::{FolderFiles, Options, Segments};
use tintype_store::limits::{Limits, Live, Need};
use tintype_store::{Key, LineRef, NewVolume, Store, StoreOptions};
use world::{Owner, State, Val, World, block, compare, serve};

const MIB: u64 = 1 << 20;

/// A disk of its own, gone when dropped.
struct Disk {
    at: tempfile::TempDir,
    _image: Option<tempfile::NamedTempFile>,
}

impl Disk {
    /// `None` when this process may not mount.
    fn memory() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(at.path());
        Self::made(&mut command, at, None)
    }

    fn ext4() -> Option<Self> {
        let (at, image) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        image.as_file().set_len(300 * MIB).unwrap();
        let mut make = Command::new("mkfs.ext4");
        if !make
            .args(["-q", "-F", "-m", "0"])
            .arg(image.path())
            .status()
            .is_ok_and(|status| status.success())
        {
            eprintln!("SKIPPED: cannot make an ext4");
            return None;
        }
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(image.path()).arg(at.path());
        Self::made(&mut command, at, Some(image))
    }

    fn made(
        command: &mut Command,
        at: tempfile::TempDir,
        image: Option<tempfile::NamedTempFile>,
    ) -> Option<Self> {
        if command.status().is_ok_and(|status| status.success()) {
            return Some(Self { at, _image: image });
        }
        eprintln!("SKIPPED: cannot mount a small disk");
        None
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Another program takes every byte.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("other");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for len in [MIB as usize, 4096, 1] {
            while file.write_all(&vec![1; len]).is_ok() {}
        }
        let _ = file.sync_all();
        path
    }

    /// Waits until so much is free.
    fn await_free(&self, bytes: u64, what: &str) {
        let start = Instant::now();
        while self.free() < bytes {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}: {} are free", self.free());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn open(&self) -> Arc<Store> {
        let files = FolderFiles::open(self.path().join("segments")).unwrap();
        let options = Options { segment_bytes: 2 * MIB, ..Options::default() };
        let segments = Segments::open(Arc::new(files), options).unwrap();
        let kv = FjallKv::open(self.path().join("kv"), KvOptions::default()).unwrap();
        Store::open(Arc::new(kv), Arc::new(segments), StoreOptions::default()).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// A volume and what it should show.
struct Tree {
    store: Arc<Store>,
    id: VolumeId,
    owner: Arc<Owner>,
    state: State,
    tag: u64,
}

impl Tree {
    fn serve(store: &Arc<Store>, id: VolumeId, state: State) -> Self {
        let owner = serve(store, LineRef::Volume(id)).unwrap();
        Self { store: store.clone(), id, owner, state, tag: 0 }
    }

    /// A record with 32 blocks that do not compress.
    fn write(&mut self, key: Key) {
        let mut val = Val { body: vec![7; 20], ..Val::default() };
        let mut data = Vec::new();
        for at in 0..32 {
            self.tag += 2;
            data.extend(block(self.tag + 1));
            val.blocks.insert(at, self.tag + 1);
        }
        let mut line = self.owner.line.lock();
        let pieces = line.stage(key.a, 0, 0, &data);
        line.put(key, val.body.clone().into(), pieces.into());
        drop(line);
        self.state.insert(key, val);
        self.store.throttle();
    }

    fn remove(&mut self, key: Key) {
        self.owner.line.lock().delete(key);
        self.state.remove(&key);
        self.store.throttle();
    }

    fn check(&self) {
        compare(&mut *self.owner.line.lock(), &self.state, "the volume").unwrap();
    }

    fn snapshot(&self, names: &mut World) -> Result<SnapshotId, tintype_store::StoreError> {
        let new = names.new_snapshot(None, false);
        self.store.create_snapshot(self.id, new).map(|snapshot| snapshot.id)
    }
}

fn key(n: u64) -> Key {
    Key::new(1, n, 0)
}

fn fill_and_go_on(disk: &Disk) {
    let store = disk.open();
    let mut names = World::new(1);
    let meta = names.store.volumes()[0].meta.clone();
    let id = store.create_volume(NewVolume { meta }).unwrap().id;
    let mut tree = Tree::serve(&store, id, State::new());
    (0..48).for_each(|n| tree.write(key(n)));
    let old = tree.snapshot(&mut names).unwrap();
    (0..48).for_each(|n| tree.write(key(n)));
    (100..148).for_each(|n| tree.write(key(n)));
    store.sync().unwrap();

    let other = disk.fill();
    (100..148).for_each(|n| tree.remove(key(n)));
    store.sync().unwrap();
    disk.await_free(3 * MIB, "removed records");

    disk.fill();
    (200..300).for_each(|n| tree.write(key(n)));
    assert!(store.sync().unwrap_err().is_full());
    assert!(tree.snapshot(&mut names).unwrap_err().is_full());
    tree.check();
    store.delete_snapshots(&[old]).unwrap();
    disk.await_free(3 * MIB, "a deleted snapshot");
    disk.fill();
    (0..40).for_each(|n| tree.write(key(300 + n)));
    store.check().unwrap();
    tree.check();

    fs::remove_file(&other).unwrap();
    store.sync().unwrap();
    (400..420).for_each(|n| tree.write(key(n)));
    let snapshot = tree.snapshot(&mut names).unwrap();
    tree.check();
    assert_eq!(store.fsck(false).unwrap().problems, Vec::<String>::new());
    let state = tree.state.clone();
    drop(tree);
    store.close().unwrap();
    drop(store);
    let store = disk.open();
    let tree = Tree::serve(&store, id, state);
    tree.check();
    compare(&mut store.view(snapshot).unwrap(), &tree.state, "the snapshot").unwrap();
    drop(tree);
    store.close().unwrap();
}

#[test]
fn a_full_tmpfs_of_64_mib() {
    if let Some(disk) = Disk::memory() {
        fill_and_go_on(&disk);
    }
}

#[test]
fn a_full_ext4_of_300_mib() {
    if let Some(disk) = Disk::ext4() {
        fill_and_go_on(&disk);
    }
}

/// What is offered on an empty disk can be written but for what its own records take, all of it is synced, and little is kept.
fn offers_what_it_takes(disk: &Disk) {
    let store = disk.open();
    let mut names = World::new(1);
    let meta = names.store.volumes()[0].meta.clone();
    let id = store.create_volume(NewVolume { meta }).unwrap().id;
    let mut tree = Tree::serve(&store, id, State::new());
    let limits = Limits::new(Some(id));
    let at = disk.path().to_owned();
    limits.set_probe(Box::new(move || {
        let disk = rustix::fs::statvfs(&at).ok()?;
        Some((disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize))
    }));
    let need = Need { grow: 32, ..Need::default() };
    let live = |written: u64| Live { blocks: written * 32, records: 0 };
    limits.refresh(&store);
    let (all, offered) = limits.room(live(0));
    assert!(offered * 4 >= all * 3, "{offered} of {all} blocks are offered");
    let (mut written, mut refused) = (0, 0);
    while refused < 3 {
        limits.refresh(&store);
        if limits.check(live(written), need).is_ok() {
            tree.write(key(written));
            (written, refused) = (written + 1, 0);
        } else {
            refused += 1;
        }
        if refused > 0 || written % 16 == 0 {
            // What was accepted is never refused later.
            store.sync().unwrap();
            std::thread::sleep(Duration::from_millis(25));
        }
    }
    let rest = limits.room(live(written)).1;
    assert!(rest < 32 && limits.room(live(written)).0 == all, "{rest} blocks are left");
    assert!(written * 32 * 100 >= offered * 88, "{} of {offered} blocks", written * 32);
    tree.check();
    tree.snapshot(&mut names).unwrap();
    store.close().unwrap();
}

#[test]
fn what_a_small_disk_offers_can_be_written() {
    for disk in [Disk::memory(), Disk::ext4()].into_iter().flatten() {
        offers_what_it_takes(&disk);
    }
}
