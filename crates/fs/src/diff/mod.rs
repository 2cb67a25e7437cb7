//! What changed between two moments, file by file.
//!
//! The store names every record that may differ; each is looked up in both moments, so the cost is that
//! of the changes and not of the trees. Access and change times alone are no change. Reads only.

mod content;
mod names;
mod side;

use crate::error::Result;
use crate::inode::Inode;
use crate::keys;
use side::Side;
use std::collections::{BTreeSet, HashSet};
use tintype_store::{Key, MomentRef, Store, stop};

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
    let touched = fixed.touched()?;
    let [old, new] = fixed.views();
    let mut run = Diff {
        a: Side::new(old),
        b: Side::new(new),
        ranges,
        found: Vec::new(),
        added: HashSet::new(),
    };
    run.names(&of_kind(&touched, keys::DIRENT))?;
    run.inodes(&touched)?;
    run.found.sort_unstable();
    run.found.dedup();
    Ok(run.found)
}

/// One comparison.
struct Diff {
    a: Side,
    b: Side,
    ranges: bool,
    found: Vec<DiffEntry>,
    /// Paths that are told as added: nothing more is to say about them.
    added: HashSet<Vec<u8>>,
}

fn of_kind(keys: &[Key], kind: u8) -> Vec<Key> {
    keys.iter().filter(|key| key.kind == kind).copied().collect()
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
    /// Changes of objects that both moments have.
    fn inodes(&mut self, touched: &[Key]) -> Result<()> {
        let spans = of_kind(touched, keys::SPAN);
        let kinds = [keys::INODE, keys::SPAN, keys::XATTR];
        let all: BTreeSet<u64> =
            touched.iter().filter(|key| kinds.contains(&key.kind)).map(|key| key.a).collect();
        let all: Vec<u64> = all.into_iter().collect();
        for chunk in all.chunks(CHUNK) {
            let wanted: Vec<Key> = chunk.iter().map(|ino| keys::inode(*ino)).collect();
            self.a.prefetch(&wanted)?;
            self.b.prefetch(&wanted)?;
            self.b.prefetch_first_names(chunk)?;
            for ino in chunk {
                stop::check()?;
                let from = spans.partition_point(|key| key.a < *ino);
                let to = spans.partition_point(|key| key.a <= *ino);
                self.inode(*ino, spans.get(from..to).unwrap_or(&[]))?;
            }
        }
        Ok(())
    }

    fn inode(&mut self, ino: u64, spans: &[Key]) -> Result<()> {
        let (Some(old), Some(new)) = (self.a.inode(ino)?, self.b.inode(ino)?) else {
            return Ok(());
        };
        if !same_object(&old.0, &new.0) {
            return Ok(());
        }
        let content = if new.0.is_file() { self.content(ino, &old, &new, spans)? } else { None };
        let change = match content {
            Some(_) => Change::Modified,
            None if self.attributes_differ(ino, &old.0, &new.0)? => Change::Attributes,
            None => return Ok(()),
        };
        for path in self.b.paths(ino, &new.0)? {
            if self.added.contains(&path) {
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
