//! The walk through trees: it makes directories and everything that is no file, and collects files into batches.
//!
//! Trees wait in a list and are read one after another, node by node; depth costs memory, not stack. Names are checked before they are used, and each
//! name counts once in a directory, whatever the tree says.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32};

use parking_lot::Mutex;
use rustix::fs::{Dir, Stat, readlinkat};

use super::dirs::{DirId, Dirs};
use super::existing::{self, Verdict, give_way, look, may_replace};
use super::fetch::restore_batch;
use super::file::Slot;
use super::links::{Inode, Links};
use super::plan::{Batch, File, How, place};
use super::remove::remove;
use super::state::{Run, count};
use crate::error::Result;
use crate::id::BlobId;
use crate::local::{EntryName, LocalError, Step, create_special, create_symlink};
use crate::pack::BlobKind;
use crate::tree::{Node, NodeKind, TreeDecoder};

/// A directory whose tree is still to be read.
struct Pending {
    dir: DirId,
    tree: BlobId,
    /// All in it is wanted.
    whole: bool,
}

/// The walking thread.
pub(super) struct Walker<'w, 'r> {
    run: &'w Run<'r>,
    dirs: Dirs,
    pending: Vec<Pending>,
    batch: Batch,
    links: Links,
}

/// Names of a tree, to know those that come twice and those that it does not have.
struct Names<'t> {
    tree: &'t [u8],
    /// All of them, where that is needed.
    all: Option<HashSet<Vec<u8>>>,
    last: Option<Vec<u8>>,
    seen: usize,
}

impl Names<'_> {
    /// Is the name new?
    fn add(&mut self, name: &[u8]) -> bool {
        // Trees are sorted, so that a comparison with the last name is enough, until one is found that is not.
        if self.all.is_none() && self.last.as_deref().is_some_and(|last| last >= name) {
            let before = TreeDecoder::tolerant(self.tree).take(self.seen);
            self.all = Some(before.flatten().map(|node| node.name).collect());
        }
        self.seen += 1;
        match &mut self.all {
            Some(all) => all.insert(name.to_vec()),
            None => {
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(name);
                true
            }
        }
    }
}

impl<'w, 'r> Walker<'w, 'r> {
    pub fn new(run: &'w Run<'r>, dirs: Dirs) -> Self {
        let (pending, batch, links) = (Vec::new(), Batch::default(), Links::default());
        Self { run, dirs, pending, batch, links }
    }

    /// The target gets the entries of this tree.
    pub fn begin(&mut self, tree: BlobId) {
        let whole = self.run.options.include.is_empty();
        self.pending.push(Pending { dir: 0, tree, whole });
    }

    /// The target gets this entry.
    pub fn begin_entry(&mut self, node: Node) -> Result<()> {
        let name = EntryName::new(&node.name);
        match name {
            Ok(name) => self.entry(0, node, name).map(drop),
            Err(error) => {
                self.run.failure(self.dirs.path(0), error);
                Ok(())
            }
        }
    }

    /// Reads all trees.
    pub fn walk(&mut self) -> Result<()> {
        while let Some(next) = self.pending.pop() {
            self.run.check()?;
            self.tree(&next)?;
        }
        self.flush()
    }

    /// What is left to do: hard links and the metadata of directories.
    pub fn finish(self) -> Result<(Dirs, Links)> {
        Ok((self.dirs, self.links))
    }

    /// Restores the files that were collected.
    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        restore_batch(self.run, &self.dirs, batch)
    }

    fn tree(&mut self, at: &Pending) -> Result<()> {
        let path = self.dirs.path(at.dir);
        if at.whole && !self.ensure(at.dir) {
            return Ok(());
        }
        let bytes = match self.run.repo.blob(self.run.index, BlobKind::Tree, at.tree) {
            Ok(bytes) => bytes,
            Err(error) if at.dir == 0 => return Err(error),
            Err(error) => {
                self.run.damaged_dir(&path, error);
                return Ok(());
            }
        };
        let all = self.run.options.delete.then(HashSet::new);
        let mut names = Names { tree: &bytes, all, last: None, seen: 0 };
        let (waiting, mut intact) = (self.pending.len(), true);
        for node in TreeDecoder::tolerant(&bytes) {
            match node {
                Ok(node) => self.named(at, &path, node, &mut names)?,
                Err(error) => {
                    self.run.damaged_dir(&path, format!("tree {}: {error}", at.tree));
                    intact = false;
                }
            }
        }
        // The list is taken from its end, and neighbours in the tree are neighbours in packs.
        self.pending.get_mut(waiting..).unwrap_or_default().reverse();
        if let Some(all) = names.all.filter(|_| intact && self.run.options.delete) {
            self.delete_others(at, &path, &all);
        }
        Ok(())
    }

    /// Looks at the name and the patterns.
    fn named(&mut self, at: &Pending, path: &Path, node: Node, names: &mut Names) -> Result<()> {
        let new = names.add(&node.name);
        let name = match EntryName::new(&node.name) {
            Ok(name) if new => name,
            Ok(_) => {
                let detail = "the tree has this name more than once: only the first is restored";
                self.run.refused(self.dirs.path_of(at.dir, &node.name), detail);
                return Ok(());
            }
            Err(error) => {
                self.run.refused(path.to_owned(), format!("an entry of the tree: {error}"));
                return Ok(());
            }
        };
        let Some(wanted) = self.wanted(at.whole, path, &name) else { return Ok(()) };
        match node.kind {
            NodeKind::Dir => {
                self.directory(at.dir, node, name, wanted);
                Ok(())
            }
            _ if wanted => self.entry(at.dir, node, name),
            _ => Ok(()),
        }
    }

    /// `None`: left out; otherwise whether it is chosen, or only something in it might be.
    fn wanted(&self, whole: bool, dir: &Path, name: &EntryName) -> Option<bool> {
        let options = self.run.options;
        if options.exclude.is_empty() && (whole || options.include.is_empty()) {
            return Some(true);
        }
        let path = Path::new("/").join(dir).join(os(name.as_bytes()));
        // `Excludes` tells what fits its patterns, whatever that is for.
        let excluded = options.exclude.excludes(&path);
        (!excluded).then(|| whole || options.include.excludes(&path))
    }

    fn directory(&mut self, parent: DirId, mut node: Node, name: EntryName, whole: bool) {
        let subtree = node.subtree.take();
        let dir = self.dirs.add(parent, name, Box::new(node));
        match subtree {
            Some(tree) => self.pending.push(Pending { dir, tree, whole }),
            None => {
                self.ensure(dir);
                self.run.damaged_dir(&self.dirs.path(dir), "the snapshot names no tree for it");
            }
        }
    }

    /// Makes a directory and those above it. False when that is not possible or not wanted, which was told.
    fn ensure(&mut self, dir: DirId) -> bool {
        while let Some(next) = self.dirs.next_to_make(dir) {
            let run = self.run;
            let made = self.dirs.make(next, |above, name, node| {
                let there = look(above, name)?;
                if there.is_some_and(|stat| !may_replace(run.options, node, &stat)) {
                    count(&run.counts.kept);
                    return Ok(false);
                }
                give_way(run.options, above, name).map(|()| true)
            });
            match made {
                Ok(true) => count(&run.counts.dirs),
                Ok(false) => {}
                Err(error) => run.failure(self.dirs.path(next), error),
            }
        }
        self.dirs.is_made(dir)
    }

    /// Anything but a directory.
    fn entry(&mut self, dir: DirId, node: Node, name: EntryName) -> Result<()> {
        if !self.ensure(dir) {
            return Ok(());
        }
        let inode = Inode::of(&node);
        if let Some(inode) = inode.filter(|inode| self.links.knows(inode)) {
            self.links.further(&inode, dir, Box::new(node));
            return Ok(());
        }
        let place = name.clone();
        let path_name = node.name.clone();
        let taken = match node.kind {
            NodeKind::File => self.file(dir, node, &name),
            _ => self.other(dir, &node, &name),
        };
        match (taken, inode) {
            (Ok(true), Some(inode)) => self.links.first(inode, dir, place),
            (Ok(true), None) => {}
            (Ok(false), _) => count(&self.run.counts.kept),
            (Err(error), _) => self.run.failure(self.dirs.path_of(dir, &path_name), error),
        }
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    /// What stands at the name, where something may stand.
    fn there(&self, dir: DirId, name: &EntryName) -> Result<Option<Stat>, LocalError> {
        if !self.dirs.existed(dir) {
            return Ok(None);
        }
        look(self.dirs.handle(dir)?.as_fd(), name)
    }

    /// Puts a file into the batch. False: what is there stays.
    fn file(&mut self, dir: DirId, node: Node, name: &EntryName) -> Result<bool, LocalError> {
        let there = self.there(dir, name)?;
        let options = self.run.options;
        let verdict = there.map(|stat| existing::judge_file(options, &node, &stat));
        let how = match verdict {
            Some(Verdict::Keep) => return Ok(false),
            Some(Verdict::Replace) => {
                give_way(options, self.dirs.handle(dir)?.as_fd(), name)?;
                How::New
            }
            Some(Verdict::Compare(how) | Verdict::Rewrite(how) | Verdict::Trust(how)) => how,
            None => How::New,
        };
        self.plan(dir, node, how, verdict);
        Ok(true)
    }

    fn plan(&mut self, dir: DirId, node: Node, how: How, verdict: Option<Verdict>) {
        let mut node = Box::new(node);
        let content = node.content.take();
        if content.is_none() {
            let path = self.dirs.path_of(dir, &node.name);
            self.run.refused(path, "the snapshot names no content for it: an empty file is made");
        }
        let content = content.unwrap_or_default();
        let compare = matches!(verdict, Some(Verdict::Compare(_)));
        let trust = matches!(verdict, Some(Verdict::Trust(_)));
        let file = File {
            dir,
            how,
            size: 0,
            left: AtomicU32::new(0),
            resize: AtomicBool::new(how != How::New),
            slot: Mutex::new(Slot::default()),
            node,
        };
        let size = file.node.size;
        let number = self.batch.add(file, content.len());
        let mut missing = Vec::new();
        let true_size =
            place(self.run.index, &content, size, |_, placed| match (placed.found, placed.at) {
                _ if compare || trust => {}
                (Some(found), Some(at)) => self.batch.want(&found, number, at),
                _ => missing.push(placed),
            });
        if trust {
            self.run.progress.reuse(true_size);
        }
        if compare {
            self.batch.compare(number, content.len());
        }
        self.run.progress.planned(true_size);
        if let Some(file) = self.batch.files.get_mut(number as usize) {
            file.size = true_size;
            // Comparing needs the list once more.
            file.node.content = compare.then_some(content);
            for placed in &missing {
                existing::missing(self.run, &self.dirs, file, placed);
            }
        }
    }

    /// Makes a symlink, device, pipe or socket. False: what is there stays.
    fn other(&self, dir: DirId, node: &Node, name: &EntryName) -> Result<bool, LocalError> {
        let there = self.there(dir, name)?;
        if there.is_some_and(|stat| !may_replace(self.run.options, node, &stat)) {
            return Ok(false);
        }
        if !self.run.options.dry_run {
            let handle = self.dirs.handle(dir)?;
            let same = there.is_some_and(|stat| is_same(handle.as_fd(), name, node, &stat));
            if !same {
                if there.is_some() {
                    give_way(self.run.options, handle.as_fd(), name)?;
                }
                match node.kind {
                    NodeKind::Symlink => create_symlink(handle.as_fd(), name, &node.linktarget)?,
                    _ => create_special(handle.as_fd(), name, node)?,
                }
            }
            let applied = self.run.writer.apply(handle.as_fd(), name, node);
            self.run.applied(applied, || self.dirs.path_of(dir, &node.name));
        }
        count(&self.run.counts.others);
        Ok(true)
    }

    /// Removes what the tree does not have from a directory that was there.
    fn delete_others(&self, at: &Pending, path: &Path, names: &HashSet<Vec<u8>>) {
        if !self.dirs.existed(at.dir) {
            return;
        }
        let all = self.dirs.handle(at.dir).and_then(|dir| {
            let list = list(dir.as_fd());
            list.map_err(|errno| LocalError::system(Step::Open, b".", errno)).map(|all| (dir, all))
        });
        let (dir, all) = match all {
            Ok(all) => all,
            Err(error) => return self.run.failure(path.to_owned(), error),
        };
        for name in all.iter().filter(|name| !names.contains(name.as_bytes())) {
            if self.wanted(at.whole, path, name) != Some(true) {
                continue;
            }
            let dry = self.run.options.dry_run;
            let removed = if dry { Ok(()) } else { remove(dir.as_fd(), name.as_c_str(), true) };
            match removed {
                Ok(()) => count(&self.run.counts.deleted),
                Err(errno) => {
                    let error = LocalError::system(Step::Remove, name.as_bytes(), errno);
                    self.run.failure(self.dirs.path_of(at.dir, name.as_bytes()), error);
                }
            }
        }
    }
}

/// The entries of a directory.
fn list(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<EntryName>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        // `.` and `..` are no names of entries.
        names.extend(EntryName::new(entry?.file_name().to_bytes()).ok());
    }
    Ok(names)
}

/// Is just this entry there, alone under its name?
fn is_same(dir: BorrowedFd<'_>, name: &EntryName, node: &Node, stat: &Stat) -> bool {
    if NodeKind::from_st_mode(stat.st_mode) != node.kind || stat.st_nlink > 1 {
        return false;
    }
    let target = |name: &CStr| readlinkat(dir, name, Vec::new());
    match node.kind {
        NodeKind::Symlink => {
            target(name.as_c_str()).is_ok_and(|target| target.as_bytes() == node.linktarget)
        }
        NodeKind::Device | NodeKind::CharDevice => stat.st_rdev == node.device,
        _ => true,
    }
}

fn os(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}
