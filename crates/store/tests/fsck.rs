//! Fsck keeps nobody from closing a store, and repairs only what it can count.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use std::sync::Arc;
use tintype_history::codec::{prefix, row_range};
use tintype_kv::{Batch, Kv, MemoryKv};
use tintype_segments::{Options, Segments};
use tintype_store::{FsckReport, StoreError, fsck_unopened};
use world::{World, open};

fn busy_world(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..150 {
        world.mutate().unwrap();
    }
    world.snapshot_now(0, false).unwrap();
    for _ in 0..50 {
        world.mutate().unwrap();
    }
    world.sync().unwrap();
    world
}

#[test]
fn a_check_ends_when_the_store_is_about_to_close() {
    let world = busy_world(4);
    assert_eq!(world.store.fsck(false).unwrap().problems, Vec::<String>::new());
    world.store.closes_soon();
    let ended = world.store.fsck(false);
    assert!(matches!(ended, Err(StoreError::Shutdown)), "{ended:?}");
    world.store.close().unwrap();
}

/// What a damaged version refers to is not known: a repair would free it.
#[test]
fn a_repair_leaves_everything_alone_while_a_version_is_damaged() {
    let world = busy_world(5);
    let (from, to) = row_range(prefix::VERSION, &[]);
    let (key, value) =
        world.kv.range(&from, &to).find(|row| row.as_ref().unwrap().1.len() > 20).unwrap().unwrap();
    let mut batch = Batch::new();
    batch.put(key.clone(), vec![0xee; 9]);
    world.kv.write(batch).unwrap();
    let report = world.store.fsck(true).unwrap();
    assert!(report.uncounted && report.repaired == 0 && report.problem_count > 1, "{report:?}");
    let mut batch = Batch::new();
    batch.put(key, value);
    world.kv.write(batch).unwrap();
    assert_eq!(world.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

fn unopened(world: &World, repair: bool) -> FsckReport {
    let segments = Segments::open(world.files.clone(), Options::default()).unwrap();
    fsck_unopened(world.kv.clone(), Arc::new(segments), repair).unwrap()
}

/// Every row with this prefix, damaged.
fn damage(kv: &MemoryKv, from: &[u8], to: &[u8]) -> usize {
    let mut batch = Batch::new();
    for row in kv.range(from, to) {
        batch.put(row.unwrap().0, vec![0xff; 3]);
    }
    let count = batch.len();
    kv.write(batch).unwrap();
    count
}

/// Sums follow from other rows: even when all of them are damaged, nothing is lost.
#[test]
fn damaged_sums_are_named_and_counted_again_before_anything_else_runs() {
    for seed in 1..20 {
        let mut world = World::new(seed);
        world.reopens = false;
        for _ in 0..200 {
            world.step().unwrap();
        }
        world.sync().unwrap();
        while world.store.reclaim_step().unwrap() {}
        world.store.close().unwrap();
        let count = damage(&world.kv, b"U", b"V") + damage(&world.kv, b"N", b"O");
        let mut stray = Batch::new();
        stray.put(b"U-odd".to_vec(), vec![1]);
        world.kv.write(stray).unwrap();
        assert!(open(&world.kv, &world.files).is_err());
        let found = unopened(&world, false);
        let named = found.problems.iter().filter(|text| text.contains("is damaged")).count();
        assert_eq!((named, found.repaired), (count + 1, 0), "{:?}", found.problems);
        assert!(open(&world.kv, &world.files).is_err());
        assert!(unopened(&world, true).repaired > 0);
        world.reopen_on(world.kv.clone(), world.files.clone()).unwrap();
        world.check().unwrap();
        world.check_fsck().unwrap();
    }
}

/// What nothing else tells is left alone; all of it is named.
#[test]
fn damaged_spaces_volumes_and_counters_are_all_named_and_left_alone() {
    let world = busy_world(6);
    world.store.close().unwrap();
    let mut count = 0;
    for (from, to) in [(b"S", b"T"), (b"M", b"N"), (b"G", b"H"), (b"E", b"F"), (b"C", b"D")] {
        count += damage(&world.kv, from, to);
    }
    let before: Vec<_> = world.kv.range(&[0], &[0xff]).map(Result::unwrap).collect();
    let report = unopened(&world, true);
    let named = report.problems.iter().filter(|text| text.contains("is damaged"));
    let named: Vec<_> = named.collect();
    assert_eq!((named.len(), report.repaired), (count, 0), "{named:?}");
    let after: Vec<_> = world.kv.range(&[0], &[0xff]).map(Result::unwrap).collect();
    assert!(before == after);
}
