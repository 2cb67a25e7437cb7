//! The small history of the design: what each event writes, and what each deletion frees.
//!
//! Line L has snapshots at the end of its epochs 1, 2 and 3; C is a clone of the second.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests may stop")]

use std::sync::Arc;
use tintype_history::{
    Base, Change, Epoch, History, Key, Output, Point, Record, Removal, SpaceId, read,
};
use tintype_kv::{Batch, Kv, MemoryKv};

const K: Key = Key::new(1, 1, 0);
const M: Key = Key::new(1, 2, 0);
const N: Key = Key::new(1, 3, 0);

struct Run {
    kv: Arc<MemoryKv>,
    history: History,
}

impl Run {
    fn new() -> Self {
        let kv = Arc::new(MemoryKv::new());
        let history = History::open(kv.clone()).unwrap();
        Self { kv, history }
    }

    fn space(&mut self, parent: Option<Point>) -> SpaceId {
        let mut batch = Batch::new();
        let space = self.history.create_space(&mut batch, parent, 1);
        self.kv.write(batch).unwrap();
        space
    }

    fn open(&self, space: SpaceId) -> Epoch {
        self.history.tree().get(space).unwrap().open
    }

    fn get(&self, space: SpaceId, epoch: Epoch, key: Key) -> Option<Vec<u8>> {
        let chain = self.history.tree().chain(Point { space, epoch });
        read::get(&*self.kv, &chain, key).unwrap().map(|record| record.body.to_vec())
    }

    /// One change in the open epoch, committed alone.
    fn set(&mut self, space: SpaceId, key: Key, body: Option<&[u8]>) {
        let epoch = self.open(space);
        let record = |body: &[u8]| Record {
            birth: epoch,
            body: body.into(),
            pieces: Box::default(),
            over: true,
        };
        let new = body.map(|body| Arc::new(record(body)));
        let change = Change { base: Base::Unknown, new };
        let (mut batch, mut output) = (Batch::new(), Output::default());
        let changes = std::iter::once((key, &change));
        self.history.commit(&mut batch, space, epoch, changes, &mut output).unwrap();
        self.kv.write(batch).unwrap();
    }

    fn snapshot(&mut self, space: SpaceId) -> Point {
        let point = Point { space, epoch: self.open(space) };
        let mut batch = Batch::new();
        let next = self.history.reserve_epoch();
        self.history.open_epoch(&mut batch, space, next);
        self.kv.write(batch).unwrap();
        self.history.add_name(point);
        point
    }

    /// Deletes names and heads; the bytes that went must be the bytes that were promised.
    fn delete(&mut self, names: &[Point], heads: &[SpaceId]) -> u64 {
        let removal = Removal { names: names.to_vec(), heads: heads.to_vec() };
        let promised = self.history.predict(&removal);
        for head in heads {
            self.history.set_head(*head, false);
        }
        if names.is_empty() {
            self.history.recount();
        } else {
            self.history.remove_names(names);
            self.history.recount();
        }
        let mut freed = 0;
        loop {
            let (mut batch, mut output) = (Batch::new(), Output::default());
            let more = self.history.step(&mut batch, 100, &mut output).unwrap();
            self.kv.write(batch).unwrap();
            freed += output.freed_bytes;
            if !more {
                break;
            }
        }
        assert_eq!(freed, promised);
        freed
    }

    /// Version rows of a key, in any space.
    fn versions(&self, key: Key) -> usize {
        let rows = self.kv.range(b"V", b"W");
        rows.filter(|row| {
            let (row, _) = row.as_ref().unwrap();
            tintype_history::codec::parse_version_row(row).unwrap().1 == key
        })
        .count()
    }
}

/// The history up to epoch 4: (run, line, snapshots).
fn written() -> (Run, SpaceId, [Point; 3]) {
    let mut run = Run::new();
    let line = run.space(None);
    run.set(line, K, Some(b"k1"));
    run.set(line, N, Some(b"n1"));
    let s1 = run.snapshot(line);
    run.set(line, M, Some(b"m2"));
    run.set(line, M, None);
    assert_eq!(run.versions(M), 0, "born and removed in one epoch: nothing remains");
    let s2 = run.snapshot(line);
    run.set(line, K, Some(b"k3"));
    let s3 = run.snapshot(line);
    run.set(line, N, None);
    (run, line, [s1, s2, s3])
}

#[test]
fn each_moment_shows_its_own() {
    let (run, line, [s1, s2, s3]) = written();
    let show = |point: Point, key| run.get(point.space, point.epoch, key);
    assert_eq!(show(s1, K).unwrap(), b"k1");
    assert_eq!(show(s2, K).unwrap(), b"k1");
    assert_eq!(show(s3, K).unwrap(), b"k3");
    assert_eq!(show(s3, N).unwrap(), b"n1");
    assert_eq!(run.get(line, run.open(line), N), None);
}

#[test]
fn a_version_goes_with_the_last_snapshot_that_sees_it() {
    let (mut run, _, [s1, s2, _]) = written();
    assert_eq!(run.delete(&[s1], &[]), 0, "s2 still sees k as of epoch 1");
    assert!(run.delete(&[s2], &[]) > 0);
    assert_eq!(run.versions(K), 1);
}

#[test]
fn a_tombstone_goes_with_what_it_hides() {
    let (mut run, _, [s1, s2, s3]) = written();
    assert_eq!(run.versions(N), 2);
    run.delete(&[s1], &[]);
    run.delete(&[s2], &[]);
    assert_eq!(run.versions(N), 2);
    assert!(run.delete(&[s3], &[]) > 0);
    assert_eq!(run.versions(N), 0);
}

#[test]
fn a_clone_keeps_its_moment_without_its_name_and_adopts_it_at_last() {
    let (mut run, line, [s1, s2, s3]) = written();
    let clone = run.space(Some(s2));
    run.set(clone, K, Some(b"kc"));
    assert_eq!(run.delete(&[s2], &[]), 0, "the clone pins the moment");
    assert_eq!(run.get(clone, run.open(clone), N).unwrap(), b"n1");
    // The whole line and its names go: the clone is the only reader left.
    let freed = run.delete(&[s1, s3], &[line]);
    assert!(freed > 0);
    assert_eq!(run.versions(K), 1, "k of epochs 1 and 3 have gone");
    assert_eq!(run.versions(N), 1, "the tombstone of the line has gone, n itself is the clone's");
    assert_eq!(run.get(clone, run.open(clone), K).unwrap(), b"kc");
    assert_eq!(run.get(clone, run.open(clone), N).unwrap(), b"n1");
}

#[test]
fn a_snapshot_of_the_clone_keeps_what_the_clone_has_overwritten() {
    let (mut run, line, [s1, s2, s3]) = written();
    let clone = run.space(Some(s2));
    let before = run.snapshot(clone);
    run.set(clone, K, Some(b"kc"));
    run.delete(&[s1, s2, s3], &[line]);
    assert_eq!(run.get(clone, before.epoch, K).unwrap(), b"k1");
    assert!(run.delete(&[before], &[]) > 0);
    assert_eq!(run.versions(K), 1);
}
