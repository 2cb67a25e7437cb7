//! One of the two moments: records, and paths found by parent pointers.

use crate::dirent::{self, Dirent};
use crate::error::{FsError, Result};
use crate::inode::{Inode, Xattr};
use crate::keys::{self, ROOT_INO};
use crate::reading;
use std::collections::HashMap;
use std::sync::Arc;
use tintype_store::{BlockReader, Key, Moment, Record, View};

/// Directories on one path, at most: longer chains are damage.
const DEPTH: usize = 100_000;

/// Paths of directories that are remembered.
const DIRS: usize = 100_000;

/// An inode with its record.
pub(super) type Found = (Inode, Arc<Record>);
/// A name, behind the directory that it stands in.
pub(super) type Named = (u64, Box<[u8]>);

/// The moment.
pub(super) struct Side {
    view: View,
    dirs: HashMap<u64, Option<Arc<[u8]>>>,
}

impl Side {
    pub(super) fn new(view: View) -> Self {
        Self { view, dirs: roots() }
    }

    pub(super) fn prefetch(&mut self, keys: &[Key]) -> Result<()> {
        Ok(self.view.prefetch(keys)?)
    }

    pub(super) fn reader(&self) -> BlockReader {
        self.view.blocks()
    }

    pub(super) fn record(&mut self, key: Key) -> Result<Option<Arc<Record>>> {
        Ok(self.view.get(key)?)
    }

    /// An inode, if it exists and has a name.
    pub(super) fn inode(&mut self, ino: u64) -> Result<Option<Found>> {
        let Some(record) = self.view.get(keys::inode(ino))? else { return Ok(None) };
        let inode = Inode::decode(&record.body)?;
        Ok((inode.nlink > 0).then_some((inode, record)))
    }

    /// All extended attributes in one order.
    pub(super) fn xattrs(&mut self, ino: u64, inode: &Inode) -> Result<Vec<Xattr>> {
        let mut list = reading::xattrs(&mut self.view, ino, inode)?;
        list.sort_unstable();
        Ok(list)
    }

    /// The names with one hash.
    pub(super) fn names(&mut self, key: Key) -> Result<Vec<Dirent>> {
        match self.view.get(key)? {
            Some(record) => dirent::decode(&record.body),
            None => Ok(Vec::new()),
        }
    }

    /// The path of a directory; `None` when it hangs from nothing.
    pub(super) fn dir(&mut self, dir: u64) -> Result<Option<Arc<[u8]>>> {
        if self.dirs.len() > DIRS {
            self.dirs = roots();
        }
        let mut open = Vec::new();
        let mut at = dir;
        let mut path = loop {
            if let Some(known) = self.dirs.get(&at) {
                break known.clone();
            }
            if open.len() > DEPTH {
                return Err(FsError::Damaged("directory"));
            }
            let Some((inode, _)) = self.inode(at)? else {
                self.dirs.insert(at, None);
                break None;
            };
            open.push((at, inode.parent, inode.name));
            at = inode.parent;
        };
        for (ino, parent, hash) in open.into_iter().rev() {
            let names = self.names(keys::dirent(parent, hash))?;
            let name = names.into_iter().find(|entry| entry.ino == ino).map(|entry| entry.name);
            path = match (path, name) {
                (Some(base), Some(name)) => Some(join(&base, &name).into()),
                _ => None,
            };
            self.dirs.insert(ino, path.clone());
        }
        Ok(path)
    }

    /// Loads the directory entries from which the paths of these inodes will be built.
    pub(super) fn prefetch_first_names(&mut self, inodes: &[u64]) -> Result<()> {
        let mut wanted = Vec::with_capacity(inodes.len());
        for ino in inodes {
            if let Some((inode, _)) = self.inode(*ino)? {
                wanted.push(keys::dirent(inode.parent, inode.name));
            }
        }
        self.prefetch(&wanted)
    }

    /// The path of a name in a directory.
    pub(super) fn path(&mut self, dir: u64, name: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.dir(dir)?.map(|base| join(&base, name)))
    }

    /// All names of an inode, each with its directory. The root has none.
    pub(super) fn names_of(&mut self, ino: u64, inode: &Inode) -> Result<Vec<Named>> {
        if ino == ROOT_INO {
            return Ok(Vec::new());
        }
        let mut places = vec![(inode.parent, inode.name)];
        if inode.nlink > 1 && !inode.is_dir() {
            places.extend(reading::further_links(&mut self.view, ino)?);
        }
        places.sort_unstable();
        places.dedup();
        let mut list = Vec::with_capacity(places.len());
        for (dir, hash) in places {
            let own = self.names(keys::dirent(dir, hash))?.into_iter();
            list.extend(own.filter(|entry| entry.ino == ino).map(|entry| (dir, entry.name)));
        }
        Ok(list)
    }

    /// The paths of names, sorted; what hangs from nothing has none.
    pub(super) fn paths_at(&mut self, names: Vec<Named>) -> Result<Vec<Vec<u8>>> {
        let mut list = Vec::with_capacity(names.len());
        for (dir, name) in names {
            list.extend(self.path(dir, &name)?);
        }
        list.sort_unstable();
        Ok(list)
    }

    /// All paths of an inode.
    pub(super) fn paths(&mut self, ino: u64, inode: &Inode) -> Result<Vec<Vec<u8>>> {
        if ino == ROOT_INO {
            return Ok(vec![Vec::new()]);
        }
        let names = self.names_of(ino, inode)?;
        self.paths_at(names)
    }
}

fn roots() -> HashMap<u64, Option<Arc<[u8]>>> {
    HashMap::from([(ROOT_INO, Some(Arc::from(&[][..])))])
}

fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(base.len() + name.len() + 1);
    path.extend_from_slice(base);
    if !base.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
