//! The thread that walks through directories: it lists, leaves out, compares with the parents, and hands files to the readers.
//!
//! The way down is a list of open directories, not recursion: depth costs memory, not stack. Each is opened from the one above by its
//! name and never through a symlink, so nothing outside of the paths is read when somebody changes them meanwhile.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;
use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::BackupOptions;
use super::assemble::Assembly;
use super::files::FileJob;
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

/// The text that begins the tag of a cache folder. Source: the Cache Directory Tagging specification.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What the walk needs.
pub(super) struct Walker<'b> {
    pub run: &'b Run<'b>,
    pub repo: &'b Repository,
    pub index: &'b Index,
    pub options: &'b BackupOptions,
    pub reader: &'b LocalReader,
    pub jobs: Sender<FileJob>,
    pub scratch: Scratch,
}

/// A directory on the way down.
struct Frame {
    assembly: Arc<Assembly>,
    path: PathBuf,
    known: Known,
    /// The device that it is on.
    device: u64,
    /// git's rules, where they count.
    git: Option<Worktree>,
    left: Left,
}

/// What is still to be looked at in a directory.
enum Left {
    /// Entries of an open directory.
    Entries { dir: Arc<OwnedFd>, names: std::vec::IntoIter<CString> },
    /// Chosen folders and targets only.
    Chosen(std::collections::btree_map::IntoIter<Vec<u8>, Root>),
}

/// The next thing to look at.
enum Next {
    Entry(Arc<OwnedFd>, CString),
    Chosen(Vec<u8>, Root),
    End,
}

impl Walker<'_> {
    /// Walks through everything. Every directory has been told of all its entries when it returns.
    pub(super) fn walk(&mut self, top: Root, parents: Vec<BlobId>) -> Result<()> {
        let known = self.known(&parents);
        let assembly = Assembly::root(parents);
        let mut frames = vec![self.top(top, known, assembly)?];
        while let Some(frame) = frames.last_mut() {
            self.run.progress.check()?;
            let next = frame.left.next();
            let deeper = match next {
                Next::Entry(dir, name) => self.entry(frame, &dir, &name)?,
                Next::Chosen(name, root) => self.chosen(frame, name, root)?,
                Next::End => {
                    let assembly = Arc::clone(&frame.assembly);
                    frames.pop();
                    assembly.arrived(None, self.run, &mut self.scratch)?;
                    continue;
                }
            };
            frames.extend(deeper);
        }
        Ok(())
    }

    fn known(&self, trees: &[BlobId]) -> Known {
        Known::load(self.repo, self.index, trees)
    }

    fn top(&self, top: Root, known: Known, assembly: Arc<Assembly>) -> Result<Frame> {
        let frame = |left, device, path, git| Frame { assembly, path, known, device, git, left };
        if !top.target {
            return Ok(frame(Left::Chosen(top.below.into_iter()), 0, PathBuf::new(), None));
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
        let left = self.list(fd, &top.path).unwrap_or_else(|| Left::Chosen(Default::default()));
        Ok(frame(left, device, top.path, git))
    }

    /// A folder above the targets, or a target.
    fn chosen(&mut self, frame: &Frame, name: Vec<u8>, root: Root) -> Result<Option<Frame>> {
        let (dir, own) = match parent_of(&root.path) {
            Ok(found) => found,
            Err(error) => {
                self.run.progress.failure(&root.path, error);
                return Ok(None);
            }
        };
        let Some(mut node) = self.node(&dir, &own, &root.path) else { return Ok(None) };
        node.name = name;
        if root.target {
            let (around, user) = (root.path.clone(), &self.options.git_user);
            let git = || Worktree::around(&around, user);
            return self.take(frame, &dir, &own, root.path, node, &git);
        }
        let before = frame.known.subtrees(&node.name);
        let known = self.known(&before);
        let device = node.device_id;
        let assembly = Assembly::below(&frame.assembly, node, before);
        let left = Left::Chosen(root.below.into_iter());
        Ok(Some(Frame { assembly, path: root.path, known, device, git: None, left }))
    }

    /// An entry of a directory that is saved whole.
    fn entry(&mut self, frame: &Frame, dir: &Arc<OwnedFd>, name: &CStr) -> Result<Option<Frame>> {
        let path = frame.path.join(os(name.to_bytes()));
        if self.options.excludes.excludes(&self.absolute(&path)) {
            return Ok(None);
        }
        let Some(node) = self.node(dir, name, &path) else { return Ok(None) };
        if self.leave_out(frame, name, &node) {
            return Ok(None);
        }
        let git = || frame.git.as_ref().and_then(|git| git.go_down(name.to_bytes()));
        self.take(frame, dir, name, path, node, &git)
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

    /// Patterns are matched on absolute paths.
    fn absolute(&self, path: &Path) -> PathBuf {
        if path.is_absolute() { path.to_owned() } else { self.options.folder.join(path) }
    }

    fn leave_out(&self, frame: &Frame, name: &CStr, node: &Node) -> bool {
        let is_dir = node.kind == NodeKind::Dir;
        if frame.git.as_ref().is_some_and(|git| git.ignores(name.to_bytes(), is_dir)) {
            return true;
        }
        let too_large = self
            .options
            .larger_than
            .is_some_and(|max| node.kind == NodeKind::File && node.size > max);
        let elsewhere = self.options.one_file_system && !is_dir && node.device_id != frame.device;
        too_large || elsewhere
    }

    /// Reads an entry's metadata; `None` when it cannot be read or is not wanted.
    fn node(&self, dir: &OwnedFd, name: &CStr, path: &Path) -> Option<Node> {
        match self.reader.read(&LocalDir::new(dir.as_fd()), name) {
            Ok(Some(LocalNode { node, warnings })) => {
                warnings.iter().for_each(|warning| self.run.progress.failure(path, warning));
                Some(node)
            }
            Ok(None) => None,
            Err(error) => {
                // What vanished between listing and looking was never there.
                let gone = error.io().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
                if !gone || path.parent().is_none() {
                    self.run.progress.failure(path, error);
                }
                None
            }
        }
    }

    /// Saves an entry, or begins to.
    fn take(
        &mut self,
        frame: &Frame,
        dir: &Arc<OwnedFd>,
        name: &CStr,
        path: PathBuf,
        node: Node,
        git: &dyn Fn() -> Option<Worktree>,
    ) -> Result<Option<Frame>> {
        match node.kind {
            NodeKind::Dir => self.go_down(frame, dir, name, path, node, git),
            NodeKind::File => {
                self.file(frame, dir, name, path, node)?;
                Ok(None)
            }
            _ => {
                self.run.progress.other();
                frame.assembly.push(node);
                Ok(None)
            }
        }
    }

    fn file(
        &self,
        frame: &Frame,
        dir: &Arc<OwnedFd>,
        name: &CStr,
        path: PathBuf,
        mut node: Node,
    ) -> Result<()> {
        if let Some(old) = frame.known.unchanged(&node, self.options.ignore) {
            let content = old.content.clone().unwrap_or_default();
            if content.iter().all(|id| self.run.writer.has(BlobKind::Data, *id)) {
                (node.content, node.size) = (Some(content), old.size);
                self.run.progress.file(Change::Unmodified, node.size);
                frame.assembly.push(node);
                return Ok(());
            }
        }
        frame.assembly.expect_one();
        let known = frame.known.has(&node);
        let (dir, assembly) = (Arc::clone(dir), Arc::clone(&frame.assembly));
        let job = FileJob { dir, name: name.to_owned(), shown: node.name, path, known, assembly };
        // The readers end early only after a failure, which is reported elsewhere.
        self.jobs.send(job).map_err(|_| RepoError::Stopped)
    }

    fn go_down(
        &mut self,
        frame: &Frame,
        dir: &OwnedFd,
        name: &CStr,
        path: PathBuf,
        node: Node,
        git: &dyn Fn() -> Option<Worktree>,
    ) -> Result<Option<Frame>> {
        let fd = match openat(dir, name, dir_flags() | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => fd,
            Err(error) => {
                self.run.progress.failure(&path, error);
                return Ok(None);
            }
        };
        self.run.progress.at(&path);
        if self.is_marked(&fd) {
            return Ok(None);
        }
        let device = rustix::fs::fstat(&fd).map_or(0, |stat| stat.st_dev);
        // The mount point itself is saved, empty.
        let foreign = self.options.one_file_system && frame.device != 0 && device != frame.device;
        let before = frame.known.subtrees(&node.name);
        let known = self.known(&before);
        let git = self.rules(&fd, &path, git);
        let left = if foreign { None } else { self.list(fd, &path) };
        let assembly = Assembly::below(&frame.assembly, node, before);
        let left = left.unwrap_or_else(|| Left::Chosen(Default::default()));
        Ok(Some(Frame { assembly, path, known, device, git, left }))
    }

    /// Does a file in the folder say that it is to be left out?
    fn is_marked(&self, fd: &OwnedFd) -> bool {
        let begins = |name: &Path, header: &[u8]| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let Ok(file) = openat(fd, name, flags, Mode::empty()) else { return false };
            let mut start = vec![0; header.len()];
            let read = if header.is_empty() { Ok(0) } else { rustix::io::read(&file, &mut start) };
            read.is_ok_and(|count| count == header.len() && start == header)
        };
        let present = |marker: &super::Marker| begins(&marker.name, &marker.header);
        self.options.if_present.iter().any(present)
            || self.options.caches && begins(Path::new("CACHEDIR.TAG"), CACHE_TAG)
    }

    /// The names in a directory. What cannot be listed is told and counts as empty.
    fn list(&self, fd: OwnedFd, path: &Path) -> Option<Left> {
        let read = || -> rustix::io::Result<Vec<CString>> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&fd)? {
                let entry = entry?;
                let name = entry.file_name();
                if !matches!(name.to_bytes(), b"." | b"..") {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        };
        match read() {
            Ok(mut names) => {
                // Neighbours by name are mostly neighbours on disk, and entries come in the order of the parent's tree.
                names.sort_unstable();
                Some(Left::Entries { dir: Arc::new(fd), names: names.into_iter() })
            }
            Err(error) => {
                self.run.progress.failure(path, format!("its entries cannot be listed: {error}"));
                None
            }
        }
    }
}

impl Left {
    fn next(&mut self) -> Next {
        match self {
            Self::Entries { dir, names } => {
                names.next().map_or(Next::End, |name| Next::Entry(Arc::clone(dir), name))
            }
            Self::Chosen(below) => {
                below.next().map_or(Next::End, |(name, root)| Next::Chosen(name, root))
            }
        }
    }
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK
}

/// The open folder that a path is in, and its name there.
fn parent_of(path: &Path) -> std::result::Result<(Arc<OwnedFd>, CString), String> {
    use std::os::unix::ffi::OsStrExt;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| "it has no name".to_owned())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, above, flags, Mode::empty()).map_err(|e| e.to_string())?;
    let name = CString::new(name.as_bytes()).map_err(|e| e.to_string())?;
    Ok((Arc::new(dir), name))
}
