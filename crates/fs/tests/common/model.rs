//! The reference: a filesystem as plain maps, cloned at each snapshot, and the comparison of two of them.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use tintype_fs::{Change, DiffEntry, Object};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    File(Vec<u8>),
    Dir(BTreeMap<String, u64>),
    Link(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    pub body: Body,
    pub mode: u32,
    pub mtime: u64,
    pub xattr: Option<Vec<u8>>,
}

/// A tree: things by number; 0 is the root. Things without a name are dropped at once.
#[derive(Clone, Debug)]
pub struct Model {
    pub things: BTreeMap<u64, Thing>,
}

/// Numbers for things and times, never the same twice.
pub type Clock = u64;

pub type Answer = Result<(), i32>;

fn dir() -> Body {
    Body::Dir(BTreeMap::new())
}

impl Model {
    pub fn new() -> Self {
        let root = Thing { body: dir(), mode: 0o755, mtime: 0, xattr: None };
        Self { things: BTreeMap::from([(0, root)]) }
    }

    pub fn entries(&self, id: u64) -> Option<&BTreeMap<String, u64>> {
        match &self.things.get(&id)?.body {
            Body::Dir(entries) => Some(entries),
            _ => None,
        }
    }

    fn entries_mut(&mut self, id: u64) -> &mut BTreeMap<String, u64> {
        match &mut self.things.get_mut(&id).unwrap().body {
            Body::Dir(entries) => entries,
            _ => unreachable!(),
        }
    }

    /// The directory that holds the last part of a path.
    pub fn parent(&self, path: &[String]) -> Result<u64, i32> {
        let mut at = 0;
        for part in &path[..path.len() - 1] {
            let entries = self.entries(at).ok_or(libc::ENOTDIR)?;
            at = *entries.get(part).ok_or(libc::ENOENT)?;
        }
        self.entries(at).ok_or(libc::ENOTDIR)?;
        Ok(at)
    }

    pub fn find(&self, path: &[String]) -> Result<u64, i32> {
        if path.is_empty() {
            return Ok(0);
        }
        let parent = self.parent(path)?;
        self.entries(parent).unwrap().get(path.last().unwrap()).copied().ok_or(libc::ENOENT)
    }

    pub fn links(&self, id: u64) -> usize {
        self.things
            .values()
            .flat_map(|t| match &t.body {
                Body::Dir(e) => e.values().filter(|i| **i == id).count().into(),
                _ => None,
            })
            .sum()
    }

    fn touch(&mut self, id: u64, clock: &mut Clock) {
        *clock += 1;
        self.things.get_mut(&id).unwrap().mtime = *clock;
    }

    pub fn make(&mut self, path: &[String], body: Body, mode: u32, clock: &mut Clock) -> Answer {
        let parent = self.parent(path)?;
        if self.entries(parent).unwrap().contains_key(path.last().unwrap()) {
            return Err(libc::EEXIST);
        }
        *clock += 1;
        let id = *clock;
        self.things.insert(id, Thing { body, mode, mtime: *clock, xattr: None });
        self.entries_mut(parent).insert(path.last().unwrap().clone(), id);
        self.touch(parent, clock);
        Ok(())
    }

    pub fn file(&mut self, path: &[String]) -> Result<(u64, &mut Vec<u8>), i32> {
        let id = self.find(path)?;
        match &mut self.things.get_mut(&id).unwrap().body {
            Body::File(data) => Ok((id, data)),
            Body::Dir(_) => Err(libc::EISDIR),
            Body::Link(_) => Err(libc::EINVAL),
        }
    }

    pub fn write(&mut self, path: &[String], at: usize, data: &[u8], clock: &mut Clock) -> Answer {
        let (id, old) = self.file(path)?;
        if old.len() < at + data.len() {
            old.resize(at + data.len(), 0);
        }
        old[at..at + data.len()].copy_from_slice(data);
        self.touch(id, clock);
        Ok(())
    }

    pub fn truncate(&mut self, path: &[String], size: usize, clock: &mut Clock) -> Answer {
        let (id, data) = self.file(path)?;
        data.resize(size, 0);
        self.touch(id, clock);
        Ok(())
    }

    pub fn punch(&mut self, path: &[String], at: usize, len: usize, clock: &mut Clock) -> Answer {
        let (id, data) = self.file(path)?;
        let end = data.len();
        data[at.min(end)..(at + len).min(end)].fill(0);
        self.touch(id, clock);
        Ok(())
    }

    pub fn unlink(&mut self, path: &[String], clock: &mut Clock) -> Answer {
        let parent = self.parent(path)?;
        let id = self.find(path)?;
        if self.entries(id).is_some() {
            return Err(libc::EISDIR);
        }
        self.take(parent, path.last().unwrap(), clock);
        Ok(())
    }

    fn take(&mut self, parent: u64, name: &str, clock: &mut Clock) {
        let id = self.entries_mut(parent).remove(name).unwrap();
        self.touch(parent, clock);
        if self.links(id) == 0 {
            self.things.remove(&id);
        }
    }

    pub fn rmdir(&mut self, path: &[String], clock: &mut Clock) -> Answer {
        let parent = self.parent(path)?;
        let id = self.find(path)?;
        let entries = self.entries(id).ok_or(libc::ENOTDIR)?;
        if !entries.is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.take(parent, path.last().unwrap(), clock);
        Ok(())
    }

    pub fn link(&mut self, from: &[String], to: &[String], clock: &mut Clock) -> Answer {
        let id = self.find(from)?;
        let parent = self.parent(to)?;
        if self.entries(id).is_some() {
            return Err(libc::EPERM);
        }
        if self.entries(parent).unwrap().contains_key(to.last().unwrap()) {
            return Err(libc::EEXIST);
        }
        self.entries_mut(parent).insert(to.last().unwrap().clone(), id);
        self.touch(parent, clock);
        Ok(())
    }

    fn is_inside(&self, dir: u64, of: u64) -> bool {
        dir == of
            || self.entries(of).is_some_and(|e| e.values().any(|child| self.is_inside(dir, *child)))
    }

    pub fn rename(
        &mut self,
        from: &[String],
        to: &[String],
        exchange: bool,
        clock: &mut Clock,
    ) -> Answer {
        let (a, b) = (self.parent(from)?, self.parent(to)?);
        let id = self.find(from)?;
        let target = self.find(to).ok();
        if exchange && target.is_none() {
            return Err(libc::ENOENT);
        }
        if target == Some(id) {
            return Ok(());
        }
        if self.entries(id).is_some() && self.is_inside(b, id) {
            return Err(libc::EINVAL);
        }
        let (x, y) = (from.last().unwrap().clone(), to.last().unwrap().clone());
        if exchange {
            let other = target.unwrap();
            if self.entries(other).is_some() && self.is_inside(a, other) {
                return Err(libc::EINVAL);
            }
            self.entries_mut(a).insert(x, other);
            self.entries_mut(b).insert(y, id);
        } else {
            if let Some(old) = target {
                match (self.entries(id).is_some(), self.entries(old)) {
                    (true, None) => return Err(libc::ENOTDIR),
                    (false, Some(_)) => return Err(libc::EISDIR),
                    (true, Some(entries)) if !entries.is_empty() => return Err(libc::ENOTEMPTY),
                    _ => {}
                }
                self.take(b, &y, clock);
            }
            self.entries_mut(a).remove(&x);
            self.entries_mut(b).insert(y, id);
        }
        self.touch(a, clock);
        self.touch(b, clock);
        Ok(())
    }

    /// All names: (directory, name) -> (path, thing).
    pub fn names(&self) -> BTreeMap<(u64, String), (String, u64)> {
        let mut all = BTreeMap::new();
        let mut open = vec![(0, String::new())];
        while let Some((dir, base)) = open.pop() {
            for (name, id) in self.entries(dir).unwrap() {
                let path = if base.is_empty() { name.clone() } else { format!("{base}/{name}") };
                all.insert((dir, name.clone()), (path.clone(), *id));
                if self.entries(*id).is_some() {
                    open.push((*id, path));
                }
            }
        }
        all
    }
}

fn object(thing: &Thing) -> (Object, u64) {
    match &thing.body {
        Body::File(data) => (Object::File, data.len() as u64),
        Body::Dir(_) => (Object::Dir, 0),
        Body::Link(target) => (Object::Symlink, target.len() as u64),
    }
}

/// Blocks that differ, as ranges.
fn ranges(old: &[u8], new: &[u8]) -> Vec<(u64, u64)> {
    let mut list: Vec<(u64, u64)> = Vec::new();
    for (n, block) in new.chunks(4096).enumerate() {
        let mut was = vec![0; block.len()];
        let from = (n * 4096).min(old.len());
        let part = &old[from..old.len().min(from + block.len())];
        was[..part.len()].copy_from_slice(part);
        if was != block {
            let (offset, len) = (n as u64 * 4096, block.len() as u64);
            match list.last_mut() {
                Some(last) if last.0 + last.1 == offset => last.1 += len,
                _ => list.push((offset, len)),
            }
        }
    }
    list
}

/// What a full comparison of both trees by directory, name and thing finds.
pub fn compare(a: &Model, b: &Model) -> Vec<DiffEntry> {
    let (old, new) = (a.names(), b.names());
    let mut moves: BTreeMap<u64, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (key, (path, id)) in &old {
        if new.get(key).map(|n| n.1) != Some(*id) {
            moves.entry(*id).or_default().0.push(path.clone());
        }
    }
    for (key, (path, id)) in &new {
        if old.get(key).map(|n| n.1) != Some(*id) {
            moves.entry(*id).or_default().1.push(path.clone());
        }
    }
    let mut found = Vec::new();
    let mut tell =
        |model: &Model, id: u64, path: &str, change, old_path: Option<String>, ranges| {
            let (object, size) = object(&model.things[&id]);
            found.push(DiffEntry {
                path: path.as_bytes().to_vec(),
                change,
                old_path: old_path.map(String::into_bytes),
                object,
                size,
                ranges,
            });
        };
    let mut added = std::collections::BTreeSet::new();
    for (id, (mut lost, mut got)) in moves {
        lost.sort();
        got.sort();
        let pairs = lost.len().min(got.len());
        for (x, y) in lost.iter().zip(&got) {
            tell(b, id, y, Change::Renamed, Some(x.clone()), vec![]);
        }
        for x in &lost[pairs..] {
            tell(a, id, x, Change::Deleted, None, vec![]);
        }
        for y in &got[pairs..] {
            let (object, size) = object(&b.things[&id]);
            let whole = object == Object::File && size > 0;
            tell(b, id, y, Change::Added, None, if whole { vec![(0, size)] } else { vec![] });
            added.insert(y.clone());
        }
    }
    let root = ((u64::MAX, String::new()), (String::new(), 0));
    for (_, (path, id)) in new.iter().chain([(&root.0, &root.1)]) {
        let (Some(x), Some(y)) = (a.things.get(id), b.things.get(id)) else { continue };
        if added.contains(path) {
            continue;
        }
        if let (Body::File(p), Body::File(q)) = (&x.body, &y.body)
            && p != q
        {
            tell(b, *id, path, Change::Modified, None, ranges(p, q));
        } else if (x.mode, x.mtime, &x.xattr) != (y.mode, y.mtime, &y.xattr) {
            tell(b, *id, path, Change::Attributes, None, vec![]);
        }
    }
    found.sort();
    found
}
