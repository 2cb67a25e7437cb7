//! A large family: what its volumes use is counted later than the change, and right whenever somebody asks.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use tintype_store::Usage;
use world::World;

/// More than are counted at once.
const CLONES: usize = 90;

fn family(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..60 {
        world.mutate().unwrap();
    }
    world.snapshot_now(0, false).unwrap();
    for _ in 0..CLONES {
        world.clone_of(0).unwrap();
    }
    world
}

fn usages(world: &World) -> Vec<Usage> {
    world.vols.iter().map(|vol| world.store.usage(vol.id)).collect()
}

#[test]
fn a_large_family_is_counted_when_somebody_asks() {
    let mut world = family(7);
    for round in 0..6 {
        for _ in 0..40 {
            world.mutate().unwrap();
        }
        match round {
            1 => world.delete_snapshot(0).unwrap(),
            3 => world.remove_volume(0).unwrap(),
            4 => world.snapshot_now(5, true).unwrap(),
            _ => {}
        }
        world.check().unwrap();
        // Opening counts everything from the rows, and the reopening compares.
        world.reopen().unwrap();
    }
    let sum: u64 = usages(&world).iter().map(|usage| usage.live_bytes).sum();
    assert!(sum > 0);
}
