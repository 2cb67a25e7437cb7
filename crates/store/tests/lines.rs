//! What owners took is never lost: whatever a line accepts at the worst moment is in a commit, or was refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tintype_kv::MemoryKv;
use tintype_model::{SnapshotId, VolumeId};
use tintype_segments::MemoryFiles;
use tintype_store::{
    Key, LineOwner, LineRef, LiveLine, Moment, MomentRef, NewVolume, Store, StoreError,
};
use world::{World, open};

/// How long the other side may use a gap. Without one it waits all the while.
const GAP: Duration = Duration::from_millis(300);

/// An owner that takes a change whenever the store lets go of its lock.
struct Eager {
    line: Mutex<LiveLine>,
    taken: Mutex<BTreeSet<u64>>,
    eager: Mutex<bool>,
}

impl Eager {
    fn serve(store: &Store, line: LineRef) -> Arc<Self> {
        let make = |line| Ok::<_, StoreError>(Arc::new(Self::new(line)));
        store.serve(line, make).unwrap()
    }

    fn new(line: LiveLine) -> Self {
        Self { line: Mutex::new(line), taken: Mutex::default(), eager: Mutex::new(false) }
    }

    /// One operation of a program: takes the next number, unless the line has ended.
    fn take(&self) -> bool {
        let mut line = self.line.lock();
        if line.has_ended() {
            return false;
        }
        let mut taken = self.taken.lock();
        let next = taken.last().map_or(1, |last| last + 1);
        line.put(key(next), vec![1].into(), Box::default());
        taken.insert(next)
    }
}

impl LineOwner for Eager {
    fn with_line(&self, f: &mut dyn FnMut(&mut LiveLine)) {
        f(&mut self.line.lock());
        if *self.eager.lock() {
            self.take();
        }
    }
    fn replaced(&self) {}
}

fn key(n: u64) -> Key {
    Key::new(1, n, 0)
}

fn numbers(moment: &mut dyn Moment) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    moment
        .scan(key(0), key(u64::MAX), &mut |key, _| {
            found.insert(key.a);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}

struct Fixture {
    kv: Arc<MemoryKv>,
    files: Arc<MemoryFiles>,
    store: Arc<Store>,
    volume: VolumeId,
    names: World,
}

impl Fixture {
    fn new() -> Self {
        let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
        let store = open(&kv, &files).unwrap();
        let names = World::new(1);
        let meta = names.store.volumes()[0].meta.clone();
        let volume = store.create_volume(NewVolume { meta }).unwrap().id;
        Self { kv, files, store, volume, names }
    }

    fn live(&self) -> LineRef {
        LineRef::Volume(self.volume)
    }

    fn snapshot(&mut self, source: Option<SnapshotId>, writable: bool) -> SnapshotId {
        let new = self.names.new_snapshot(source, writable);
        self.store.create_snapshot(self.volume, new).unwrap().id
    }

    fn at(&self, moment: MomentRef) -> BTreeSet<u64> {
        numbers(&mut self.store.view_of(moment).unwrap())
    }

    /// What the store shows after a clean restart.
    fn after_restart(&self, moment: MomentRef) -> BTreeSet<u64> {
        self.store.close().unwrap();
        let store = open(&self.kv, &self.files).unwrap();
        assert_eq!(store.fsck(false).unwrap().problems, Vec::<String>::new());
        numbers(&mut store.view_of(moment).unwrap())
    }

    /// Serves a line while `other` runs in another thread.
    fn serve_during(&self, line: LineRef, other: impl FnOnce(&Store) + Send) -> Arc<Eager> {
        std::thread::scope(|scope| {
            let (done, wait) = channel::<()>();
            let make = |line| {
                let store = self.store.clone();
                scope.spawn(move || {
                    other(&store);
                    drop(done);
                });
                // The end of the other thread, if it needs nothing that we hold.
                let _ = wait.recv_timeout(GAP);
                Ok::<_, StoreError>(Arc::new(Eager::new(line)))
            };
            self.store.serve(line, make).unwrap()
        })
    }
}

#[test]
fn a_snapshot_during_the_opening_of_a_line_does_not_change_later() {
    for writable in [false, true] {
        let mut f = Fixture::new();
        assert!(Eager::serve(&f.store, f.live()).take());
        f.store.sync().unwrap();
        let source = writable.then(|| f.snapshot(None, true));
        let line = source.map_or(f.live(), LineRef::Snapshot);
        let new = f.names.new_snapshot(source, false);
        let (volume, name) = (f.volume, new.meta.name.clone());
        let owner = f.serve_during(line, move |store| {
            store.create_snapshot(volume, new).unwrap();
        });
        let made = f.store.snapshot(f.volume, name.as_str()).unwrap().id;
        let before = f.at(MomentRef::Snapshot(made));
        owner.line.lock().put(key(50), vec![1].into(), Box::default());
        f.store.sync().unwrap();
        assert_eq!(f.at(MomentRef::Snapshot(made)), before);
        let touched = f.store.touched(MomentRef::Snapshot(made), moment(line)).unwrap();
        assert_eq!(touched, [key(50)], "a comparison misses nothing");
    }
}

fn moment(line: LineRef) -> MomentRef {
    match line {
        LineRef::Volume(volume) => MomentRef::Live(volume),
        LineRef::Snapshot(snapshot) => MomentRef::Snapshot(snapshot),
    }
}

#[test]
fn a_clone_during_the_opening_of_a_line_does_not_change_later() {
    let mut f = Fixture::new();
    let source = f.snapshot(None, true);
    let mut meta = f.names.store.volumes()[0].meta.clone();
    meta.name = tintype_model::VolumeName::new("clone").unwrap();
    let owner = f.serve_during(LineRef::Snapshot(source), move |store| {
        store.clone_snapshot(source, NewVolume { meta }).unwrap();
    });
    assert!(owner.take());
    f.store.sync().unwrap();
    let clone = f.store.volume("clone").unwrap().id;
    assert_eq!(f.at(MomentRef::Live(clone)), BTreeSet::new());
    assert_eq!(f.at(MomentRef::Snapshot(source)), BTreeSet::from([1]));
}

#[test]
fn a_restore_during_the_opening_of_a_line_keeps_what_is_written_afterwards() {
    let mut f = Fixture::new();
    let old = f.snapshot(None, false);
    let volume = f.volume;
    let owner = f.serve_during(f.live(), move |store| {
        store.restore(volume, old, None).unwrap();
    });
    assert!(owner.take());
    f.store.sync().unwrap();
    assert_eq!(f.after_restart(MomentRef::Live(volume)), BTreeSet::from([1]));
}

#[test]
fn what_a_line_takes_during_a_restore_is_kept_or_live() {
    let mut f = Fixture::new();
    let base = f.snapshot(None, false);
    let owner = Eager::serve(&f.store, f.live());
    *owner.eager.lock() = true;
    for _ in 0..5 {
        assert!(owner.take());
        let keep = f.names.new_snapshot(None, false);
        let name = keep.meta.name.clone();
        f.store.restore(f.volume, base, Some(keep)).unwrap();
        let kept = f.store.snapshot(f.volume, name.as_str()).unwrap().id;
        *owner.eager.lock() = false;
        f.store.sync().unwrap();
        let mut found = f.at(MomentRef::Live(f.volume));
        found.extend(f.at(MomentRef::Snapshot(kept)));
        let all = std::mem::take(&mut *owner.taken.lock());
        assert_eq!(found, all);
        *owner.eager.lock() = true;
    }
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_restore_without_room_leaves_the_line_as_it_is() {
    let mut f = Fixture::new();
    let base = f.snapshot(None, false);
    let owner = Eager::serve(&f.store, f.live());
    assert!(owner.take());
    f.kv.fill(Some(1));
    assert!(f.store.restore(f.volume, base, None).unwrap_err().is_full());
    assert!(owner.take());
    assert_eq!(numbers(&mut *owner.line.lock()), BTreeSet::from([1, 2]));
    f.kv.fill(None);
    assert_eq!(f.after_restart(MomentRef::Live(f.volume)), BTreeSet::from([1, 2]));
}

#[test]
fn what_a_line_takes_while_it_is_let_go_is_committed_or_refused() {
    let f = Fixture::new();
    let owner = Eager::serve(&f.store, f.live());
    *owner.eager.lock() = true;
    assert!(owner.take());
    f.store.detach(&*owner).unwrap();
    assert!(!owner.take(), "nobody would commit it");
    let taken = owner.taken.lock().clone();
    drop(owner);
    assert_eq!(f.after_restart(MomentRef::Live(f.volume)), taken);
}

#[test]
fn what_a_line_takes_while_the_store_closes_is_committed_or_refused() {
    let f = Fixture::new();
    let owner = Eager::serve(&f.store, f.live());
    *owner.eager.lock() = true;
    assert!(owner.take());
    let shown = f.after_restart(MomentRef::Live(f.volume));
    assert!(!owner.take());
    assert_eq!(shown, *owner.taken.lock());
}

#[test]
fn a_line_has_one_owner_and_only_its_own_owner_lets_it_go() {
    let f = Fixture::new();
    let first = Eager::serve(&f.store, f.live());
    let make = |line| Ok::<_, StoreError>(Arc::new(Eager::new(line)));
    let second = f.store.serve(f.live(), make).map(|_| ());
    assert!(matches!(second, Err(StoreError::Busy { .. })));
    f.store.detach(&*first).unwrap();
    let second = Eager::serve(&f.store, f.live());
    f.store.detach(&*first).unwrap();
    assert!(second.take());
    let weak: Weak<Eager> = Arc::downgrade(&second);
    assert_eq!(f.after_restart(MomentRef::Live(f.volume)), BTreeSet::from([1]));
    assert!(weak.upgrade().is_some());
}

/// A cut that waits for room has moved the line to a new epoch: who opens the line again must not go on in the old one.
#[test]
fn a_line_that_is_opened_after_a_refused_cut_goes_on_behind_it() {
    let mut f = Fixture::new();
    let owner = Eager::serve(&f.store, f.live());
    assert!(owner.take());
    f.store.sync().unwrap();
    f.kv.fill(Some(1));
    let new = f.names.new_snapshot(None, false);
    assert!(f.store.create_snapshot(f.volume, new).unwrap_err().is_full());
    drop(f.store.detach(&*owner));
    f.kv.fill(None);
    let owner = Eager::serve(&f.store, f.live());
    let open = owner.line.lock().epoch();
    let made = f.snapshot(None, false);
    owner.take();
    f.store.sync().unwrap();
    assert!(owner.line.lock().epoch() > open);
    assert_eq!(f.at(MomentRef::Snapshot(made)), BTreeSet::from([1]));
}
