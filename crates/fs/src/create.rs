//! Making names: files, directories, symlinks, nameless files, hard links.

use crate::acl::{self, Acl};
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, NODUMP, SGID, now};
use crate::reading;
use crate::tree::Tree;
use crate::vfs::{Caller, Entry};

/// Names of one inode, at most.
pub(crate) const LINK_MAX: u32 = 65_000;
/// Subdirectories of one directory, at most.
const DIR_LINK_MAX: u32 = i32::MAX as u32;
/// Longest target of a symlink.
const TARGET_MAX: usize = 4095;
/// Flags that a new object takes from its directory.
const INHERITED: u32 = NODUMP | crate::inode::NOATIME;

/// What is to be made.
#[derive(Clone, Copy, Default)]
pub(crate) struct New<'a> {
    /// Type and permission bits.
    pub(crate) mode: u32,
    /// The caller's mask.
    pub(crate) umask: u32,
    /// Device number.
    pub(crate) rdev: u32,
    /// Target of a symlink.
    pub(crate) target: &'a [u8],
}

/// Refuses a directory in which nothing can be made.
pub(crate) fn check_parent(inode: &Inode) -> Result<()> {
    if !inode.is_dir() {
        return refuse(libc::ENOTDIR);
    }
    if inode.nlink == 0 {
        return refuse(libc::ENOENT);
    }
    if inode.has(IMMUTABLE) { refuse(libc::EPERM) } else { Ok(()) }
}

impl Tree {
    /// Makes an object with a name.
    pub(crate) fn make(&self, who: &Caller, dir: u64, name: &[u8], new: New<'_>) -> Result<Entry> {
        self.limits.refresh(&self.store);
        self.edit(|edit| {
            if edit.entry(dir, name)?.is_some() {
                return refuse(libc::EEXIST);
            }
            let ino = edit.make(who, dir, name, new)?;
            self.check_room(edit)?;
            Ok(self.entry(dir, name, ino, edit.inode(ino)?))
        })
    }

    /// Makes a file or answers that the name stands for an inode already.
    pub(crate) fn make_or_find(
        &self,
        who: &Caller,
        dir: u64,
        name: &[u8],
        new: New<'_>,
        exclusive: bool,
    ) -> Result<(Entry, bool)> {
        self.limits.refresh(&self.store);
        self.edit(|edit| {
            if let Some(found) = edit.entry(dir, name)? {
                if exclusive {
                    return refuse(libc::EEXIST);
                }
                return Ok((self.entry(dir, name, found.ino, edit.inode(found.ino)?), false));
            }
            let ino = edit.make(who, dir, name, new)?;
            self.check_room(edit)?;
            Ok((self.entry(dir, name, ino, edit.inode(ino)?), true))
        })
    }

    /// Makes a file without a name.
    pub(crate) fn make_nameless(&self, who: &Caller, dir: u64, new: New<'_>) -> Result<Entry> {
        self.limits.refresh(&self.store);
        let entry = self.edit(|edit| {
            let parent = edit.directory(dir)?.clone();
            check_parent(&parent)?;
            let ino = edit.new_inode(who, dir, &parent, new)?;
            edit.change(ino)?.nlink = 0;
            edit.make_orphan(ino)?;
            self.check_room(edit)?;
            Ok(self.entry(dir, b"", ino, edit.inode(ino)?))
        })?;
        self.note_orphan();
        Ok(entry)
    }

    /// Gives an inode one more name.
    pub(crate) fn link(&self, ino: u64, dir: u64, name: &[u8]) -> Result<Entry> {
        self.limits.refresh(&self.store);
        self.edit(|edit| {
            check_parent(edit.directory(dir)?)?;
            let inode = edit.inode(ino)?;
            if inode.is_dir() || inode.has(IMMUTABLE | APPEND) {
                return refuse(libc::EPERM);
            }
            if inode.nlink >= LINK_MAX {
                return refuse(libc::EMLINK);
            }
            let (kind, nameless) = (inode.kind(), inode.nlink == 0);
            if edit.entry(dir, name)?.is_some() {
                return refuse(libc::EEXIST);
            }
            edit.check_link_quota(ino, dir)?;
            let time = now();
            let hash = edit.add_name(dir, name, ino, kind)?;
            edit.add_link(ino, (dir, hash))?;
            if nameless {
                edit.end_orphan(ino)?;
            }
            edit.change(dir)?.touch(time);
            let inode = edit.change(ino)?;
            inode.nlink += 1;
            inode.ctime = time;
            self.check_room(edit)?;
            Ok(self.entry(dir, name, ino, edit.inode(ino)?))
        })
    }
}

impl Edit<'_> {
    /// Makes an object under a name that is known to be free.
    pub(crate) fn make(
        &mut self,
        who: &Caller,
        dir: u64,
        name: &[u8],
        new: New<'_>,
    ) -> Result<u64> {
        let parent = self.directory(dir)?.clone();
        check_parent(&parent)?;
        let is_dir = new.mode & libc::S_IFMT == libc::S_IFDIR;
        if is_dir && parent.nlink >= DIR_LINK_MAX {
            return refuse(libc::EMLINK);
        }
        let ino = self.new_inode(who, dir, &parent, new)?;
        let hash = self.add_name(dir, name, ino, new.mode & libc::S_IFMT)?;
        let inode = self.change(ino)?;
        (inode.parent, inode.name) = (dir, hash);
        let time = inode.ctime;
        let parent = self.change(dir)?;
        parent.touch(time);
        if is_dir {
            parent.nlink += 1;
        }
        Ok(ino)
    }

    /// Makes an inode as a child of `dir` has to be: owner, group, mode, access lists.
    fn new_inode(&mut self, who: &Caller, dir: u64, parent: &Inode, new: New<'_>) -> Result<u64> {
        if new.target.len() > TARGET_MAX {
            return refuse(libc::ENAMETOOLONG);
        }
        let time = now();
        let kind = new.mode & libc::S_IFMT;
        let is_dir = kind == libc::S_IFDIR;
        let from_dir = parent.mode & SGID != 0;
        let default = self.default_acl(dir, parent, kind)?;
        let mask = if default.is_some() { 0 } else { new.umask & 0o777 };
        let inherited = if is_dir && from_dir { SGID } else { 0 };
        let inode = Inode {
            mode: (new.mode & !mask) | inherited,
            uid: who.uid,
            gid: if from_dir { parent.gid } else { who.gid },
            nlink: if is_dir { 2 } else { 1 },
            size: new.target.len() as u64,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
            flags: parent.flags & INHERITED,
            quota: parent.quota,
            rdev: new.rdev,
            target: new.target.into(),
            ..Inode::default()
        };
        let ino = self.create(inode)?;
        if let Some(default) = default {
            self.inherit_acl(ino, &default, is_dir)?;
        }
        Ok(ino)
    }

    fn default_acl(&mut self, dir: u64, parent: &Inode, kind: u32) -> Result<Option<Acl>> {
        if kind == libc::S_IFLNK {
            return Ok(None);
        }
        let seed = self.seed();
        let value = reading::xattr(&mut self.state.line, seed, dir, parent, acl::DEFAULT)?;
        value.map(|value| Acl::parse(&value)).transpose()
    }

    fn inherit_acl(&mut self, ino: u64, default: &Acl, is_dir: bool) -> Result<()> {
        let inode = self.change(ino)?;
        let access = default.inherit(inode.mode & 0o777);
        inode.mode = (inode.mode & !0o777) | access.mode();
        if !access.is_minimal() {
            self.store_xattr(ino, acl::ACCESS, &access.encode())?;
        }
        if is_dir {
            self.store_xattr(ino, acl::DEFAULT, &default.encode())?;
        }
        Ok(())
    }
}
