//! A full disk, in memory: whatever it refuses waits, nothing is lost, and nobody has to open the store again.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop"
)]

mod world;

use tintype_store::StoreError;
use world::{World, serve};

/// Whether it was done; anything but a full disk ends the test.
fn done(result: Result<(), StoreError>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) if error.is_full() => false,
        Err(error) => panic!("{}", tintype_store::chain_text(&error)),
    }
}

/// Deletes one snapshot of the model, which a full disk must not prevent.
fn delete_one(world: &mut World) {
    if world.snaps.is_empty() {
        return;
    }
    let snap = world.snaps.remove(world.rng.clone().below(world.snaps.len() as u64) as usize);
    world.log.push(format!("delete {} while full", snap.id.0));
    world.store.delete_snapshots(&[snap.id]).unwrap();
}

/// Random operations, some of which a full disk refuses. Answers how many.
fn while_full(world: &mut World, steps: u64) -> u64 {
    let mut refused = 0;
    for _ in 0..steps {
        let ok = match world.rng.below(20) {
            0..10 => done(world.mutate()),
            10..13 => done(world.sync()),
            13 => done(world.snapshot()),
            14 => done(world.restore()),
            15 => done(world.clone_volume()),
            16 => done(world.make_writable()),
            17 => done(world.store.reclaim_step().map(|_| ())),
            18 => done(world.store.clean_step().map(|_| ())),
            _ => {
                delete_one(world);
                true
            }
        };
        refused += u64::from(!ok);
        world.store.check().unwrap();
    }
    refused
}

#[test]
fn what_a_full_disk_refuses_waits_and_nothing_is_lost() {
    let mut refused = 0;
    for seed in 1..60 {
        let mut world = World::new(seed);
        for _ in 0..6 {
            for _ in 0..40 {
                world.step().unwrap();
            }
            let nth = 1 + world.rng.below(3);
            world.kv.fill(Some(nth));
            refused += while_full(&mut world, 30);
            world.kv.fill(None);
            world.sync().unwrap();
            world.check().unwrap();
            world.check_fsck().unwrap();
        }
        world.reopen().unwrap();
        world.check().unwrap();
    }
    assert!(refused > 1000, "{refused} refused");
}

/// What a refused cut left waiting belongs to its own epoch; the next snapshot is of the next one.
#[test]
fn a_snapshot_right_after_a_refused_one_holds_everything() {
    for seed in 1..40 {
        for restore in [false, true] {
            let mut world = World::new(seed);
            world.create_volume().unwrap();
            for _ in 0..40 {
                world.mutate().unwrap();
            }
            world.snapshot_now(0, false).unwrap();
            for _ in 0..10 {
                world.mutate().unwrap();
            }
            world.kv.fill(Some(1));
            let refused = !done(world.snapshot_now(0, false));
            for _ in 0..20 {
                done(world.mutate());
            }
            world.kv.fill(None);
            if restore {
                world.restore().unwrap();
            } else {
                world.snapshot_now(0, false).unwrap();
            }
            assert!(refused || restore, "seed {seed}: nothing was refused");
            world.check().unwrap();
            world.check_fsck().unwrap();
        }
    }
}

/// A volume or writable snapshot that goes takes what waited for it along; a line that nobody serves keeps it.
#[test]
fn what_waits_outlives_its_owner_and_not_its_line() {
    for seed in 1..30 {
        let mut world = World::new(seed);
        world.create_volume().unwrap();
        for _ in 0..60 {
            done(world.mutate());
        }
        world.snapshot_now(0, true).unwrap();
        world.snapshot_now(1, false).unwrap();
        world.kv.fill(Some(1));
        for _ in 0..20 {
            done(world.mutate());
        }
        assert!(!done(world.sync()) && !done(world.snapshot_now(0, false)));
        let line = tintype_store::LineRef::Volume(world.vols[0].id);
        assert!(world.store.detach(&*world.vols[0].owner).unwrap_err().is_full());
        let again = serve(&world.store, line).map(|_| ());
        assert!(again.unwrap_err().is_full());
        world.remove_volume(1).unwrap();
        world.kv.fill(None);
        world.sync().unwrap();
        assert!(serve(&world.store, line).is_ok());
        world.reopen().unwrap();
        world.check().unwrap();
        world.check_fsck().unwrap();
    }
}
