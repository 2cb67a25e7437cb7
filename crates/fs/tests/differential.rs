//! Random operations against the reference: trees, moments, differences and usage must be equal.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/model.rs"]
mod model;

use common::*;
use model::{Answer, Body, Clock, Model, compare};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tintype_fs::vfs::*;
use tintype_fs::{Changed, DiffEntry, DiffPlace, Mounted, diff, diff_page};
use tintype_model::SnapshotId;
use tintype_store::{MomentRef, NewVolume};

type Path = Vec<String>;

#[derive(Clone, Debug)]
enum Op {
    Create(Path),
    Mkdir(Path),
    Symlink(Path, String),
    Write(Path, usize, usize, u8),
    Same(Path),
    Truncate(Path, usize),
    Punch(Path, usize, usize),
    Zero(Path, usize, usize),
    Unlink(Path),
    Rmdir(Path),
    Link(Path, Path),
    Rename(Path, Path, bool),
    Chmod(Path, u32),
    Xattr(Path, usize),
    Copy(Path, usize, Path, usize, usize),
    Snapshot(bool),
    Delete(usize),
    Restore(usize),
    Clone(usize),
    WriteSnapshot(usize, Path, u8),
    Sync,
    Background,
    Reopen,
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|parts| parts.into_iter().map(String::from).collect())
}

fn place() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..9000, (0_usize..80).prop_map(|n| n * 4096), 120_000_usize..300_000]
}

fn op() -> impl Strategy<Value = Op> {
    let index = 0_usize..1000;
    prop_oneof![
        6 => path().prop_map(Op::Create),
        4 => path().prop_map(Op::Mkdir),
        1 => (path(), "[a-z]{1,9}").prop_map(|(p, t)| Op::Symlink(p, t)),
        9 => (path(), place(), 1_usize..20_000, any::<u8>()).prop_map(|(p, a, l, v)| Op::Write(p, a, l, v)),
        1 => path().prop_map(Op::Same),
        3 => (path(), place()).prop_map(|(p, s)| Op::Truncate(p, s)),
        2 => (path(), place(), 1_usize..150_000).prop_map(|(p, a, l)| Op::Punch(p, a, l)),
        1 => (path(), place(), 1_usize..50_000).prop_map(|(p, a, l)| Op::Zero(p, a, l)),
        4 => path().prop_map(Op::Unlink),
        2 => path().prop_map(Op::Rmdir),
        3 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
        5 => (path(), path(), prop::bool::weighted(0.3)).prop_map(|(a, b, x)| Op::Rename(a, b, x)),
        1 => (path(), 0_u32..0o777).prop_map(|(p, m)| Op::Chmod(p, m)),
        2 => (path(), prop_oneof![0_usize..100, 300_usize..9000]).prop_map(|(p, l)| Op::Xattr(p, l)),
        3 => (path(), place(), path(), place(), 1_usize..200_000)
            .prop_map(|(a, x, b, y, l)| Op::Copy(a, x, b, y, l)),
        3 => prop::bool::weighted(0.3).prop_map(Op::Snapshot),
        2 => index.clone().prop_map(Op::Delete),
        1 => index.clone().prop_map(Op::Restore),
        1 => index.clone().prop_map(Op::Clone),
        2 => (index, path(), any::<u8>()).prop_map(|(n, p, v)| Op::WriteSnapshot(n, p, v)),
        2 => Just(Op::Sync),
        2 => Just(Op::Background),
        1 => Just(Op::Reopen),
    ]
}

struct World {
    f: Option<Fixture>,
    live: Model,
    clock: Clock,
    moments: BTreeMap<SnapshotId, (String, bool, Model)>,
    count: usize,
}

/// A tree of a mount, by paths; gives back every reference that it takes.
struct Hand<'a> {
    fs: &'a Mounted,
    root: Node,
}

impl Hand<'_> {
    fn dir(&self, path: &[String]) -> Result<Node, i32> {
        self.node(&path[..path.len() - 1])
    }

    fn node(&self, path: &[String]) -> Result<Node, i32> {
        let mut at = self.root;
        for part in path {
            let entry = self.fs.lookup(&ME, at, part.as_bytes()).map_err(|e| e.0)?;
            if entry.node == Node(0) {
                return Err(libc::ENOENT);
            }
            self.fs.forget(entry.node, 1);
            at = entry.node;
        }
        Ok(at)
    }

    fn done(&self, entry: Reply<Entry>) -> Answer {
        self.fs.forget(entry.map_err(|e| e.0)?.node, 1);
        Ok(())
    }

    fn apply(&self, op: &Op) -> Answer {
        let fs = self.fs;
        let h = Handle(1);
        let last = |path: &Path| path.last().unwrap().clone().into_bytes();
        let answer = match op {
            Op::Create(p) => return self.done(fs.mknod(&ME, self.dir(p)?, &last(p), 0o644, 0, 0)),
            Op::Mkdir(p) => return self.done(fs.mkdir(&ME, self.dir(p)?, &last(p), 0o755, 0)),
            Op::Symlink(p, t) => {
                return self.done(fs.symlink(&ME, self.dir(p)?, &last(p), t.as_bytes()));
            }
            Op::Write(p, at, len, value) => {
                let node = self.node(p)?;
                fs.write(&ME, node, h, *at as u64, &pattern(*len, *value), WriteFlags::default())
                    .map(drop)
            }
            Op::Same(p) => {
                let node = self.node(p)?;
                let size = fs.getattr(&ME, node, None).map_err(|e| e.0)?.0.size;
                let mut data = vec![0; size as usize];
                fs.read(&ME, node, h, 0, &mut data).map_err(|e| e.0)?;
                if data.is_empty() {
                    return Ok(());
                }
                fs.write(&ME, node, h, 0, &data, WriteFlags::default()).map(drop)
            }
            Op::Truncate(p, size) => {
                let set = SetAttr { size: Some(*size as u64), ..SetAttr::default() };
                fs.setattr(&ME, self.node(p)?, None, &set).map(drop)
            }
            Op::Punch(p, at, len) => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                fs.fallocate(&ME, self.node(p)?, h, *at as u64, *len as u64, mode)
            }
            Op::Zero(p, at, len) => {
                let mode = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
                fs.fallocate(&ME, self.node(p)?, h, *at as u64, *len as u64, mode)
            }
            Op::Unlink(p) => fs.unlink(&ME, self.dir(p)?, &last(p)),
            Op::Rmdir(p) => fs.rmdir(&ME, self.dir(p)?, &last(p)),
            Op::Link(a, b) => {
                let node = self.node(a)?;
                return self.done(fs.link(&ME, node, self.dir(b)?, &last(b)));
            }
            Op::Rename(a, b, exchange) => {
                let (x, y) = (self.dir(a)?, self.dir(b)?);
                let flags = if *exchange { libc::RENAME_EXCHANGE } else { 0 };
                fs.rename(&ME, x, &last(a), y, &last(b), flags)
            }
            Op::Chmod(p, mode) => {
                let set = SetAttr { mode: Some(*mode), ..SetAttr::default() };
                fs.setattr(&ME, self.node(p)?, None, &set).map(drop)
            }
            Op::Xattr(p, len) => {
                fs.setxattr(&ME, self.node(p)?, b"user.x", &vec![1; *len], 0, false)
            }
            _ => unreachable!(),
        };
        answer.map_err(|e| e.0)
    }

    fn copy(&self, a: &Path, x: usize, b: &Path, y: usize, len: usize) -> Result<usize, i32> {
        let (from, to) = (self.node(a)?, self.node(b)?);
        let h = Handle(1);
        self.fs
            .copy_file_range(&ME, from, h, x as u64, to, h, y as u64, len as u64)
            .map_err(|e| e.0)
    }

    /// Compares everything below the root with the model.
    fn check(&self, model: &Model) {
        let mut seen = BTreeMap::new();
        self.check_dir(self.root, 0, model, &mut seen);
        assert_eq!(seen.len() + 1, model.things.len());
    }

    fn check_dir(&self, node: Node, id: u64, model: &Model, seen: &mut BTreeMap<u64, u64>) {
        let entries = model.entries(id).unwrap();
        let names: Vec<String> = entries.keys().cloned().collect();
        assert_eq!(names_of(self.fs, node), names);
        let subdirs = entries.values().filter(|id| model.entries(**id).is_some()).count();
        assert_eq!(self.fs.getattr(&ME, node, None).unwrap().0.nlink as usize, 2 + subdirs);
        for (name, id) in entries {
            let node = self.node_in(node, name);
            let attr = self.fs.getattr(&ME, node, None).unwrap().0;
            let thing = &model.things[id];
            assert_eq!(*seen.entry(*id).or_insert(attr.ino), attr.ino);
            assert_eq!(attr.mode & 0o777, thing.mode, "{name}");
            let xattr = self.fs.getxattr(&ME, node, b"user.x").ok();
            assert_eq!(xattr.map(|x| x.len()), thing.xattr.as_ref().map(Vec::len));
            match &thing.body {
                Body::Dir(_) => self.check_dir(node, *id, model, seen),
                Body::Link(target) => {
                    assert_eq!(self.fs.readlink(&ME, node).unwrap(), target.as_bytes());
                }
                Body::File(data) => {
                    assert_eq!(attr.nlink as usize, model.links(*id));
                    let mut got = vec![9; data.len() + 10];
                    let count = self.fs.read(&ME, node, Handle(1), 0, &mut got).unwrap();
                    got.truncate(count);
                    assert!(got == *data, "content of {name}, {} bytes", data.len());
                }
            }
        }
    }

    fn node_in(&self, dir: Node, name: &str) -> Node {
        let entry = self.fs.lookup(&ME, dir, name.as_bytes()).unwrap();
        self.fs.forget(entry.node, 1);
        entry.node
    }

    /// Blocks of all files, each once.
    fn blocks(&self, node: Node, seen: &mut BTreeMap<u64, u64>) {
        for name in names_of(self.fs, node) {
            let child = self.node_in(node, &name);
            let attr = self.fs.getattr(&ME, child, None).unwrap().0;
            seen.insert(attr.ino, attr.blocks / 8);
            if attr.mode & libc::S_IFMT == libc::S_IFDIR {
                self.blocks(child, seen);
            }
        }
    }
}

fn names_of(fs: &Mounted, dir: Node) -> Vec<String> {
    let mut sink = Names::default();
    let mut names = Vec::new();
    let mut offset = 0;
    loop {
        sink.list.clear();
        fs.readdir(&ME, dir, Handle(1), offset, false, &mut sink).unwrap();
        let Some(last) = sink.list.last() else { break };
        offset = last.1;
        names.extend(sink.list.iter().map(|(name, _)| name.clone()));
    }
    names.retain(|name| name != "." && name != "..");
    names.sort();
    names
}

fn pattern(len: usize, value: u8) -> Vec<u8> {
    (0..len).map(|n| value.wrapping_add((n / 1000) as u8)).collect()
}

fn model_apply(model: &mut Model, clock: &mut Clock, op: &Op) -> Answer {
    match op {
        Op::Create(p) => model.make(p, Body::File(vec![]), 0o644, clock),
        Op::Mkdir(p) => model.make(p, Body::Dir(BTreeMap::new()), 0o755, clock),
        Op::Symlink(p, t) => model.make(p, Body::Link(t.clone()), 0o777, clock),
        Op::Write(p, at, len, value) => model.write(p, *at, &pattern(*len, *value), clock),
        Op::Same(p) => {
            let id = model.find(p)?;
            match &model.things[&id].body {
                Body::File(data) if data.is_empty() => Ok(()),
                Body::File(_) => model.write(p, 0, &[], clock),
                Body::Dir(_) => Err(libc::EISDIR),
                Body::Link(_) => Err(libc::EINVAL),
            }
        }
        Op::Truncate(p, size) => model.truncate(p, *size, clock),
        Op::Punch(p, at, len) | Op::Zero(p, at, len) => model.punch(p, *at, *len, clock),
        Op::Unlink(p) => model.unlink(p, clock),
        Op::Rmdir(p) => model.rmdir(p, clock),
        Op::Link(a, b) => model.link(a, b, clock),
        Op::Rename(a, b, exchange) => model.rename(a, b, *exchange, clock),
        Op::Chmod(p, mode) => {
            let id = model.find(p)?;
            model.things.get_mut(&id).unwrap().mode = *mode;
            Ok(())
        }
        Op::Xattr(p, len) => {
            let id = model.find(p)?;
            model.things.get_mut(&id).unwrap().xattr = Some(vec![1; *len]);
            Ok(())
        }
        _ => unreachable!(),
    }
}

impl World {
    fn f(&self) -> &Fixture {
        self.f.as_ref().unwrap()
    }

    fn hand(&self) -> Hand<'_> {
        Hand { fs: &self.f().fs, root: ROOT }
    }

    fn pick(&self, n: usize) -> Option<SnapshotId> {
        let all: Vec<_> = self.moments.keys().copied().collect();
        (!all.is_empty()).then(|| all[n % all.len()])
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Copy(a, x, b, y, len) => self.copy(a, *x, b, *y, *len),
            Op::Snapshot(writable) => {
                self.count += 1;
                let name = format!("s{}", self.count);
                let id = self.f().snapshot(&name, *writable);
                self.moments.insert(id, (name, *writable, self.live.clone()));
            }
            Op::Delete(n) => {
                let Some(id) = self.pick(*n) else { return };
                self.f().fs.leave_snapshot(id);
                self.f().store.delete_snapshots(&[id]).unwrap();
                self.f().fs.snapshots_changed();
                self.moments.remove(&id);
            }
            Op::Restore(n) => {
                let Some(id) = self.pick(*n) else { return };
                self.f().store.restore(self.f().volume, id, None).unwrap();
                self.live = self.moments[&id].2.clone();
            }
            Op::Clone(n) => self.clone_volume(*n),
            Op::WriteSnapshot(n, p, value) => self.write_snapshot(*n, p, *value),
            Op::Sync => self.f().store.sync().unwrap(),
            Op::Background => self.f().store.run_background_until_idle().unwrap(),
            Op::Reopen => self.f = self.f.take().map(Fixture::reopen),
            op => {
                let got = self.hand().apply(op);
                let want = model_apply(&mut self.live, &mut self.clock, op);
                assert_eq!(plain(got), plain(want), "{op:?}");
            }
        }
    }

    fn copy(&mut self, a: &Path, x: usize, b: &Path, y: usize, len: usize) {
        let source = self.live.file(a).map(|(id, data)| (id, data.clone()));
        let target = self.live.file(b).map(|(id, _)| id);
        let (Ok((from, data)), Ok(to)) = (source, target) else { return };
        if from == to || x >= data.len() {
            return;
        }
        let want = len.min(data.len() - x);
        let mut done = 0;
        while done < want {
            let count = self.hand().copy(a, x + done, b, y + done, want - done).unwrap();
            assert!(count > 0 && count <= want - done);
            done += count;
        }
        let World { live, clock, .. } = self;
        live.write(b, y, &data[x..x + want], clock).unwrap();
    }

    fn clone_volume(&mut self, n: usize) {
        let Some(id) = self.pick(n) else { return };
        self.count += 1;
        let new = NewVolume { meta: volume_meta(&format!("c{}", self.count)) };
        let store = self.f().store.clone();
        let volume = store.clone_snapshot(id, new).unwrap().id;
        let fs = Mounted::open(store.clone(), volume).unwrap();
        let mut model = self.moments[&id].2.clone();
        let hand = Hand { fs: &fs, root: ROOT };
        hand.check(&model);
        let op = Op::Create(vec!["z".into()]);
        hand.apply(&op).unwrap();
        model_apply(&mut model, &mut self.clock, &op).unwrap();
        hand.check(&model);
        fs.close().unwrap();
        drop(fs);
        if n.is_multiple_of(2) {
            store.delete_volume(volume, true).unwrap();
        }
    }

    fn write_snapshot(&mut self, n: usize, path: &Path, value: u8) {
        let Some(id) = self.pick(n) else { return };
        let (name, writable, _) = &self.moments[&id];
        if !writable {
            return;
        }
        let root = self.f().moment(name);
        let op = Op::Write(path.clone(), 4000, 6000, value);
        let make = Op::Create(path.clone());
        for op in [make, op] {
            let got = Hand { fs: &self.f().fs, root }.apply(&op);
            let World { moments, clock, .. } = self;
            let want = model_apply(&mut moments.get_mut(&id).unwrap().2, clock, &op);
            assert_eq!(plain(got), plain(want));
        }
        self.f().fs.forget(root, 1);
    }

    fn check(&self) {
        self.hand().check(&self.live);
        for (name, _, model) in self.moments.values() {
            let root = self.f().moment(name);
            Hand { fs: &self.f().fs, root }.check(model);
            self.f().fs.forget(root, 1);
        }
        let mut blocks = BTreeMap::new();
        self.hand().blocks(ROOT, &mut blocks);
        let usage = self.f().fs.usage();
        assert_eq!(usage.inodes as usize, self.live.things.len());
        assert_eq!(usage.blocks, blocks.values().sum::<u64>());
        let fs = &self.f().fs;
        let live = fs.check(false).unwrap();
        assert_eq!(live.problems, []);
        assert_eq!((live.blocks, live.inodes), (usage.blocks, usage.inodes));
        for id in self.moments.keys() {
            assert_eq!(fs.check_snapshot(*id).unwrap().problems, []);
        }
    }

    fn check_diffs(&self) {
        let f = self.f();
        let mut all: Vec<(MomentRef, &Model)> =
            self.moments.iter().map(|(id, m)| (MomentRef::Snapshot(*id), &m.2)).collect();
        all.push((MomentRef::Live(f.volume), &self.live));
        for (a, old) in &all {
            for (b, new) in &all {
                let mut got = diff(&f.store, *a, *b, true).unwrap();
                got.iter_mut().for_each(plain_dir);
                assert_eq!(got, compare(old, new), "{a:?} {b:?}");
                self.check_pages(*a, *b);
            }
        }
    }

    /// A list that is read in parts and pages, by several readers in turn, is the whole list.
    fn check_pages(&self, a: MomentRef, b: MomentRef) {
        let f = self.f();
        let fixed = f.store.fix(a, b).unwrap();
        let changed = Changed::read(&fixed).unwrap();
        let mut want = diff(&f.store, a, b, false).unwrap();
        for (readers, limit) in [(1, 1), (3, 2), (8, 1000)] {
            let mut got = Vec::new();
            for (from, below) in changed.parts(readers) {
                let mut place = Some(DiffPlace { inode: from, skip: 0 });
                while let Some(at) = place {
                    let page = diff_page(&fixed, &changed, at, below, limit).unwrap();
                    assert!(page.entries.len() <= limit);
                    got.extend(page.entries);
                    place = page.next;
                }
            }
            got.sort();
            want.sort();
            assert_eq!(got, want, "{a:?} {b:?} {readers} {limit}");
        }
    }
}

/// Paths are resolved in another order by the reference: which part is missing does not matter.
fn plain(answer: Answer) -> Answer {
    answer.map_err(|code| if code == libc::ENOTDIR { libc::ENOENT } else { code })
}

fn plain_dir(entry: &mut DiffEntry) {
    if entry.object == tintype_fs::Object::Dir {
        entry.size = 0;
    }
}

fn run(ops: &[Op]) {
    let world = World {
        f: Some(Fixture::new()),
        live: Model::new(),
        clock: 0,
        moments: BTreeMap::new(),
        count: 0,
    };
    let mut world = world;
    for (n, op) in ops.iter().enumerate() {
        world.step(op);
        if n % 16 == 15 {
            world.check();
        }
    }
    world.check();
    world.check_diffs();
    world.check();
    let f = world.f.take().unwrap();
    f.fs.close().unwrap();
    drop(f.fs);
    f.store.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_reference(ops in prop::collection::vec(op(), 1..120)) {
        run(&ops);
    }
}

fn cases() -> u32 {
    std::env::var("TINTYPE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40)
}
