//! Many threads at once, with the store's own background work, and what the kernel is told.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tintype_fs::Mounted;
use tintype_fs::vfs::*;
use tintype_kv::MemoryKv;
use tintype_model::AccessPoint;
use tintype_segments::{MemoryFiles, Segments};
use tintype_store::{NewVolume, Store, StoreOptions};

fn busy() -> Fixture {
    let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
    let segments = Segments::open(files.clone(), Default::default()).unwrap();
    let options =
        StoreOptions { commit_interval: Duration::from_millis(5), ..StoreOptions::default() };
    let store = Store::open(kv.clone(), Arc::new(segments), options).unwrap();
    let volume = store.create_volume(NewVolume { meta: volume_meta("v") }).unwrap().id;
    let fs = Mounted::open(store.clone(), volume).unwrap();
    Fixture { kv, files, store, volume, fs }
}

/// Each thread owns every fourth stretch of 1000 bytes, so that blocks are shared by threads.
#[test]
fn writers_of_one_block_do_not_lose_each_other() {
    let f = busy();
    let node = f.create(ROOT, "a");
    let f = &f;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                for round in 1..=20_u8 {
                    for n in 0..100 {
                        f.write(node, (n * 4 + thread) * 1000, &[round; 1000]);
                    }
                    if round % 5 == thread as u8 {
                        f.store.sync().unwrap();
                    }
                }
            });
        }
        scope.spawn(move || {
            for n in 0..10 {
                f.snapshot(&format!("s{n}"), false);
                let root = f.moment(&format!("s{n}"));
                let old = f.find(root, "a").unwrap();
                let first = f.all(old);
                std::thread::sleep(Duration::from_millis(3));
                assert!(f.all(old) == first, "a moment changed");
            }
        });
    });
    assert!(f.all(node).iter().all(|byte| *byte == 20));
}

#[test]
fn names_come_and_go_on_many_threads() {
    let f = busy();
    let f = &f;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..300 {
                    let name = format!("t{thread}-{n}");
                    let node = f.create(ROOT, &name);
                    f.write(node, 0, name.as_bytes());
                    let to = format!("u{thread}-{n}");
                    f.fs.rename(&ME, ROOT, name.as_bytes(), ROOT, to.as_bytes(), 0).unwrap();
                    if n % 3 == 0 {
                        f.fs.unlink(&ME, ROOT, to.as_bytes()).unwrap();
                    }
                    f.fs.forget(node, 1);
                }
            });
        }
    });
    assert_eq!(f.names(ROOT).len(), 800);
    assert_eq!(f.fs.usage().inodes, 801);
    assert_eq!(f.fs.usage().blocks, 800);
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(Node, Vec<u8>)>>);

impl Invalidate for Recorder {
    fn inode(&self, node: Node, _: u64, _: u64) {
        self.0.lock().unwrap().push((node, Vec::new()));
    }
    fn attributes(&self, node: Node) {
        self.0.lock().unwrap().push((node, b"attributes".to_vec()));
    }
    fn entry(&self, dir: Node, name: &[u8]) {
        self.0.lock().unwrap().push((dir, name.to_vec()));
    }
}

#[test]
fn a_restore_withdraws_every_name_and_page() {
    let f = Fixture::new();
    let id = f.snapshot("one", false);
    let kernel = Arc::new(Recorder::default());
    f.fs.set_invalidator(kernel.clone());
    let dir = f.mkdir(ROOT, "d");
    let file = f.create(dir, "f");
    assert_eq!(f.find(dir, "none"), None);
    let gone = f.create(ROOT, "gone");
    f.fs.forget(gone, 1);
    f.store.restore(f.volume, id, None).unwrap();
    let want = [
        (ROOT, b"d".to_vec()),
        (dir, b"f".to_vec()),
        (dir, b"none".to_vec()),
        (ROOT, Vec::new()),
        (dir, Vec::new()),
        (file, Vec::new()),
    ];
    assert!(f.fs.settle(Duration::from_secs(10)));
    let told = kernel.0.lock().unwrap();
    assert!(want.iter().all(|item| told.contains(item)), "{told:?}");
    assert!(!told.contains(&(ROOT, b"gone".to_vec())));
}

#[test]
fn the_kernel_is_told_of_set_id_bits_that_a_write_clears() {
    let f = Fixture::new();
    let kernel = Arc::new(Recorder::default());
    f.fs.set_invalidator(kernel.clone());
    let file = f.create(ROOT, "f");
    let mode = SetAttr { mode: Some(0o4755), ..SetAttr::default() };
    f.fs.setattr(&ME, file, None, &mode).unwrap();
    let flags = WriteFlags { kill_suid: true, ..WriteFlags::default() };
    f.write(file, 0, b"root");
    assert!(kernel.0.lock().unwrap().is_empty());
    f.fs.write(&ME, file, Handle(0), 0, b"x", flags).unwrap();
    assert_eq!(*kernel.0.lock().unwrap(), [(file, b"attributes".to_vec())]);
    f.fs.write(&ME, file, Handle(0), 0, b"x", flags).unwrap();
    assert_eq!(kernel.0.lock().unwrap().len(), 1);
}

/// Bytes behind the end of a copy must stay zero when its source grows meanwhile.
#[test]
fn a_copy_of_a_growing_file_brings_nothing_from_behind_its_end() {
    let f = Fixture::new();
    for round in 0..40 {
        let (from, to) =
            (f.create(ROOT, &format!("a{round}")), f.create(ROOT, &format!("b{round}")));
        let size = (64 << 20) + 100;
        f.write(from, size - 100, &[1; 100]);
        std::thread::scope(|threads| {
            threads.spawn(|| (0..40).for_each(|n| f.write(from, size + n * 64, &[0xbb; 64])));
            f.fs.copy_file_range(&ME, from, Handle(0), 0, to, Handle(0), 0, 1 << 30).unwrap();
        });
        let copied = f.attr(to).size;
        f.truncate(to, copied + 4000);
        let tail = f.read(to, copied, 4000);
        assert!(tail.iter().all(|byte| *byte == 0), "round {round}");
    }
}

/// Tells slowly, so that whoever does not wait is seen.
struct Slow(Recorder);

impl Invalidate for Slow {
    fn inode(&self, node: Node, offset: u64, len: u64) {
        std::thread::sleep(Duration::from_millis(20));
        self.0.inode(node, offset, len);
    }
    fn attributes(&self, _: Node) {}
    fn entry(&self, _: Node, _: &[u8]) {
        panic!("all names go at once");
    }
    fn all_names(&self) -> bool {
        true
    }
}

#[test]
fn settling_waits_for_every_notice() {
    let f = Fixture::new();
    let id = f.snapshot("one", false);
    let kernel = Arc::new(Slow(Recorder::default()));
    f.fs.set_invalidator(kernel.clone());
    for n in 0..10 {
        f.create(ROOT, &format!("f{n}"));
    }
    f.store.restore(f.volume, id, None).unwrap();
    assert!(!f.fs.settle(Duration::from_millis(1)));
    assert!(f.fs.settle(Duration::from_secs(10)));
    assert_eq!(kernel.0.0.lock().unwrap().len(), 11);
    f.fs.close().unwrap();
    assert!(f.fs.settle(Duration::ZERO), "nobody is left to wait for");
}

#[test]
fn a_huge_sparse_file_shrinks_in_bounded_operations() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    for n in 0..40_000_u64 {
        f.write(node, n * 131_072, b"x");
    }
    f.truncate(node, 131_072 * 10 + 1);
    assert_eq!((f.attr(node).size, f.fs.usage().blocks), (131_072 * 10 + 1, 11));
    f.truncate(node, (1 << 44) - 1);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    f.fs.fallocate(&ME, node, Handle(0), 0, 1 << 44, punch).unwrap();
    assert_eq!(f.fs.usage().blocks, 0);
    let set = SetAttr { size: Some((1 << 44) + 1), ..SetAttr::default() };
    assert_eq!(code(f.fs.setattr(&ME, node, None, &set)), libc::EFBIG);
}

#[test]
fn a_writable_snapshot_that_is_deleted_refuses_changes() {
    let f = Fixture::new();
    f.create(ROOT, "a");
    let id = f.snapshot("w", true);
    let root = f.moment("w");
    let node = f.find(root, "a").unwrap();
    f.store.delete_snapshots(&[id]).unwrap();
    assert_eq!(
        code(f.fs.write(&ME, node, Handle(0), 0, b"x", WriteFlags::default())),
        libc::ESTALE
    );
    f.fs.snapshots_changed();
    assert_eq!(code(f.fs.getattr(&ME, node, None)), libc::ESTALE);
    f.store.sync().unwrap();
}

#[test]
fn what_is_written_while_an_access_point_is_renamed_stays() {
    let f = busy();
    let id = f.snapshot("w", true);
    let root = f.moment("w");
    let f = &f;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                (0..200).for_each(|n| {
                    f.create(root, &format!("t{thread}-{n}"));
                });
            });
        }
        for n in 0..20 {
            let name = AccessPoint::new(format!("at-w{n}")).unwrap();
            f.store.update_snapshot(id, &mut |meta| meta.access_point = name.clone()).unwrap();
            f.fs.snapshots_changed();
        }
    });
    assert_eq!(f.moment("w19"), root, "it stayed open");
    assert_eq!(f.names(root).len(), 400);
}

#[test]
fn a_closed_mount_refuses_changes() {
    let f = Fixture::new();
    let node = f.create(ROOT, "a");
    f.fs.close().unwrap();
    let late = f.fs.write(&ME, node, Handle(0), 0, b"x", WriteFlags::default());
    assert_eq!(code(late), libc::ESTALE);
}
