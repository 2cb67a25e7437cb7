//! Many keys that are read in one go are what each is alone, whatever lies between them.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use tintype_history::codec::{encode_record, version_row};
use tintype_history::read::{get, get_many};
use tintype_history::{Epoch, Key, Point, Record, SpaceId};
use tintype_kv::{Batch, Kv, MemoryKv};

const SPACES: [Point; 2] =
    [Point { space: SpaceId(2), epoch: Epoch(9) }, Point { space: SpaceId(1), epoch: Epoch(4) }];

/// Numbers that look random.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn record(birth: u64, text: u64) -> Record {
    let body = text.to_be_bytes().into();
    Record { birth: Epoch(birth), body, pieces: Box::default(), over: false }
}

#[test]
fn many_keys_are_what_each_is_alone() {
    let mut state = 88_172_645_463_325_252;
    for round in 0..60_u64 {
        let kv = MemoryKv::new();
        let mut batch = Batch::new();
        let mut all: Vec<Key> = Vec::new();
        // Hashed keys of a few objects, and numbers that count up.
        for object in 1..4 {
            for _ in 0..next(&mut state) % 300 {
                all.push(Key::new(2, object, next(&mut state) >> 1));
            }
        }
        all.extend((0..200).map(|number| Key::new(1, number, 0)));
        all.extend((0..100).map(|number| Key::new(3, 7, number * (1 + round % 20))));
        all.sort_unstable();
        all.dedup();
        for key in &all {
            for part in SPACES {
                for birth in 1..=part.epoch.0 + 1 {
                    // Some have many versions, some none, some only one that is too new.
                    if next(&mut state).is_multiple_of(2 + round % 9) {
                        let row = version_row(part.space, *key, Epoch(birth));
                        batch.put(row, encode_record(&record(birth, next(&mut state))));
                    }
                }
            }
        }
        kv.write(batch).unwrap();
        let share = 1 + round % 12;
        let mut wanted = all.clone();
        wanted.retain(|_| next(&mut state).is_multiple_of(share));
        wanted.extend((0..20).map(|_| Key::new(2, 2, next(&mut state) >> 1)));
        wanted.sort_unstable();
        wanted.dedup();
        let mut told: BTreeMap<Key, Option<Record>> = BTreeMap::new();
        get_many(&kv, &SPACES, &wanted, &mut |key, record| {
            assert!(told.insert(key, record).is_none(), "{key:?} is told twice");
        })
        .unwrap();
        assert_eq!(told.len(), wanted.len());
        for key in wanted {
            assert_eq!(told[&key], get(&kv, &SPACES, key).unwrap(), "{key:?} in round {round}");
        }
    }
}
