//! What changed between two moments, file by file.
//!
//! The store names every record that may differ; each is looked up in both moments, so the cost is that
//! of the changes and not of the trees. Access and change times alone are no change. Reads only.
//!
//! Everything is compared inode by inode, and what is told of one depends on no other. So a list of changes can be cut anywhere: into parts
//! for parallel readers, and into pages.

mod changed;
mod content;
mod names;
mod side;

use crate::error::Result;
use crate::inode::Inode;
use crate::keys;
use side::{Found, Side};
use tintype_store::{Fixed, Key, MomentRef, Store, stop};

pub use changed::Changed;

/// Records that are looked up together.
const CHUNK: usize = 1024;

/// What kind of object an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symlink.
    Symlink,
    /// A device, fifo or socket.
    Other,
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The name was removed. `path` and `size` are those of the first moment.
    Deleted,
    /// The same object has another name or directory now.
    Renamed,
    /// The name was made.
    Added,
    /// The content differs (attributes may, too).
    Modified,
    /// Mode, owner, modification time, flags or extended attributes differ.
    Attributes,
}

/// One change. A file that was renamed and modified has two entries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiffEntry {
    /// Path from the root, without a leading slash; in the second moment, if the name is there.
    pub path: Vec<u8>,
    /// What happened.
    pub change: Change,
    /// The path in the first moment, for a renamed object.
    pub old_path: Option<Vec<u8>>,
    /// What it is.
    pub object: Object,
    /// Size in bytes.
    pub size: u64,
    /// Byte ranges (offset, length) whose content differs, in units of 4 KiB, for modified files; all of an
    /// added file. Empty unless asked for.
    pub ranges: Vec<(u64, u64)>,
}

/// What changed from moment `a` to moment `b`, sorted by path. What is live is compared as it is at one instant during the
/// call; it may be changed meanwhile.
///
/// # Errors
/// A moment does not exist, the two share no history, or the store failed.
pub fn diff(store: &Store, a: MomentRef, b: MomentRef, ranges: bool) -> Result<Vec<DiffEntry>> {
    let fixed = store.fix(a, b)?;
    let changed = Changed::read(&fixed)?;
    let mut run = Diff::new(&fixed, ranges);
    let mut from = 0;
    while let Some(next) = run.chunk(&changed, from, u64::MAX, usize::MAX)? {
        from = next;
    }
    run.found.sort_unstable();
    run.found.dedup();
    Ok(run.found)
}

/// A place in a list of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffPlace {
    /// At this inode.
    pub inode: u64,
    /// Behind so many of its changes.
    pub skip: u64,
}

/// A part of a list of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffPage {
    /// In the order of inodes, and of one inode by path.
    pub entries: Vec<DiffEntry>,
    /// Where to go on, if there is more.
    pub next: Option<DiffPlace>,
}

/// The next changes from a place on, of inodes below `below`: at most `limit`, at least one unless none is left. Costs what it tells.
///
/// # Errors
/// The store failed.
pub fn diff_page(
    fixed: &Fixed<'_>,
    changed: &Changed,
    from: DiffPlace,
    below: u64,
    limit: usize,
) -> Result<DiffPage> {
    let limit = limit.max(1);
    let mut run = Diff::new(fixed, false);
    run.skip = Some(from);
    let mut at = Some(from.inode);
    while let Some(inode) = at.filter(|_| run.found.len() < limit) {
        at = run.chunk(changed, inode, below, limit)?;
    }
    let mut next = at.map(|inode| DiffPlace { inode, skip: 0 });
    if run.found.len() > limit {
        // The last inode has more than there is room for.
        let over = (run.found.len() - limit) as u64;
        let (inode, told) = run.last;
        next = Some(DiffPlace { inode, skip: told.saturating_sub(over) });
        run.found.truncate(limit);
    }
    Ok(DiffPage { entries: run.found, next })
}

/// One comparison.
struct Diff {
    a: Side,
    b: Side,
    ranges: bool,
    found: Vec<DiffEntry>,
    /// What was told before.
    skip: Option<DiffPlace>,
    /// The last inode that was looked at, and how many changes it has.
    last: (u64, u64),
}

/// The kind of object that an inode is.
fn object(inode: &Inode) -> Object {
    match inode.kind() {
        libc::S_IFREG => Object::File,
        libc::S_IFDIR => Object::Dir,
        libc::S_IFLNK => Object::Symlink,
        _ => Object::Other,
    }
}

/// Whether two inodes of one number are one object.
fn same_object(a: &Inode, b: &Inode) -> bool {
    a.kind() == b.kind() && a.btime == b.btime
}

impl Diff {
    fn new(fixed: &Fixed<'_>, ranges: bool) -> Self {
        let [old, new] = fixed.views();
        let (a, b) = (Side::new(old), Side::new(new));
        Self { a, b, ranges, found: Vec::new(), skip: None, last: (0, 0) }
    }

    /// Looks at the next few inodes, until `limit` changes are found; answers where to go on, if there may be more.
    fn chunk(
        &mut self,
        changed: &Changed,
        from: u64,
        below: u64,
        limit: usize,
    ) -> Result<Option<u64>> {
        let chunk = changed.chunk(from, below);
        // What is not told is not loaded: most inodes have one change.
        let room = limit.saturating_sub(self.found.len()).saturating_add(1);
        let chunk = chunk.get(..room.min(chunk.len())).unwrap_or(&[]);
        let wanted: Vec<Key> = chunk.iter().map(|ino| keys::inode(*ino)).collect();
        for side in [&mut self.a, &mut self.b] {
            side.prefetch(&wanted)?;
            side.prefetch_first_names(chunk)?;
        }
        for ino in chunk {
            stop::check()?;
            if self.found.len() >= limit {
                return Ok(Some(*ino));
            }
            self.object(*ino, changed)?;
        }
        Ok(chunk.last().and_then(|ino| ino.checked_add(1)).filter(|next| *next < below))
    }

    /// Everything that happened to an inode.
    fn object(&mut self, ino: u64, changed: &Changed) -> Result<()> {
        let start = self.found.len();
        let (old, new) = (self.a.inode(ino)?, self.b.inode(ino)?);
        self.names(ino, old.as_ref(), new.as_ref())?;
        if let (Some(old), Some(new)) = (&old, &new)
            && same_object(&old.0, &new.0)
        {
            self.both(ino, old, new, &changed.spans(ino), start)?;
        }
        if let Some(own) = self.found.get_mut(start..) {
            own.sort_unstable();
        }
        self.last = (ino, (self.found.len() - start) as u64);
        if let Some(skip) = self.skip.take_if(|skip| skip.inode == ino) {
            let told = usize::try_from(skip.skip).unwrap_or(usize::MAX);
            let end = start.saturating_add(told).min(self.found.len());
            self.found.drain(start..end);
        }
        Ok(())
    }

    /// Content and attributes of an object that both moments have.
    fn both(
        &mut self,
        ino: u64,
        old: &Found,
        new: &Found,
        spans: &[Key],
        start: usize,
    ) -> Result<()> {
        let content = if new.0.is_file() { self.content(ino, old, new, spans)? } else { None };
        let change = match content {
            Some(_) => Change::Modified,
            None if self.attributes_differ(ino, &old.0, &new.0)? => Change::Attributes,
            None => return Ok(()),
        };
        let named = self.found.len();
        for path in self.b.paths(ino, &new.0)? {
            // Nothing more is to say about a name that is told as added.
            let own = self.found.get(start..named).unwrap_or(&[]);
            if own.iter().any(|entry| entry.change == Change::Added && entry.path == path) {
                continue;
            }
            self.found.push(DiffEntry {
                path,
                change,
                old_path: None,
                object: object(&new.0),
                size: new.0.size,
                ranges: content.clone().unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn attributes_differ(&mut self, ino: u64, old: &Inode, new: &Inode) -> Result<bool> {
        let plain = |i: &Inode| (i.mode, i.uid, i.gid, i.rdev, i.flags, i.mtime);
        if plain(old) != plain(new) || old.target != new.target {
            return Ok(true);
        }
        Ok(self.a.xattrs(ino, old)? != self.b.xattrs(ino, new)?)
    }
}
