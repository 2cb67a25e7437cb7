//! The memory adapter: the contract, what a power loss leaves, and that planted faults are what they say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod contract;

use proptest::prelude::*;
use tintype_kv::{Batch, Kv, KvError, MemoryKv};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_a_map(steps in contract::steps()) {
        contract::agrees_with_a_map(Option::<MemoryKv>::unwrap_or_default, steps);
    }
}

#[test]
fn contract() {
    contract::order_and_refusal(&MemoryKv::new());
    contract::readers_never_see_half_a_batch(&MemoryKv::new());
    contract::open_iterators_do_not_block(&MemoryKv::new());
}

/// Batch `n` sets "last" and its own key to `n`.
fn write(kv: &MemoryKv, n: u64) -> Result<(), KvError> {
    let mut batch = Batch::new();
    batch.put("last", n.to_string()).put(format!("key{n}"), n.to_string());
    kv.write(batch)
}

/// The number of batches whose effect the store shows; panics when it is no prefix.
fn prefix(kv: &MemoryKv) -> u64 {
    let last = kv.get(b"last").unwrap();
    let last: u64 = last.map_or(0, |v| std::str::from_utf8(&v).unwrap().parse().unwrap());
    assert_eq!(kv.range(b"key", b"kez").count() as u64, last);
    last
}

#[test]
fn a_crash_keeps_a_prefix_and_the_original_goes_on() {
    let kv = MemoryKv::new();
    (1..=10).for_each(|n| write(&kv, n).unwrap());
    kv.sync().unwrap();
    (11..=20).for_each(|n| write(&kv, n).unwrap());
    let seen: std::collections::BTreeSet<u64> =
        (0..500).map(|seed| prefix(&kv.crash(seed))).collect();
    assert_eq!(seen, (10..=20).collect());
    assert_eq!((prefix(&kv), kv.pending(), kv.writes(), kv.syncs()), (20, 10, 20, 1));
    assert_eq!(prefix(&kv.crash_keeping(3)), 13);
    assert_eq!(kv.crash(1).pending(), 0);
}

#[test]
fn a_skipped_sync_loses_what_it_promised() {
    let kv = MemoryKv::new();
    kv.skip_sync(2);
    write(&kv, 1).unwrap();
    kv.sync().unwrap();
    write(&kv, 2).unwrap();
    kv.sync().unwrap();
    assert!((0..50).any(|seed| prefix(&kv.crash(seed)) == 1));
    kv.sync().unwrap();
    assert!((0..50).all(|seed| prefix(&kv.crash(seed)) == 2));
}

#[test]
fn failures_poison() {
    let kv = MemoryKv::new();
    write(&kv, 1).unwrap();
    kv.fail_sync(1);
    assert!(matches!(kv.sync(), Err(KvError::Planted { .. })));
    assert!(matches!(kv.sync(), Err(KvError::Poisoned)));
    assert!(matches!(write(&kv, 2), Err(KvError::Poisoned)));
    assert_eq!(prefix(&kv), 1);
    let kv = MemoryKv::new();
    kv.fail_write(2);
    write(&kv, 1).unwrap();
    assert!(matches!(write(&kv, 2), Err(KvError::Planted { .. })));
    assert!(matches!(kv.sync(), Err(KvError::Poisoned)));
    assert_eq!(prefix(&kv), 1);
}

#[test]
fn a_full_memory_store_refuses_batches_that_do_not_free_space_and_goes_on_afterwards() {
    let kv = MemoryKv::new();
    let put = |key: &'static str| {
        let mut batch = Batch::new();
        batch.put(key, "v");
        batch
    };
    kv.fill(Some(2));
    kv.write(put("a")).unwrap();
    assert!(matches!(kv.write(put("b")), Err(KvError::NoSpace { .. })));
    let mut frees = put("c");
    frees.frees_space();
    kv.write(frees).unwrap();
    kv.fill(None);
    kv.write(put("d")).unwrap();
    assert_eq!(kv.range(b"a", b"z").count(), 3);
}
