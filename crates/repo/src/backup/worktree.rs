//! Which files of git's rules count in a folder: those of its working tree, from the top down to the folder itself.
//!
//! A working tree begins where a `.git` is, and ends where another one begins. Of two rules that fit, the one of the deeper folder counts; less
//! count `info/exclude` of the repository and, least, the file of the user (`gitconfig`). What git tracks (`tracked`) is never left out; for its
//! sake a folder that is left out is entered. Nor is `.git` itself and all in it, whatever the rules say: it is the history.
//! Reads rules only through the open folder and never through a symlink, as git does; above the backup's paths by their names.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};

use super::gitconfig::GitUser;
use super::gitignore::Rules;
use super::tracked::Tracked;

const GIT: &[u8] = b".git";
/// A file of rules that is longer is not one, in bytes.
const RULES_BYTES_MAX: u64 = 16 << 20;
/// As much of git's index is read, in bytes; a longer one is not understood.
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// A folder in a working tree.
#[derive(Clone, Debug)]
pub(super) struct Worktree {
    /// From the top of the working tree, with a slash at the end; empty for the top.
    path: Vec<u8>,
    levels: Option<Arc<Level>>,
    tracked: Arc<Tracked>,
    /// It is in a folder that is left out: only what is tracked counts.
    left_out: bool,
}

/// The rules of one folder, and those above.
#[derive(Debug)]
struct Level {
    above: Option<Arc<Level>>,
    /// Length of the folder's path from the top of the working tree.
    base: usize,
    rules: Rules,
}

impl Worktree {
    /// The working tree around a folder that is about to be entered by its name; none outside of any. Only what lies above it counts yet.
    pub(super) fn around(path: &Path, user: &GitUser) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let top = path.ancestors().skip(1).find(|above| above.join(".git").exists())?;
        let inside = path.strip_prefix(top).ok()?;
        let parts: Vec<_> = inside.components().collect();
        if parts.iter().any(|part| part.as_os_str().as_bytes() == GIT) {
            return None;
        }
        let (mut at, mut here) = (Self::top(top, user), top.to_owned());
        at.read(&here);
        for part in parts.split_last()?.1 {
            here.push(part);
            at = at.below(part.as_os_str().as_bytes(), false);
            at.read(&here);
        }
        Some(at.below(path.file_name()?.as_bytes(), false))
    }

    /// The folder as the walk enters it: `at` is what its parent has, `None` outside of working trees.
    pub(super) fn enter(
        at: Option<Self>,
        fd: BorrowedFd<'_>,
        path: &Path,
        user: &GitUser,
    ) -> Option<Self> {
        let is_top = statat(fd, ".git", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let mut own = if is_top { Self::top(path, user) } else { at? };
        own.push(read_in(fd, Path::new(".gitignore")));
        Some(own)
    }

    /// What the entry `name` of this folder has when it is entered; nothing for `.git`.
    pub(super) fn go_down(&self, name: &[u8]) -> Option<Self> {
        (name != GIT).then(|| self.below(name, self.left_out || self.refuses(name, true)))
    }

    /// Is an entry of this folder left out?
    pub(super) fn ignores(&self, name: &[u8], is_dir: bool) -> bool {
        if name == GIT || !(self.left_out || self.refuses(name, is_dir)) {
            return false;
        }
        let path = [self.path.as_slice(), name].concat();
        !self.tracked.has(&path, is_dir)
    }

    /// Do the rules leave an entry out?
    fn refuses(&self, name: &[u8], is_dir: bool) -> bool {
        let path = [self.path.as_slice(), name].concat();
        let mut level = self.levels.as_deref();
        while let Some(at) = level {
            let below = path.get(at.base..).unwrap_or_default();
            if let Some(verdict) = at.rules.verdict(below, is_dir) {
                return verdict;
            }
            level = at.above.as_deref();
        }
        false
    }

    /// The top of a working tree, with the rules of its user and its repository.
    fn top(path: &Path, user: &GitUser) -> Self {
        let folders = Folders::of(path).unwrap_or_default();
        let index = read_up_to(CWD, &folders.own.join("index"), INDEX_BYTES_MAX);
        let tracked = Arc::new(Tracked::parse(index.as_deref()));
        let mut top = Self { path: vec![], levels: None, tracked, left_out: false };
        let users = user.excludes_file(&folders.common.join("config"), path);
        top.push(users.and_then(|file| fs::read(file).ok()));
        top.push(read_in(CWD, &folders.common.join("info/exclude")));
        top
    }

    fn below(&self, name: &[u8], left_out: bool) -> Self {
        let path = [self.path.as_slice(), name, b"/"].concat();
        Self { path, levels: self.levels.clone(), tracked: Arc::clone(&self.tracked), left_out }
    }

    fn read(&mut self, path: &Path) {
        self.push(read_in(CWD, &path.join(".gitignore")));
    }

    fn push(&mut self, text: Option<Vec<u8>>) {
        let rules = text.map(|text| Rules::parse(&text)).filter(|rules| !rules.is_empty());
        if let Some(rules) = rules {
            let (above, base) = (self.levels.take(), self.path.len());
            self.levels = Some(Arc::new(Level { above, base, rules }));
        }
    }
}

/// A file of rules, if there is one.
fn read_in(dir: BorrowedFd<'_>, name: &Path) -> Option<Vec<u8>> {
    read_up_to(dir, name, RULES_BYTES_MAX)
}

fn read_up_to(dir: BorrowedFd<'_>, name: &Path, most: u64) -> Option<Vec<u8>> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(dir, name, flags, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    fs::File::from(file).take(most).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Where a working tree's repository keeps its files.
#[derive(Default)]
struct Folders {
    /// What the working tree has alone: the index.
    own: PathBuf,
    /// What all working trees of the repository share.
    common: PathBuf,
}

impl Folders {
    /// Of the working tree at `path`, whose `.git` may be a file that says where the repository is.
    fn of(path: &Path) -> Option<Self> {
        let git = path.join(".git");
        if fs::metadata(&git).ok()?.is_dir() {
            return Some(Self { own: git.clone(), common: git });
        }
        let text = read_in(CWD, &git)?;
        let own = path.join(named_in(text.strip_prefix(b"gitdir:")?));
        // A second working tree has a folder of its own and the repository's beside it.
        let common = match read_in(CWD, &own.join("commondir")) {
            Some(common) => own.join(named_in(&common)),
            None => own.clone(),
        };
        Some(Self { own, common })
    }
}

fn named_in(text: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(text.trim_ascii()))
}
