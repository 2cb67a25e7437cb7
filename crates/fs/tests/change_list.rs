//! Change lists that are read in pages: held moments stay as they are, whatever happens meanwhile, also after a power loss.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use jiff::Timestamp;
use std::sync::Arc;
use tintype_fs::vfs::*;
use tintype_fs::{Changed, DiffEntry, DiffPlace, Mounted, diff, diff_page};
use tintype_store::{MomentRef, Store, StoreError};

const LIST: &str = "list";

fn time(hour: i64) -> Timestamp {
    Timestamp::from_second(2_000_000_000 + hour * 3600).unwrap()
}

/// A tree with everything that changes in a list: new, changed, moved and deleted files, links, directories.
fn change(f: &Fixture, round: u32) {
    let dir = f.mkdir(ROOT, &format!("dir{round}"));
    for n in 0..40 {
        let node = f.create(dir, &format!("file{n}"));
        f.write(node, 0, &vec![n as u8; 5000]);
        if n % 5 == 0 {
            f.fs.link(&ME, node, ROOT, format!("link{round}-{n}").as_bytes()).unwrap();
        }
    }
    let before = round.checked_sub(1).map(|before| format!("dir{before}"));
    if let Some((before, old)) = before.and_then(|name| Some((name.clone(), f.find(ROOT, &name)?)))
    {
        for n in 0..40 {
            let name = format!("file{n}");
            match n % 4 {
                0 => f.write(f.find(old, &name).unwrap(), 4096, b"changed"),
                1 => f.fs.unlink(&ME, old, name.as_bytes()).unwrap(),
                2 => {
                    f.fs.rename(&ME, old, name.as_bytes(), dir, format!("old-{name}").as_bytes(), 0)
                        .unwrap()
                }
                _ => {
                    f.fs.unlink(&ME, old, name.as_bytes()).unwrap();
                    f.create(old, &name);
                }
            }
        }
        let moved = format!("moved{round}");
        f.fs.rename(&ME, ROOT, before.as_bytes(), ROOT, moved.as_bytes(), 0).unwrap();
    }
}

/// The next page of each part, of `limit` entries.
fn step(store: &Store, parts: &mut [(Option<DiffPlace>, u64)], limit: usize) -> Vec<DiffEntry> {
    let mut got = Vec::new();
    for (place, below) in parts {
        let Some(at) = *place else { continue };
        let held = store.held(LIST, time(0)).unwrap();
        let changed = Changed::read(&held).unwrap();
        let page = diff_page(&held, &changed, at, *below, limit).unwrap();
        got.extend(page.entries);
        *place = page.next;
    }
    got
}

/// What was not synced is lost; the store opens again.
fn power_loss(f: Fixture) -> Fixture {
    let Fixture { kv, files, store, volume, fs } = f;
    let (kv, files) = (Arc::new(kv.crash(7)), Arc::new(files.crash(7)));
    store.drop_unsynced();
    drop((fs, store));
    let store = open_store(&kv, &files);
    let fs = Mounted::open(store.clone(), volume).unwrap();
    Fixture { kv, files, store, volume, fs }
}

#[test]
fn a_list_is_the_same_whatever_happens_between_its_pages() {
    for backwards in [false, true] {
        let mut f = Fixture::new();
        change(&f, 0);
        let one = f.snapshot("one", false);
        change(&f, 1);
        let mut ends = [MomentRef::Snapshot(one), MomentRef::Live(f.volume)];
        if backwards {
            ends.reverse();
        }
        let mut want = diff(&f.store, ends[0], ends[1], false).unwrap();
        assert!(want.len() > 100, "{}", want.len());
        f.store.hold(LIST, ends[0], ends[1], time(1)).unwrap();
        let predicted = f.store.reclaimable(&[one]).unwrap();
        let mut parts: Vec<_> = {
            let held = f.store.held(LIST, time(0)).unwrap();
            let parts = Changed::read(&held).unwrap().parts(4).into_iter();
            parts.map(|(inode, below)| (Some(DiffPlace { inode, skip: 0 }), below)).collect()
        };
        assert_eq!(parts.len(), 4);
        let (mut got, mut round) = (Vec::new(), 2);
        while parts.iter().any(|(place, _)| place.is_some()) {
            got.extend(step(&f.store, &mut parts, 5));
            change(&f, round);
            match round {
                2 => f = power_loss(f),
                3 => f.store.delete_snapshots(&[one]).unwrap(),
                4 => f = f.reopen(),
                _ => {}
            }
            f.store.run_background_until_idle().unwrap();
            round += 1;
        }
        assert!(round > 5, "the pages were too large for this test");
        got.sort();
        want.sort();
        assert_eq!(got, want);
        assert!(predicted > 0);
        assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
        assert!(f.store.usage(f.volume).snapshot_bytes > 0, "the hold keeps nothing");
        // Its time is over.
        assert!(f.store.held(LIST, time(1)).is_none());
        f.store.let_go_over(time(1)).unwrap();
        f.store.run_background_until_idle().unwrap();
        assert_eq!(f.store.usage(f.volume).snapshot_bytes, 0, "a hold left something behind");
        assert!(f.store.all_holds().is_empty());
        let f = f.reopen();
        assert!(f.store.all_holds().is_empty() && f.store.held(LIST, time(0)).is_none());
        assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
    }
}

fn read(f: &Fixture) -> Vec<DiffEntry> {
    let held = f.store.held(LIST, time(0)).unwrap();
    let changed = Changed::read(&held).unwrap();
    let page = diff_page(&held, &changed, DiffPlace::default(), u64::MAX, usize::MAX).unwrap();
    assert_eq!(page.next, None);
    let mut entries = page.entries;
    entries.sort();
    entries
}

/// A long chain of restores becomes one space, with the held moments in it.
#[test]
fn holds_follow_spaces_that_become_one() {
    let mut f = Fixture::new();
    change(&f, 0);
    let cycle = |f: &Fixture, n: u32| {
        let id = f.snapshot(&format!("s{n}"), false);
        f.store.restore(f.volume, id, None).unwrap();
        f.store.delete_snapshots(&[id]).unwrap();
        change(f, n);
        f.store.run_background_until_idle().unwrap();
    };
    (1..4).for_each(|n| cycle(&f, n));
    let base = f.snapshot("base", false);
    (4..7).for_each(|n| cycle(&f, n));
    let ends = [MomentRef::Snapshot(base), MomentRef::Live(f.volume)];
    let mut want = diff(&f.store, ends[0], ends[1], false).unwrap();
    want.sort();
    f.store.hold(LIST, ends[0], ends[1], time(1)).unwrap();
    f.store.delete_snapshots(&[base]).unwrap();
    for n in 7..20 {
        cycle(&f, n);
        assert_eq!(read(&f), want, "after cycle {n}");
        if n % 4 == 0 {
            f = f.reopen();
            assert_eq!(read(&f), want, "after opening it in cycle {n}");
        }
    }
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

/// Holds survive restores, and the volume.
#[test]
fn holds_stay_over_restores_and_deletes() {
    let mut f = Fixture::new();
    change(&f, 0);
    let one = f.snapshot("one", false);
    change(&f, 1);
    let two = f.snapshot("two", false);
    let ends = [MomentRef::Snapshot(two), MomentRef::Live(f.volume)];
    change(&f, 2);
    let want = diff(&f.store, ends[0], ends[1], false).unwrap();
    f.store.hold(LIST, ends[0], ends[1], time(1)).unwrap();
    for n in 0..6 {
        f.store.restore(f.volume, if n % 2 == 0 { one } else { two }, None).unwrap();
        change(&f, 10 + n * 3);
        f.store.run_background_until_idle().unwrap();
        assert_eq!(read(&f), want, "after restore {n}");
        if n == 3 {
            f = f.reopen();
        }
    }
    f.store.delete_snapshots(&[one, two]).unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(read(&f), want);
    f.fs.close().unwrap();
    f.store.delete_volume(f.volume, true).unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(read(&f), want, "after the volume was deleted");
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
    f.store.let_go(&[LIST.to_owned(), "another".to_owned()]).unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn what_cannot_be_held_is_refused() {
    let f = Fixture::new();
    let live = MomentRef::Live(f.volume);
    let other = f.store.create_volume(tintype_store::NewVolume { meta: volume_meta("w") }).unwrap();
    let refused = |name: &str, b| f.store.hold(name, live, b, time(1)).unwrap_err();
    assert!(matches!(refused(LIST, MomentRef::Live(other.id)), StoreError::Unrelated));
    assert!(matches!(refused("", live), StoreError::Invalid { .. }));
    let gone = MomentRef::Snapshot(tintype_model::SnapshotId(999));
    assert!(matches!(refused(LIST, gone), StoreError::NotFound { .. }));
    assert!(f.store.all_holds().is_empty());
    f.store.hold(LIST, live, live, time(1)).unwrap();
    assert!(matches!(refused(LIST, live), StoreError::Exists { .. }));
}
