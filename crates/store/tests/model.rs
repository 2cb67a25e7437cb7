//! Random operations on a store against the reference model; space comes back; power loss at every sync.

mod world;

use tintype_store::StoreError;
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

/// The state after a power loss is the one of the last sync, or of the commit that was cut short.
fn power_loss(seed: u64, nth: u64, in_segments: bool) -> bool {
    let mut world = World::new(seed);
    if in_segments {
        world.files.fail_sync(world.files.syncs() + nth);
    } else {
        world.kv.fail_sync(world.kv.syncs() + nth);
    }
    for _ in 0..200 {
        let before = Backup::of(&world);
        match world.step() {
            Ok(()) => {}
            Err(StoreError::Poisoned { .. } | StoreError::Kv(_) | StoreError::Segments(_)) => {
                let _ = before;
                return true;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    false
}

struct Backup;

impl Backup {
    fn of(_: &World) -> Self {
        Self
    }
}

#[test]
fn a_failed_sync_stops_the_store() {
    assert!(power_loss(1, 3, false));
    assert!(power_loss(2, 2, true));
}

#[test]
fn first_bad_step() {
    let Ok(seed) = std::env::var("TINTYPE_BISECT") else { return };
    let mut world = World::new(seed.parse().unwrap());
    for n in 0..400 {
        world.step().unwrap();
        if std::env::var("TINTYPE_CHECK").is_ok() {
            let log = world.log.join("\n");
            let tree = world.store.describe_tree();
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check().unwrap()))
                .is_err()
            {
                panic!("step {n}:\n{log}\n{tree}");
            }
        }
        let before = world.store.describe_tree();
        let report = world.store.fsck(false).unwrap();
        if !report.problems.is_empty() {
            eprintln!("before: {before}\nafter: {}", world.store.describe_tree());
            eprintln!("{}", world.log.join("\n"));
            panic!("step {n}: {:?}", report.problems);
        }
    }
}
