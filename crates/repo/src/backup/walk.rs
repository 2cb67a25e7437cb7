//! The threads that walk through directories: they list, leave out, compare with the parents, and hand files to the readers.
//!
//! The way down is a common stack of directories still to be opened, not recursion: depth costs memory, not stack. Each is opened from the one
//! above by its name and never through a symlink, so nothing outside of the paths is read when somebody changes them meanwhile. The newest
//! is taken first, so that few of those above are open at a time.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::BackupOptions;
use super::assemble::Assembly;
use super::files::FileJob;
use super::folder::{dir_flags, is_marked, names, parent_of};
use super::parent::Known;
use super::roots::{Root, os};
use super::state::{Change, Run};
use super::worktree::Worktree;
use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::local::{LocalDir, LocalNode, LocalReader};
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::tree::{Node, NodeKind};
use crate::writer::Scratch;

/// What the walk needs.
pub(super) struct Walk<'b> {
    run: &'b Run<'b>,
    repo: &'b Repository,
    index: &'b Index,
    options: &'b BackupOptions,
    reader: &'b LocalReader,
    todo: Mutex<Todo>,
    more: Condvar,
}

/// Directories still to be looked at, and how many threads are at one.
#[derive(Default)]
struct Todo {
    frames: Vec<Frame>,
    busy: usize,
    over: bool,
}

/// A directory on the way down.
struct Frame {
    assembly: Arc<Assembly>,
    path: PathBuf,
    /// Its trees in the parents.
    before: Vec<BlobId>,
    /// The device that it is on; when it is not open yet, of the one above.
    device: u64,
    /// git's rules, where they count; when it is not open yet, those from above.
    git: Option<Worktree>,
    left: Left,
}

/// What is to be looked at in a directory.
#[derive(Debug)]
enum Left {
    /// All of it; it is to be opened by its name.
    Closed { above: Arc<OwnedFd>, name: CString },
    /// Entries of an open directory.
    Entries { dir: Arc<OwnedFd>, names: Vec<CString> },
    /// Chosen folders and targets only.
    Chosen(BTreeMap<Vec<u8>, Root>),
}

/// A walker's time with one directory. However it ends, the others hear of it.
struct Turn<'w, 'b> {
    walk: &'w Walk<'b>,
    /// What is below it, in its order; `None`: the walk has failed.
    below: Option<Vec<Frame>>,
}

impl Drop for Turn<'_, '_> {
    fn drop(&mut self) {
        let mut todo = self.walk.todo.lock();
        todo.busy -= 1;
        todo.over |= self.below.is_none();
        todo.frames.extend(self.below.take().unwrap_or_default().into_iter().rev());
        self.walk.more.notify_all();
    }
}

impl Default for Left {
    fn default() -> Self {
        Self::Chosen(BTreeMap::new())
    }
}

/// What a walking thread has of its own.
pub(super) struct Walker<'w, 'b> {
    walk: &'w Walk<'b>,
    jobs: Sender<FileJob>,
    scratch: Scratch,
}

impl<'b> Walk<'b> {
    pub(super) fn new(
        run: &'b Run<'b>,
        repo: &'b Repository,
        index: &'b Index,
        options: &'b BackupOptions,
        reader: &'b LocalReader,
    ) -> Self {
        let (todo, more) = (Mutex::default(), Condvar::new());
        Self { run, repo, index, options, reader, todo, more }
    }

    /// Puts the root where walkers find it.
    pub(super) fn begin(&self, top: Root, parents: Vec<BlobId>) -> Result<()> {
        let frame = self.top(top, parents)?;
        self.todo.lock().frames.push(frame);
        Ok(())
    }

    /// The next directory; waits while others may still find some.
    fn take(&self) -> Option<Frame> {
        let mut todo = self.todo.lock();
        loop {
            if todo.over {
                return None;
            }
            if let Some(next) = todo.frames.pop() {
                todo.busy += 1;
                return Some(next);
            }
            if todo.busy == 0 {
                return None;
            }
            self.more.wait(&mut todo);
        }
    }

    fn top(&self, top: Root, before: Vec<BlobId>) -> Result<Frame> {
        let assembly = Assembly::root(before.clone());
        let frame = |left, device, path, git| Frame { assembly, path, before, device, git, left };
        if !top.target {
            return Ok(frame(Left::Chosen(top.below), 0, PathBuf::new(), None));
        }
        let failed = |source: rustix::io::Errno| RepoError::Local {
            doing: "read",
            path: top.path.display().to_string(),
            source: source.into(),
        };
        let fd = openat(CWD, &top.path, dir_flags(), Mode::empty()).map_err(failed)?;
        let device = rustix::fs::fstat(&fd).map_err(failed)?.st_dev;
        let user = &self.options.git_user;
        let git = self.rules(&fd, &top.path, || Worktree::around(&top.path, user));
        let left = self.list(fd, &top.path);
        Ok(frame(left, device, top.path, git))
    }

    /// The rules of git that count in an open folder; `around` says which do because of what is above it.
    fn rules(
        &self,
        fd: &OwnedFd,
        path: &Path,
        around: impl FnOnce() -> Option<Worktree>,
    ) -> Option<Worktree> {
        let user = &self.options.git_user;
        self.options.gitignore.then(|| Worktree::enter(around(), fd.as_fd(), path, user)).flatten()
    }

    /// What is in an open directory. What cannot be listed is told and counts as empty.
    fn list(&self, fd: OwnedFd, path: &Path) -> Left {
        match names(&fd) {
            Ok(names) => Left::Entries { dir: Arc::new(fd), names },
            Err(error) => {
                let detail = format!("its entries cannot be listed: {error}");
                self.run.progress.failure(path, detail);
                Left::default()
            }
        }
    }
}

impl<'w, 'b> Walker<'w, 'b> {
    pub(super) fn new(walk: &'w Walk<'b>, jobs: Sender<FileJob>) -> Self {
        Self { walk, jobs, scratch: Scratch::default() }
    }

    /// Walks until there is nothing left. Every directory has been told of all its entries when all walkers have returned.
    pub(super) fn walk(mut self) -> Result<()> {
        while let Some(frame) = self.walk.take() {
            let mut turn = Turn { walk: self.walk, below: None };
            turn.below = Some(self.directory(frame)?);
        }
        Ok(())
    }

    /// Saves a directory; gives those in it, still closed.
    fn directory(&mut self, frame: Frame) -> Result<Vec<Frame>> {
        self.walk.run.progress.check()?;
        let assembly = Arc::clone(&frame.assembly);
        let below = match self.open(frame) {
            Some(open) => self.entries(open)?,
            None => vec![],
        };
        assembly.arrived(None, self.walk.run, &mut self.scratch)?;
        Ok(below)
    }

    fn entries(&mut self, mut frame: Frame) -> Result<Vec<Frame>> {
        let known = Known::load(self.walk.repo, self.walk.index, &frame.before);
        let mut below = Vec::new();
        match std::mem::take(&mut frame.left) {
            Left::Closed { .. } => {}
            Left::Entries { dir, names } => {
                let local = LocalDir::new(dir.as_fd());
                for name in names {
                    self.walk.run.progress.check()?;
                    below.extend(self.entry(&frame, &known, &dir, &local, name)?);
                }
            }
            Left::Chosen(roots) => {
                for (name, root) in roots {
                    below.extend(self.chosen(&frame, &known, name, root)?);
                }
            }
        }
        Ok(below)
    }

    /// Opens a directory that is still closed; `None` when that is not possible, which is told, or not wanted.
    fn open(&self, mut frame: Frame) -> Option<Frame> {
        let Left::Closed { above, name } = &frame.left else { return Some(frame) };
        let walk = self.walk;
        let fd = match openat(above, name, dir_flags() | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => fd,
            Err(error) => {
                walk.run.progress.failure(&frame.path, error);
                frame.assembly.give_up();
                return None;
            }
        };
        walk.run.progress.at(&frame.path);
        if is_marked(walk.options, &fd) {
            frame.assembly.give_up();
            return None;
        }
        let device = rustix::fs::fstat(&fd).map_or(0, |stat| stat.st_dev);
        // The mount point itself is saved, empty.
        let foreign = walk.options.one_file_system && frame.device != 0 && device != frame.device;
        frame.git = walk.rules(&fd, &frame.path, || frame.git.take());
        frame.device = device;
        frame.left = if foreign { Left::default() } else { walk.list(fd, &frame.path) };
        Some(frame)
    }

    /// A folder above the targets, or a target.
    fn chosen(
        &self,
        frame: &Frame,
        known: &Known,
        name: Vec<u8>,
        root: Root,
    ) -> Result<Option<Frame>> {
        let (dir, own) = match parent_of(&root.path) {
            Ok(found) => found,
            Err(error) => {
                self.walk.run.progress.failure(&root.path, error);
                return Ok(None);
            }
        };
        let node = self.node(&LocalDir::new(dir.as_fd()), &own, &root.path, true);
        let Some(mut node) = node else { return Ok(None) };
        node.name = name;
        if root.target {
            let git = || Worktree::around(&root.path, &self.walk.options.git_user);
            return self.take(frame, known, &dir, own, root.path.clone(), node, &git);
        }
        let before = known.subtrees(&node.name);
        let device = node.device_id;
        let assembly = Assembly::below(&frame.assembly, node, before.clone());
        let left = Left::Chosen(root.below);
        Ok(Some(Frame { assembly, path: root.path, before, device, git: None, left }))
    }

    /// An entry of a directory that is saved whole.
    fn entry(
        &self,
        frame: &Frame,
        known: &Known,
        dir: &Arc<OwnedFd>,
        local: &LocalDir<'_>,
        name: CString,
    ) -> Result<Option<Frame>> {
        let path = frame.path.join(os(name.to_bytes()));
        if self.walk.options.excludes.excludes(&self.absolute(&path)) {
            return Ok(None);
        }
        let Some(node) = self.node(local, &name, &path, false) else { return Ok(None) };
        if self.leave_out(frame, &name, &node) {
            return Ok(None);
        }
        let inside = node.name.clone();
        let git = || frame.git.as_ref().and_then(|git| git.go_down(&inside));
        self.take(frame, known, dir, name, path, node, &git)
    }

    /// Patterns are matched on absolute paths.
    fn absolute(&self, path: &Path) -> PathBuf {
        if path.is_absolute() { path.to_owned() } else { self.walk.options.folder.join(path) }
    }

    fn leave_out(&self, frame: &Frame, name: &CStr, node: &Node) -> bool {
        let is_dir = node.kind == NodeKind::Dir;
        if frame.git.as_ref().is_some_and(|git| git.ignores(name.to_bytes(), is_dir)) {
            return true;
        }
        let too_large = self
            .walk
            .options
            .larger_than
            .is_some_and(|max| node.kind == NodeKind::File && node.size > max);
        let elsewhere =
            self.walk.options.one_file_system && !is_dir && node.device_id != frame.device;
        too_large || elsewhere
    }

    /// Reads an entry's metadata; `None` when it cannot be read or is not wanted. What was `named` by the caller has to be there.
    fn node(&self, dir: &LocalDir<'_>, name: &CStr, path: &Path, named: bool) -> Option<Node> {
        match self.walk.reader.read(dir, name) {
            Ok(Some(LocalNode { node, warnings })) => {
                warnings.iter().for_each(|warning| self.walk.run.progress.failure(path, warning));
                Some(node)
            }
            Ok(None) => None,
            Err(error) => {
                // What vanished between listing and looking was never there.
                let gone = error.io().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
                if !gone || named {
                    self.walk.run.progress.failure(path, error);
                }
                None
            }
        }
    }

    /// Saves an entry, or begins to.
    #[allow(clippy::too_many_arguments)]
    fn take(
        &self,
        frame: &Frame,
        known: &Known,
        dir: &Arc<OwnedFd>,
        name: CString,
        path: PathBuf,
        node: Node,
        git: &dyn Fn() -> Option<Worktree>,
    ) -> Result<Option<Frame>> {
        match node.kind {
            NodeKind::Dir => {
                let before = known.subtrees(&node.name);
                let git = if self.walk.options.gitignore { git() } else { None };
                let assembly = Assembly::below(&frame.assembly, node, before.clone());
                let left = Left::Closed { above: Arc::clone(dir), name };
                Ok(Some(Frame { assembly, path, before, device: frame.device, git, left }))
            }
            NodeKind::File => {
                self.file(frame, known, dir, name, path, node)?;
                Ok(None)
            }
            _ => {
                self.walk.run.progress.other();
                frame.assembly.push(node);
                Ok(None)
            }
        }
    }

    fn file(
        &self,
        frame: &Frame,
        known: &Known,
        dir: &Arc<OwnedFd>,
        name: CString,
        path: PathBuf,
        mut node: Node,
    ) -> Result<()> {
        let run = self.walk.run;
        if let Some(old) = known.unchanged(&node, self.walk.options.ignore) {
            let content = old.content.clone().unwrap_or_default();
            if content.iter().all(|id| run.writer.has(BlobKind::Data, *id)) {
                (node.content, node.size) = (Some(content), old.size);
                run.progress.file(Change::Unmodified, node.size);
                frame.assembly.push(node);
                return Ok(());
            }
        }
        frame.assembly.expect_one();
        let known = known.has(&node);
        let (dir, assembly) = (Arc::clone(dir), Arc::clone(&frame.assembly));
        let job = FileJob { dir, name, shown: node.name, path, known, assembly };
        // The readers end early only after a failure, which is reported elsewhere.
        self.jobs.send(job).map_err(|_| RepoError::Stopped)
    }
}
