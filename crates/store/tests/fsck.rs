//! Fsck keeps nobody from closing a store, and repairs only what it can count.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use tintype_history::codec::{prefix, row_range};
use tintype_kv::{Batch, Kv};
use tintype_store::StoreError;
use world::World;

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
