//! Power loss: at every sync of random runs, what is visible afterwards is the last commit or the one in flight.
//!
//! The memory adapters lose what was not synced. A planted bug, one sync that only pretends, must be noticed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop"
)]

mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tintype_model::{SnapshotId, VolumeId};
use tintype_store::{MomentRef, Store, StoreError};
use world::{State, World, compare, open};

const STEPS: u64 = 120;

/// What a power loss may show.
#[derive(Clone, Default)]
struct Image {
    vols: BTreeMap<VolumeId, State>,
    snaps: BTreeMap<SnapshotId, State>,
}

impl Image {
    fn of(world: &World) -> Self {
        Self {
            vols: world.vols.iter().map(|vol| (vol.id, vol.state.clone())).collect(),
            snaps: world.snaps.iter().map(|snap| (snap.id, snap.state.clone())).collect(),
        }
    }

    /// Every volume and snapshot of this image is there and shows this.
    fn matches(&self, store: &Arc<Store>) -> Result<(), String> {
        let text = |error: StoreError| tintype_store::chain_text(&error);
        for (id, state) in &self.vols {
            let mut view = store.view_of(MomentRef::Live(*id)).map_err(text)?;
            try_compare(&mut view, state, &format!("volume {}", id.0))?;
        }
        for (id, state) in &self.snaps {
            let mut view = store.view_of(MomentRef::Snapshot(*id)).map_err(text)?;
            try_compare(&mut view, state, &format!("snapshot {}", id.0))?;
        }
        Ok(())
    }
}

fn try_compare(view: &mut tintype_store::View, state: &State, what: &str) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| compare(view, state, what)));
    match result {
        Ok(done) => done.map_err(|error| tintype_store::chain_text(&error)),
        Err(_) => Err(format!("{what} differs")),
    }
}

enum Fault {
    None,
    KvSync(u64),
    KvWrite(u64),
    SegmentSync(u64),
    SegmentWrite(u64),
    SkippedSegmentSync(u64),
    SkippedKvSync(u64),
}

/// Runs until the fault or the end, loses power, opens again and checks.
fn lose_power(seed: u64, steps: u64, fault: &Fault) -> Result<(), String> {
    let mut world = World::new(seed);
    world.reopens = false;
    match *fault {
        Fault::None => {}
        Fault::KvSync(nth) => world.kv.fail_sync(nth),
        Fault::KvWrite(nth) => world.kv.fail_write(nth),
        Fault::SegmentSync(nth) => world.files.fail_sync(nth),
        Fault::SegmentWrite(nth) => world.files.fail_write(nth),
        Fault::SkippedSegmentSync(nth) => world.files.skip_sync(nth),
        Fault::SkippedKvSync(nth) => world.kv.skip_sync(nth),
    }
    let mut acked = Image::of(&world);
    let mut commits = commits(&world);
    let mut failed = false;
    for _ in 0..steps {
        failed = world.step().is_err();
        if failed {
            break;
        }
        let now = self::commits(&world);
        if now != commits {
            commits = now;
            acked = Image::of(&world);
        }
    }
    let (kv, files) = (Arc::new(world.kv.crash(seed ^ 77)), Arc::new(world.files.crash(seed ^ 99)));
    let store = open(&kv, &files).map_err(|error| tintype_store::chain_text(&error))?;
    let flight = Image::of(&world);
    let last = world.log.last().cloned().unwrap_or_default();
    judge(&store, &acked, &flight, failed, &last)?;
    let report = store.fsck(false).map_err(|error| tintype_store::chain_text(&error))?;
    if report.problems.is_empty() { Ok(()) } else { Err(format!("{:?}", report.problems)) }
}

fn judge(
    store: &Arc<Store>,
    acked: &Image,
    flight: &Image,
    failed: bool,
    last: &str,
) -> Result<(), String> {
    let first = acked.matches(store);
    if first.is_ok() || !failed {
        return first;
    }
    // The commit in flight may have become durable, with what its operation removes or replaces.
    let mut flight = flight.clone();
    if last.starts_with("delete") {
        flight.snaps.retain(|id, _| store.snapshot_by_id(*id).is_some());
        flight.vols.retain(|id, _| store.volume_by_id(*id).is_some());
    }
    if last.starts_with("restore") {
        flight.vols.clear();
    }
    flight.matches(store)
}

fn commits(world: &World) -> u64 {
    world.store.status().map_or(0, |status| status.commits)
}

fn quiet<T>(f: impl FnOnce() -> T) -> T {
    std::panic::set_hook(Box::new(|_| {}));
    let result = f();
    let _ = std::panic::take_hook();
    result
}

fn count(default: u64) -> u64 {
    std::env::var("TINTYPE_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn the_state_after_a_power_loss_is_a_prefix_no_older_than_the_last_sync() {
    for seed in 1..=count(150) {
        let steps = 20 + seed % STEPS;
        lose_power(seed, steps, &Fault::None).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn power_is_lost_at_every_sync_and_write() {
    for seed in 1..=count(150) / 15 {
        for nth in 1..60 {
            for fault in [
                Fault::KvSync(nth),
                Fault::KvWrite(nth),
                Fault::SegmentSync(nth),
                Fault::SegmentWrite(nth),
            ] {
                lose_power(seed, STEPS, &fault)
                    .unwrap_or_else(|e| panic!("seed {seed} fault {nth}: {e}"));
            }
        }
    }
}

#[test]
fn a_skipped_sync_is_noticed() {
    let found = quiet(|| {
        let noticed = |fault: fn(u64) -> Fault| {
            (1..=200u64).filter(|seed| lose_power(*seed, 12, &fault(1 + seed % 6)).is_err()).count()
        };
        (noticed(Fault::SkippedSegmentSync), noticed(Fault::SkippedKvSync))
    });
    assert!(found.0 > 0 && found.1 > 0, "planted bugs noticed: {found:?}");
}
