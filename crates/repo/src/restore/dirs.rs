//! The directories of a restore: a table of parents and names, and a few open handles.
//!
//! A directory is opened from its parent's handle by its name and never through a symlink. Paths are made for messages only. A number is
//! greater than the parent's, so the table backwards goes from the deepest to the top. Depth costs neither stack nor handles.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, openat, statat};

use super::local;
use crate::error::Result;
use crate::local::{EntryName, LocalError, Step, create_dir, open_dir};
use crate::tree::Node;

/// Handles kept open at most.
const HANDLES: usize = 128;

/// A directory's place in the table; 0 is the target.
pub(super) type DirId = u32;

/// How far a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody needed it yet.
    Planned,
    /// It was made, or would have been: it was empty when the restore began with it.
    New,
    /// It was there.
    Existed,
    /// It cannot be had, which was told.
    Failed,
}

struct Entry {
    parent: DirId,
    name: Option<EntryName>,
    node: Option<Box<Node>>,
    state: State,
}

/// The table.
pub(super) struct Dirs {
    entries: Vec<Entry>,
    root: Option<Arc<OwnedFd>>,
    handles: Mutex<Handles>,
    dry: bool,
}

#[derive(Default)]
struct Handles {
    open: HashMap<DirId, (Arc<OwnedFd>, u64)>,
    clock: u64,
}

impl Handles {
    fn get(&mut self, id: DirId) -> Option<Arc<OwnedFd>> {
        self.clock += 1;
        let (fd, used) = self.open.get_mut(&id)?;
        *used = self.clock;
        Some(Arc::clone(fd))
    }

    fn put(&mut self, id: DirId, fd: Arc<OwnedFd>) {
        if self.open.len() >= HANDLES {
            // The half that was not used for longest goes.
            let limit = self.clock.saturating_sub(HANDLES as u64 / 2);
            let mut used: Vec<u64> = self.open.values().map(|(_, used)| *used).collect();
            used.sort_unstable();
            let limit = used.get(HANDLES / 2).copied().unwrap_or(limit);
            self.open.retain(|_, (_, used)| *used >= limit);
        }
        self.clock += 1;
        self.open.insert(id, (fd, self.clock));
    }
}

impl Dirs {
    /// The target, made if it is not there. Its path is followed wherever it leads: the caller chose it.
    pub fn open(target: &Path, dry: bool) -> Result<Self> {
        let existed = target.is_dir();
        if !existed && !dry {
            std::fs::create_dir_all(target).map_err(|e| local("make", target, e))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || openat(CWD, target, flags, Mode::empty());
        let root = (existed || !dry).then(open).transpose();
        let root = root.map_err(|e| local("open", target, e))?.map(Arc::new);
        let state = if existed { State::Existed } else { State::New };
        let top = Entry { parent: 0, name: None, node: None, state };
        Ok(Self { entries: vec![top], root, handles: Mutex::default(), dry })
    }

    /// Adds a directory that is made when somebody needs it.
    pub fn add(&mut self, parent: DirId, name: EntryName, node: Box<Node>) -> DirId {
        let id = DirId::try_from(self.entries.len()).unwrap_or(DirId::MAX);
        self.entries.push(Entry {
            parent,
            name: Some(name),
            node: Some(node),
            state: State::Planned,
        });
        id
    }

    fn entry(&self, id: DirId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    fn state(&self, id: DirId) -> State {
        self.entry(id).map_or(State::Failed, |entry| entry.state)
    }

    /// The node, of those below the target.
    pub fn node(&self, id: DirId) -> Option<&Node> {
        self.entry(id)?.node.as_deref()
    }

    /// Was it there before, so that entries may be in it?
    pub fn existed(&self, id: DirId) -> bool {
        self.state(id) == State::Existed
    }

    /// Is it there or made, without making it now?
    pub fn is_made(&self, id: DirId) -> bool {
        matches!(self.state(id), State::New | State::Existed)
    }

    /// All that are there.
    pub fn made(&self) -> impl DoubleEndedIterator<Item = DirId> + '_ {
        let numbers = 0..DirId::try_from(self.entries.len()).unwrap_or(DirId::MAX);
        numbers.filter(|id| self.is_made(*id))
    }

    /// The next directory on the way down to `id` that is not made yet; `None` when all are, or one of them cannot be had.
    pub fn next_to_make(&self, id: DirId) -> Option<DirId> {
        let (mut at, mut missing) = (id, None);
        while self.state(at) == State::Planned {
            missing = Some(at);
            at = self.entry(at)?.parent;
        }
        missing
    }

    /// Makes one, or takes what is there; `give_way` removes anything else that stands in its place and says whether it did.
    pub fn make(
        &mut self,
        id: DirId,
        give_way: impl FnOnce(BorrowedFd<'_>, &EntryName, &Node) -> Result<bool, LocalError>,
    ) -> Result<bool, LocalError> {
        let made = self.try_make(id, give_way);
        let state = match &made {
            Ok(Some(state)) => *state,
            Ok(None) | Err(_) => State::Failed,
        };
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.state = state;
        }
        made.map(|state| state.is_some())
    }

    fn try_make(
        &self,
        id: DirId,
        give_way: impl FnOnce(BorrowedFd<'_>, &EntryName, &Node) -> Result<bool, LocalError>,
    ) -> Result<Option<State>, LocalError> {
        let Some(Entry { parent, name: Some(name), node: Some(node), .. }) = self.entry(id) else {
            return Ok(None);
        };
        match self.state(*parent) {
            State::New if self.dry => return Ok(Some(State::New)),
            State::New | State::Existed => {}
            State::Planned | State::Failed => return Ok(None),
        }
        let above = self.handle(*parent)?;
        if self.state(*parent) == State::Existed {
            match kind_at(above.as_fd(), name)? {
                Some(FileType::Directory) => {
                    self.open_up(above.as_fd(), name);
                    return Ok(Some(State::Existed));
                }
                Some(_) if !give_way(above.as_fd(), name, node)? => return Ok(None),
                _ => {}
            }
        }
        if !self.dry {
            create_dir(above.as_fd(), name)?;
        }
        Ok(Some(State::New))
    }

    /// Lets its owner change an existing directory until its metadata is set. Who is not the owner cannot, and meets the failure later.
    fn open_up(&self, above: BorrowedFd<'_>, name: &EntryName) {
        if self.dry {
            return;
        }
        let open = || -> rustix::io::Result<()> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(above, name.as_c_str(), flags, Mode::empty())?;
            let mode = Mode::from_raw_mode(fstat(&fd)?.st_mode & 0o7777);
            if mode.contains(Mode::RWXU) { Ok(()) } else { fchmod(&fd, mode | Mode::RWXU) }
        };
        let _ = open();
    }

    /// An open handle.
    ///
    /// # Errors
    /// It is not there, or something else is in its place.
    pub fn handle(&self, id: DirId) -> Result<Arc<OwnedFd>, LocalError> {
        let (mut down, mut at) = (Vec::new(), id);
        let mut fd = loop {
            if at == 0 {
                break self.root.clone();
            }
            if let Some(fd) = self.handles.lock().get(at) {
                break Some(fd);
            }
            down.push(at);
            at = self.entry(at).map_or(0, |entry| entry.parent);
        };
        while let (Some(above), Some(next)) = (&fd, down.pop()) {
            let Some(name) = self.entry(next).and_then(|entry| entry.name.as_ref()) else { break };
            let opened = Arc::new(open_dir(above.as_fd(), name)?);
            self.handles.lock().put(next, Arc::clone(&opened));
            fd = Some(opened);
        }
        fd.ok_or_else(|| LocalError::Kind { name: Vec::new(), kind: "missing target".to_owned() })
    }

    /// Its path below the target.
    pub fn path(&self, id: DirId) -> PathBuf {
        let (mut names, mut at) = (Vec::new(), id);
        while let Some(Entry { parent, name: Some(name), .. }) = self.entry(at) {
            names.push(name);
            at = *parent;
        }
        let name = |name: &&EntryName| std::ffi::OsStr::from_bytes(name.as_bytes()).to_owned();
        names.iter().rev().map(name).collect()
    }

    /// The path of an entry in it.
    pub fn path_of(&self, id: DirId, name: &[u8]) -> PathBuf {
        self.path(id).join(std::ffi::OsStr::from_bytes(name))
    }
}

/// What stands at a name; a symlink is one.
fn kind_at(dir: BorrowedFd<'_>, name: &EntryName) -> Result<Option<FileType>, LocalError> {
    match statat(dir, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(LocalError::system(Step::Stat, name.as_bytes(), errno)),
    }
}
