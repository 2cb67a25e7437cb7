//! Random operations on a store against the reference model; space comes back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use tintype_store::Key;
use world::World;

fn run(seed: u64, steps: u64) {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for n in 0..steps {
            world.step().unwrap();
            if n % 23 == 0 {
                world.check().unwrap();
            }
            if n % 97 == 96 {
                world.check_fsck().unwrap();
            }
        }
        world.check().unwrap();
        world.check_fsck().unwrap();
        alone(&mut world);
    }));
    if let Err(panic) = result {
        let from = world.log.len().saturating_sub(40);
        eprintln!("seed {seed}, last operations:\n{}", world.log[from..].join("\n"));
        std::panic::resume_unwind(panic);
    }
}

/// Deletes everything but one live volume: what is left is what a fresh copy would hold.
fn alone(world: &mut World) {
    while world.vols.len() > 1 {
        world.remove_volume(0).unwrap();
    }
    while !world.snaps.is_empty() {
        world.delete_snapshots(3).unwrap();
    }
    world.store.run_background_until_idle().unwrap();
    world.check().unwrap();
    let report = world.store.fsck(false).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let records = world.vols[0].state.len() as u64;
    assert_eq!(report.versions, records, "versions that nobody can name remain");
    let status = world.store.status().unwrap();
    let (all, live) = (status.segment_bytes, status.segment_live_bytes);
    assert!(all <= live + live / 10 + 64 * 1024, "{all} bytes of segments hold {live}");
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let from = std::env::var("TINTYPE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let count = std::env::var("TINTYPE_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default);
    from..from + count
}

#[test]
fn random_histories_match_the_model() {
    for seed in seeds(60) {
        run(seed, 400);
    }
}

/// Seeds that found something once.
#[test]
fn seeds_that_failed_once() {
    run(112, 400);
}

/// A key that comes and goes in one epoch is named again each time. The repetitions go also when the store is opened again before they were
/// taken out, and when that was before the epoch ended.
#[test]
fn names_that_repeat_go_after_a_reopening() {
    for ended in [false, true] {
        let mut world = World::new(9);
        world.snapshot_now(0, false).unwrap();
        for _ in 0..9 {
            world.toggle(0, Key::new(4, 0, 0));
            world.store.sync().unwrap();
        }
        if ended {
            world.snapshot_now(0, false).unwrap();
            world.reopen().unwrap();
        } else {
            world.reopen().unwrap();
            while world.store.reclaim_step().unwrap() {}
            world.snapshot_now(0, false).unwrap();
        }
        while world.store.reclaim_step().unwrap() {}
        world.check().unwrap();
        world.check_fsck().unwrap();
    }
}

/// Restores make chains of spaces; in the background they become short again, names and all.
#[test]
fn restores_do_not_lengthen_reads() {
    let mut world = World::new(5);
    for _ in 0..40 {
        for _ in 0..10 {
            world.mutate().unwrap();
        }
        world.snapshot().unwrap();
        world.restore().unwrap();
        while world.store.reclaim_step().unwrap() {}
    }
    world.check().unwrap();
    world.check_fsck().unwrap();
    let heads = 1 + world.snaps.iter().filter(|snap| snap.owner.is_some()).count();
    let chain = world.store.status().unwrap().longest_chain;
    assert!(chain <= 4 + 2 * heads, "{chain} spaces with {heads} heads");
    alone(&mut world);
}

/// A snapshot at each step, the newest few kept, beside an old one and a clone: what a comparison reads, and tombstones
/// of a key that comes and goes, do not grow with the number of snapshots that there were.
#[test]
fn rolling_retention_leaves_nothing_behind() {
    let mut world = World::new(7);
    for _ in 0..60 {
        world.mutate().unwrap();
    }
    let toggled = Key::new(4, 0, 0);
    world.toggle(0, toggled);
    world.snapshot_now(0, false).unwrap();
    world.clone_volume().unwrap();
    for round in 0..300 {
        for line in 0..2 {
            world.passing_key(line, round).unwrap();
            world.toggle(line, toggled);
            world.snapshot_now(line, round % 7 == 0).unwrap();
        }
        while world.snaps.len() > 9 {
            world.delete_snapshot(1).unwrap();
        }
        if round % 50 == 49 {
            world.reopen().unwrap();
        }
        while world.store.reclaim_step().unwrap() {}
    }
    world.check().unwrap();
    world.check_fsck().unwrap();
    let names: usize = world::touched_lists(&*world.kv).values().map(Vec::len).sum();
    let rows = world.store.fsck(false).unwrap().versions;
    assert!(rows < 100, "{rows} versions and tombstones");
    assert!(names < 100, "{names} names in lists of two lines with eight snapshots");
    world.delete_snapshot(0).unwrap();
    alone(&mut world);
}

/// A tombstone between two versions goes when a later one hides it from every moment, and stays for a clone that forked there,
/// name or not.
#[test]
fn hidden_tombstones_go_and_those_of_clones_stay() {
    for cloned in [false, true] {
        let mut world = World::new(9);
        let key = Key::new(4, 0, 0);
        for _ in 0..4 {
            world.toggle(0, key);
            world.snapshot_now(0, false).unwrap();
        }
        if cloned {
            world.clone_of(1).unwrap();
        }
        // Without its name the second moment is the clone's alone; then the record between two tombstones goes.
        world.delete_snapshot(1).unwrap();
        world.delete_snapshot(1).unwrap();
        world.check().unwrap();
        world.check_fsck().unwrap();
        let rows = world.store.fsck(false).unwrap().versions;
        assert_eq!(rows, 2 + u64::from(cloned), "the record, the last tombstone, the clone's");
        alone(&mut world);
    }
}
