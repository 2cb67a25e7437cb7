//! Names inside an edit: finding, adding, removing and redirecting directory entries, and the
//! back references that lead from an inode to its names.

use crate::dircache::Absence;
use crate::dirent::{self, Dirent};
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::Inode;
use crate::keys;
use crate::reading;
use tintype_store::Key;

/// Longest name in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// Directories with more entries are not loaded to learn their names.
const LEARN: u64 = 65_536;

/// Checks a name that is to be looked up or made.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    match name {
        [] => refuse(libc::ENOENT),
        _ if name.len() > NAME_MAX => refuse(libc::ENAMETOOLONG),
        _ if name.contains(&b'/') || name.contains(&0) => refuse(libc::EINVAL),
        _ => Ok(()),
    }
}

impl Edit<'_> {
    fn names(&mut self, dir: u64, hash: u64) -> Result<Vec<Dirent>> {
        match self.body(keys::dirent(dir, hash))? {
            Some(body) => dirent::decode(&body),
            None => Ok(Vec::new()),
        }
    }

    /// The entry with this name, without reading when absence is known.
    pub(crate) fn entry(&mut self, dir: u64, name: &[u8]) -> Result<Option<Dirent>> {
        check_name(name)?;
        let hash = keys::name_hash(self.seed(), name);
        let known = self.state.dirs.absence(dir, hash);
        if known == Absence::Absent {
            return Ok(None);
        }
        let found = dirent::named(&self.names(dir, hash)?, name);
        if found.is_none() && known == Absence::Unknown && self.inode(dir)?.entries <= LEARN {
            self.state.learn(dir)?;
        }
        Ok(found)
    }

    /// The entry with this name or `ENOENT`.
    pub(crate) fn existing(&mut self, dir: u64, name: &[u8]) -> Result<Dirent> {
        self.entry(dir, name)?.map_or_else(|| refuse(libc::ENOENT), Ok)
    }

    /// Adds a name that is known to be absent.
    pub(crate) fn add_name(&mut self, dir: u64, name: &[u8], ino: u64, kind: u32) -> Result<u64> {
        let hash = keys::name_hash(self.seed(), name);
        let key = keys::dirent(dir, hash);
        let never = self.state.dirs.absence(dir, hash) == Absence::Absent;
        let mut list = if never { Vec::new() } else { self.names(dir, hash)? };
        dirent::insert(&mut list, name, ino, kind)?;
        if never {
            self.put_new(key, dirent::encode(&list));
        } else {
            self.put(key, dirent::encode(&list));
        }
        self.name_added(dir, hash);
        self.change(dir)?.entries += 1;
        Ok(hash)
    }

    /// Removes a name that exists.
    pub(crate) fn remove_name(&mut self, dir: u64, name: &[u8]) -> Result<()> {
        let hash = keys::name_hash(self.seed(), name);
        let key = keys::dirent(dir, hash);
        let mut list = self.names(dir, hash)?;
        list.retain(|entry| *entry.name != *name);
        if list.is_empty() {
            self.delete(key);
            self.name_removed(dir, hash);
        } else {
            self.put(key, dirent::encode(&list));
        }
        let inode = self.change(dir)?;
        inode.entries = inode.entries.saturating_sub(1);
        Ok(())
    }

    /// Lets a name that exists stand for another inode.
    pub(crate) fn redirect(&mut self, dir: u64, name: &[u8], ino: u64, kind: u32) -> Result<u64> {
        let hash = keys::name_hash(self.seed(), name);
        let mut list = self.names(dir, hash)?;
        for entry in list.iter_mut().filter(|entry| *entry.name == *name) {
            entry.ino = ino;
            entry.kind = kind;
        }
        self.put(keys::dirent(dir, hash), dirent::encode(&list));
        Ok(hash)
    }

    fn link_record(&mut self, ino: u64, at: (u64, u64)) -> Result<(Key, Vec<(u64, u64)>)> {
        let key = keys::link(ino, keys::link_hash(self.seed(), at.0, at.1));
        let list = match self.body(key)? {
            Some(body) => reading::decode_links(&body)?,
            None => Vec::new(),
        };
        Ok((key, list))
    }

    /// Notes one more name of an inode: (directory, hash).
    pub(crate) fn add_link(&mut self, ino: u64, at: (u64, u64)) -> Result<()> {
        let inode = self.change(ino)?;
        if inode.parent == 0 {
            (inode.parent, inode.name) = at;
            return Ok(());
        }
        let (key, mut list) = self.link_record(ino, at)?;
        list.push(at);
        self.put(key, reading::encode_links(&list));
        Ok(())
    }

    /// Forgets one name of an inode; another one becomes the first when it was that.
    pub(crate) fn drop_link(&mut self, ino: u64, at: (u64, u64)) -> Result<()> {
        let inode = self.inode(ino)?;
        if (inode.parent, inode.name) != at {
            return self.drop_further(ino, at);
        }
        let further = inode.nlink > 1 && !inode.is_dir();
        let next = if further {
            reading::further_links(&mut self.state.line, ino)?.first().copied()
        } else {
            None
        };
        let inode = self.change(ino)?;
        (inode.parent, inode.name) = next.unwrap_or((0, 0));
        next.map_or(Ok(()), |at| self.drop_further(ino, at))
    }

    fn drop_further(&mut self, ino: u64, at: (u64, u64)) -> Result<()> {
        let (key, mut list) = self.link_record(ino, at)?;
        if let Some(place) = list.iter().position(|own| *own == at) {
            list.remove(place);
        }
        if list.is_empty() {
            self.delete(key);
        } else {
            self.put(key, reading::encode_links(&list));
        }
        Ok(())
    }

    /// Replaces one name of an inode by another.
    pub(crate) fn move_link(&mut self, ino: u64, from: (u64, u64), to: (u64, u64)) -> Result<()> {
        let inode: &mut Inode = self.change(ino)?;
        if (inode.parent, inode.name) == from {
            (inode.parent, inode.name) = to;
            return Ok(());
        }
        self.drop_further(ino, from)?;
        self.add_link(ino, to)
    }
}
