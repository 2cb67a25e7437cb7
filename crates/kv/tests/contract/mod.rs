//! The contract of the port, as checks that every adapter must pass.
//!
//! Each check takes an opener that may be called again for the same store, after the earlier handle was dropped. The
//! model is a `BTreeMap`. Nothing here knows which adapter it drives.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use tintype_kv::{Batch, Kv, KvError, Op, Pair};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A step of a random run.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes a batch; `None` is a delete.
    Write(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// Compares a range in both directions.
    Range(Vec<u8>, Vec<u8>),
    /// Syncs.
    Sync,
    /// Compacts.
    Compact,
    /// Closes and opens again.
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(0u8..4, 1..4),
        1 => prop::collection::vec(any::<u8>(), 1..40),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let op = (key(), prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..400)));
    prop_oneof![
        8 => prop::collection::vec(op, 1..20).prop_map(Step::Write),
        6 => (key(), key()).prop_map(|(a, b)| Step::Range(a, b)),
        2 => Just(Step::Sync),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// Random runs.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

/// Random batches, ranges, syncs, compactions and reopenings agree with a map.
pub fn agrees_with_a_map<K: Kv>(mut reopen: impl FnMut(Option<K>) -> K, steps: Vec<Step>) {
    let (mut kv, mut model) = (reopen(None), Model::new());
    for step in steps {
        match step {
            Step::Write(ops) => write(&kv, &mut model, ops),
            Step::Range(a, b) => same_range(&kv, &model, &a, &b),
            Step::Sync => kv.sync().unwrap(),
            Step::Compact => kv.compact().unwrap(),
            Step::Reopen => kv = reopen(Some(kv)),
        }
    }
    same_range(&kv, &model, b"", &[0xff; 41]);
    for key in model.keys() {
        assert_eq!(kv.get(key).unwrap().as_deref(), model.get(key).map(|v| &v[..]));
    }
}

fn write(kv: &impl Kv, model: &mut Model, ops: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    let mut batch = Batch::new();
    for (key, value) in ops {
        match value {
            Some(value) => {
                batch.put(key.clone(), value.clone());
                model.insert(key, value);
            }
            None => {
                batch.delete(key.clone());
                model.remove(&key);
            }
        }
    }
    let touched: Vec<Bytes> = batch.iter().map(Op::key).cloned().collect();
    kv.write(batch).unwrap();
    for key in touched {
        assert_eq!(kv.get(&key).unwrap().as_deref(), model.get(&key[..]).map(|v| &v[..]));
    }
}

fn same_range(kv: &impl Kv, model: &Model, a: &[u8], b: &[u8]) {
    let expected: Vec<(Vec<u8>, Vec<u8>)> = if a < b {
        model.range(a.to_vec()..b.to_vec()).map(|(k, v)| (k.clone(), v.clone())).collect()
    } else {
        Vec::new()
    };
    let plain = |pairs: Vec<Result<Pair, KvError>>| -> Vec<(Vec<u8>, Vec<u8>)> {
        pairs.into_iter().map(|p| p.unwrap()).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
    };
    assert_eq!(plain(kv.range(a, b).collect()), expected);
    let mut back = plain(kv.range_rev(a, b).collect());
    assert_eq!(
        kv.range(a, b).next().map(|p| p.unwrap().0.to_vec()),
        expected.first().map(|p| p.0.clone())
    );
    back.reverse();
    assert_eq!(back, expected);
}

/// A later operation on the same key wins, and lengths out of bounds refuse the whole batch.
pub fn order_and_refusal(kv: &impl Kv) {
    let mut batch = Batch::new();
    batch.put("k", "1").delete("k").put("k", "2").put("gone", "x").delete("gone");
    assert_eq!((batch.len(), batch.bytes()), (5, 14));
    kv.write(batch).unwrap();
    assert_eq!(kv.get(b"k").unwrap().unwrap(), "2");
    assert_eq!(kv.get(b"gone").unwrap(), None);
    for bad in [vec![], vec![7; 65_536]] {
        let mut batch = Batch::new();
        batch.put("k", "3").delete(bad.clone());
        assert!(matches!(kv.write(batch), Err(KvError::KeyLength { len }) if len == bad.len()));
        assert_eq!(kv.get(&bad).unwrap(), None);
    }
    // Keys behind the last one that callers have are the adapter's, and stay out of sight.
    for kept in [&[0xff; 8][..], b"\xff\xff\xff\xff\xff\xff\xff\xffL"] {
        let mut batch = Batch::new();
        batch.put("k", "3").delete(kept.to_vec());
        assert!(matches!(kv.write(batch), Err(KvError::KeyReserved)));
        assert_eq!(kv.get(kept).unwrap(), None);
    }
    assert_eq!(kv.range(&[0xff; 7], &[0xff; 99]).count(), 0);
    assert_eq!(kv.range_rev(&[0xff; 7], &[0xff; 99]).count(), 0);
    assert_eq!(kv.get(b"k").unwrap().unwrap(), "2");
    let mut batch = Batch::new();
    batch.put(vec![7; 65_535], "longest").put("empty", "");
    kv.write(batch).unwrap();
    kv.write(Batch::new()).unwrap();
    assert_eq!(kv.get(&[7; 65_535]).unwrap().unwrap(), "longest");
    assert_eq!(kv.get(b"empty").unwrap().unwrap(), "");
    assert!(kv.range(b"z", b"a").next().is_none() && kv.range_rev(b"a", b"a").next().is_none());
    kv.sync().unwrap();
    kv.disk_bytes().unwrap();
}

/// While one thread writes batches that keep two distant keys equal, no reader sees them differ, in either order of
/// reading that a batch could tear; and long ranges stay ordered.
pub fn readers_never_see_half_a_batch(kv: &impl Kv) {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2000u32 {
                let mut batch = Batch::new();
                for key in 0..40u32 {
                    batch.put(key.to_be_bytes().to_vec(), round.to_be_bytes().to_vec());
                }
                kv.write(batch).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let seen: Vec<Pair> = kv.range(&[0], &[1]).collect::<Result<_, _>>().unwrap();
            assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
            assert!(seen.windows(2).all(|w| w[0].1 == w[1].1), "half a batch was seen");
            let first = kv.get(&0u32.to_be_bytes()).unwrap();
            let later = kv.get(&39u32.to_be_bytes()).unwrap();
            assert!(first <= later, "a later read went back in time");
        }
    });
}

/// An iterator left open does not keep writers out.
pub fn open_iterators_do_not_block(kv: &impl Kv) {
    let mut batch = Batch::new();
    (0..1000u32).for_each(|i| {
        batch.put(i.to_be_bytes().to_vec(), "old");
    });
    kv.write(batch).unwrap();
    let mut walk = kv.range(&[0], &[1]);
    walk.next().unwrap().unwrap();
    let mut batch = Batch::new();
    (500..1500u32).for_each(|i| {
        batch.delete(i.to_be_bytes().to_vec());
    });
    kv.write(batch).unwrap();
    let keys: Vec<Bytes> = walk.map(|p| p.unwrap().0).collect();
    assert!(keys.len() >= 499 && keys.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(kv.range(&[0], &[1]).count(), 500);
    assert_eq!(kv.range_rev(&[0], &[1]).next().unwrap().unwrap().0[..], 499u32.to_be_bytes());
}
