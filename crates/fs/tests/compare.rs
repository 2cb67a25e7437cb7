//! A comparison with a live side while it is changed: it tells one instant, and leaves nothing behind.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
use common::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tintype_fs::vfs::*;
use tintype_fs::{Change, Mounted, diff};
use tintype_kv::MemoryKv;
use tintype_segments::{MemoryFiles, Segments};
use tintype_store::{MomentRef, NewVolume, Store, StoreOptions};

/// Files of one writer that grow in turn.
const FILES: u64 = 12;

fn busy() -> Fixture {
    let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
    let segments = Segments::open(files.clone(), Default::default()).unwrap();
    let options =
        StoreOptions { commit_interval: Duration::from_millis(5), ..StoreOptions::default() };
    let store = Store::open(kv.clone(), Arc::new(segments), options).unwrap();
    let volume = store.create_volume(NewVolume { meta: volume_meta("v") }).unwrap().id;
    let fs = Mounted::open(store.clone(), volume).unwrap();
    Fixture { kv, files, store, volume, fs }
}

type Told = (String, Change, Option<String>, u64);

/// One writer's part of the tree: after its operation `n` everything there is a function of `n`.
struct Writer {
    dir: Node,
    name: String,
    files: Vec<Node>,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Writer {
    fn new(f: &Fixture, name: &str) -> Self {
        let dir = f.mkdir(ROOT, name);
        f.create(dir, "token 0");
        let files = (0..FILES).map(|n| f.create(dir, &format!("file {n}"))).collect();
        let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { dir, name: name.to_owned(), files, begun, ended }
    }

    /// Odd operations rename the token, even ones make a file longer.
    fn step(&self, f: &Fixture) {
        let n = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        if n % 2 == 1 {
            let (old, new) = (format!("token {}", n / 2), format!("token {}", n / 2 + 1));
            f.fs.rename(&ME, self.dir, old.as_bytes(), self.dir, new.as_bytes(), 0).unwrap();
        } else {
            f.write(self.files[(n / 2 % FILES) as usize], n - 1, &[7]);
        }
        self.ended.store(n, Ordering::SeqCst);
    }

    /// What differs from the beginning after operation `n`; attributes of the directory left out.
    fn expected(&self, n: u64) -> Vec<Told> {
        let mut all = Vec::new();
        let path = |name: String| format!("{}/{name}", self.name);
        if n > 0 {
            let token = path(format!("token {}", n.div_ceil(2)));
            all.push((token, Change::Renamed, Some(path("token 0".into())), 0));
        }
        for file in 0..FILES {
            let grown = (1..=n / 2).rev().find(|half| half % FILES == file);
            all.extend(
                grown.map(|half| (path(format!("file {file}")), Change::Modified, None, half * 2)),
            );
        }
        all.sort();
        all
    }
}

fn told(f: &Fixture, a: MomentRef) -> Vec<Told> {
    let text = |path: Vec<u8>| String::from_utf8(path).unwrap();
    diff(&f.store, a, MomentRef::Live(f.volume), false)
        .unwrap()
        .into_iter()
        .filter(|entry| entry.change != Change::Attributes)
        .map(|entry| (text(entry.path), entry.change, entry.old_path.map(text), entry.size))
        .collect()
}

#[test]
fn a_comparison_under_load_tells_one_instant() {
    let f = busy();
    let writers = [Writer::new(&f, "a"), Writer::new(&f, "b"), Writer::new(&f, "c")];
    let start = MomentRef::Snapshot(f.snapshot("start", false));
    let stop = AtomicBool::new(false);
    let (f, writers, stop) = (&f, &writers, &stop);
    std::thread::scope(|scope| {
        for writer in writers {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    writer.step(f);
                }
            });
        }
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                f.store.sync().unwrap();
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..150 {
                let from: Vec<u64> =
                    writers.iter().map(|w| w.ended.load(Ordering::SeqCst)).collect();
                let told = told(f, start);
                for (writer, from) in writers.iter().zip(from) {
                    let upto = writer.begun.load(Ordering::SeqCst);
                    let own: Vec<Told> = told
                        .iter()
                        .filter(|entry| entry.0.starts_with(&format!("{}/", writer.name)))
                        .cloned()
                        .collect();
                    let fits = (from..=upto).any(|n| writer.expected(n) == own);
                    assert!(fits, "round {round}: no instant of {from}..={upto} is {own:?}");
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    let MomentRef::Snapshot(id) = start else { return };
    f.store.delete_snapshots(&[id]).unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.usage(f.volume).snapshot_bytes, 0, "a comparison left something behind");
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

/// What a comparison sees stays even when its moments are changed and deleted meanwhile.
#[test]
fn fixed_moments_stay_until_they_are_let_go() {
    let f = Fixture::new();
    let a = f.create(ROOT, "a");
    f.write(a, 0, &[1; 40_000]);
    let id = f.snapshot("one", false);
    f.write(a, 0, &[2; 40_000]);
    let ends = (MomentRef::Snapshot(id), MomentRef::Live(f.volume));
    f.store.sync().unwrap();
    let predicted = f.store.reclaimable(&[id]).unwrap();
    let fixed = f.store.fix(ends.0, ends.1).unwrap();
    assert_eq!(f.store.reclaimable(&[id]).unwrap(), predicted, "a prediction while it is fixed");
    let touched = fixed.touched().unwrap();
    f.write(a, 0, &[3; 40_000]);
    f.store.sync().unwrap();
    f.store.delete_snapshots(&[id]).unwrap();
    f.store.run_background_until_idle().unwrap();
    assert_eq!(fixed.touched().unwrap(), touched);
    for (view, byte) in fixed.views().into_iter().zip([1, 2]) {
        let mut view = view;
        use tintype_store::Moment;
        let mut found = Vec::new();
        for key in &touched {
            if let Some(record) = view.get(*key).unwrap() {
                for piece in &record.pieces {
                    let mut out = vec![0; usize::from(piece.len) * 4096];
                    view.blocks().read(piece.extent, piece.first, piece.len, &mut out).unwrap();
                    found.extend(out);
                }
            }
        }
        assert!(found.len() >= 40_000 && found[..40_000].iter().all(|b| *b == byte), "{byte}");
    }
    drop(fixed);
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.usage(f.volume).snapshot_bytes, 0);
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}

/// A check of a filesystem that is written looks at one instant: no operation that it sees half of is taken for damage.
#[test]
fn a_check_beside_writers_finds_nothing() {
    let f = busy();
    let writers: Vec<Writer> = (0..2).map(|n| Writer::new(&f, &format!("w{n}"))).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (f, stop) = (&f, &stop);
        for writer in &writers {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    writer.step(f);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..40 {
                let unmounted = tintype_fs::check(&f.store, MomentRef::Live(f.volume)).unwrap();
                let mounted = f.fs.check(false).unwrap();
                for report in [unmounted, mounted] {
                    assert_eq!(report.problems, Vec::new(), "round {round}");
                    assert!(report.inodes > 2 * FILES);
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    f.store.run_background_until_idle().unwrap();
    assert_eq!(f.store.usage(f.volume).snapshot_bytes, 0, "a check left something behind");
    assert_eq!(f.store.fsck(false).unwrap().problems, Vec::<String>::new());
}
