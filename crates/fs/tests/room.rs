//! Room for metadata: capacity and the disk's reserve hold for records too, and taking away always works.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_fs::vfs::*;

/// Makes the thing with this number.
type Make = dyn Fn(&Fixture, u32) -> Reply<()>;

/// Makes things until one is refused; the refusal and how many there were.
fn until_refused<T: std::fmt::Debug>(mut make: impl FnMut(u32) -> Reply<T>) -> (i32, u32) {
    let refused = (0..100_000).find_map(|n| make(n).err().map(|error| (error.0, n)));
    refused.unwrap_or_else(|| panic!("there is no end of room"))
}

#[test]
fn metadata_alone_is_held_to_the_capacity_and_taken_away_again() {
    const CAPACITY: u64 = 256 << 10;
    const LONG: [u8; 4000] = [b'x'; 4000];
    let makers: [(&str, u32, &Make); 4] = [
        ("files", 400, &|f, n| {
            let name = format!("file {n}");
            let made = f.fs.create(&ME, ROOT, name.as_bytes(), 0o644, 0, libc::O_EXCL)?;
            f.fs.forget(made.0.node, 1);
            Ok(())
        }),
        ("symlinks", 40, &|f, n| {
            let name = format!("link {n}");
            f.fs.symlink(&ME, ROOT, name.as_bytes(), &LONG).map(drop)
        }),
        ("attributes", 2, &|f, n| {
            let name = format!("user.{n}");
            f.fs.setxattr(&ME, ROOT, name.as_bytes(), &[7; 60_000], 0, false)
        }),
        ("hard links", 300, &|f, n| {
            let node = f.find(ROOT, "kept").unwrap();
            f.fs.link(&ME, node, ROOT, format!("name {n}").as_bytes()).map(drop)
        }),
    ];
    for (what, least, make) in makers {
        let f = Fixture::new();
        f.create(ROOT, "kept");
        f.store.update_volume(f.volume, &mut |meta| meta.capacity = Some(CAPACITY)).unwrap();
        f.fs.refresh_limits();
        let (error, made) = until_refused(|n| make(&f, n));
        assert_eq!(error, libc::ENOSPC, "{what}");
        assert!(made >= least, "only {made} {what}");
        f.store.sync().unwrap();
        let live = f.store.usage(f.volume).live_bytes;
        assert!((CAPACITY * 2 / 3..CAPACITY + CAPACITY / 8).contains(&live), "{what}: {live}");
        assert!(f.find(ROOT, &format!("file {made}")).is_none());
        // Held by a snapshot it counts on; without it there is room again.
        let snapshot = f.snapshot("full", false);
        let node = f.find(ROOT, "kept").unwrap();
        let set = SetAttr { size: Some(0), ..SetAttr::default() };
        f.fs.setattr(&ME, node, None, &set).unwrap();
        if what == "files" {
            (0..made).for_each(|n| f.fs.unlink(&ME, ROOT, format!("file {n}").as_bytes()).unwrap());
            f.store.sync().unwrap();
            f.fs.refresh_limits();
            assert_eq!(until_refused(|n| make(&f, n)).0, libc::ENOSPC);
            f.store.delete_snapshots(&[snapshot]).unwrap();
            f.store.run_background_until_idle().unwrap();
            f.fs.refresh_limits();
            let (_, again) = until_refused(|n| make(&f, made + n));
            assert!(again > made / 2, "{again} of {made}");
        }
        let f = f.reopen();
        let (error, more) = until_refused(|n| make(&f, made * 3 + n));
        assert_eq!(error, libc::ENOSPC, "{what}");
        assert!(more < made, "reopened, {more} {what} beside {made}");
    }
}

#[test]
fn metadata_leaves_the_reserve_of_the_disk_alone() {
    let f = Fixture::new();
    let free = Arc::new(AtomicU64::new(1 << 30));
    let probe = Arc::clone(&free);
    f.fs.set_space_probe(Box::new(move || Some((1 << 34, probe.load(Ordering::Relaxed)))));
    f.fs.refresh_limits();
    let dir = f.mkdir(ROOT, "dir");
    f.snapshot("writable", true);
    let inside = f.moment("writable");
    free.store(200 << 20, Ordering::Relaxed);
    for dir in [dir, inside] {
        let made = || f.fs.create(&ME, dir, b"new", 0o644, 0, libc::O_EXCL);
        std::thread::sleep(std::time::Duration::from_millis(30));
        f.fs.refresh_limits();
        assert_eq!(code(made()), libc::ENOSPC);
    }
    f.fs.rmdir(&ME, ROOT, b"dir").unwrap();
    f.fs.rmdir(&ME, inside, b"dir").unwrap();
    free.store(1 << 30, Ordering::Relaxed);
    std::thread::sleep(std::time::Duration::from_millis(30));
    f.mkdir(ROOT, "again");
}

/// A large file goes in steps; its blocks are nobody's from the first on, whether its name was removed or taken by another.
#[test]
fn a_removed_file_counts_for_no_limit_while_it_goes() {
    const SPARSE: u64 = 1 << 17;
    const MAPS: u64 = 300;
    const BLOCKS: u64 = MAPS + 10;
    type Remove = dyn Fn(&Fixture);
    let removals: [&Remove; 2] = [&|f| f.fs.unlink(&ME, ROOT, b"a").unwrap(), &|f| {
        f.create(ROOT, "other");
        f.fs.rename(&ME, ROOT, b"other", ROOT, b"a", 0).unwrap();
    }];
    for remove in removals {
        let f = Fixture::new();
        let limits = |f: &Fixture, quota, capacity| {
            f.store
                .update_volume(f.volume, &mut |meta| {
                    (meta.quota, meta.capacity) = (quota, capacity);
                })
                .unwrap();
            f.fs.refresh_limits();
        };
        limits(&f, Some(BLOCKS * 4096), None);
        let a = f.create(ROOT, "a");
        (0..MAPS).for_each(|n| f.write(a, n * SPARSE, &[1; 4096]));
        f.store.sync().unwrap();
        assert_eq!(f.fs.statfs(ROOT).unwrap().free, 10);
        remove(&f);
        assert_eq!(f.fs.statfs(ROOT).unwrap().free, 10, "somebody holds it");
        f.fs.forget(a, u64::MAX);
        assert_eq!(f.fs.statfs(ROOT).unwrap().free, BLOCKS);
        assert_eq!(f.fs.usage().blocks, 0);
        // A crash finds it half gone.
        f.store.sync().unwrap();
        let Fixture { kv, files, store, volume, fs } = f;
        let (kv_left, files_left) = (Arc::new(kv.crash(1)), Arc::new(files.crash(1)));
        drop((fs, store));
        let store = open_store(&kv_left, &files_left);
        let fs = tintype_fs::Mounted::open(Arc::clone(&store), volume).unwrap();
        let f = Fixture { kv: kv_left, files: files_left, store, volume, fs };
        assert_eq!(f.fs.statfs(ROOT).unwrap().free, BLOCKS);
        let b = f.create(ROOT, "b");
        f.write(b, 0, &vec![2; BLOCKS as usize * 4096]);
        let more = f.fs.write(&ME, b, Handle(0), BLOCKS * 4096, &[2; 4096], WriteFlags::default());
        assert_eq!(code(more), libc::EDQUOT);
        while f.fs.step_orphans().unwrap() {}
        assert_eq!(f.fs.statfs(ROOT).unwrap().free, 0);
        assert_eq!(f.fs.usage().blocks, BLOCKS);
        f.store.check().unwrap();
    }
}
