//! `Mounted` as a tree that a transport can show: each call finds its place and is handed on.

use crate::create::New;
use crate::error::{FsError, Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode};
use crate::keys::ROOT_INO;
use crate::listing;
use crate::mounted::Mounted;
use crate::names::check_name;
use crate::nodes::{LIVE, SNAPSHOTS, unpack};
use crate::place::Place;
use crate::rename::At;
use crate::tree::FOREVER;
use crate::vfs::{
    Attr, Caller, DirSink, Entry, Errno, Handle, Ioctl, Node, Opened, ROOT, Reply, SetAttr, Statfs,
    Vfs, WriteFlags,
};
use crate::{copy, read, reading, seek, snapdir, xattrs};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bit of a handle whose reads leave the access time alone.
const QUIET: u64 = 1;

const fn opened(flags: i32, keep_cache: bool) -> Opened {
    let quiet = flags & libc::O_NOATIME != 0;
    let handle = Handle(if quiet { QUIET } else { 0 });
    Opened { handle, keep_cache, direct: false, no_flush: true }
}

const fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0
}

/// Refuses to open a protected file in a way that it does not allow.
fn check_open(inode: &Inode, flags: i32) -> Result<()> {
    if !writes(flags) {
        return Ok(());
    }
    if inode.is_dir() {
        return refuse(libc::EISDIR);
    }
    let appends = flags & libc::O_APPEND != 0 && flags & libc::O_TRUNC == 0;
    if inode.has(IMMUTABLE) || (inode.has(APPEND) && !appends) {
        return refuse(libc::EPERM);
    }
    Ok(())
}

impl Mounted {
    fn find(&self, dir: Node, name: &[u8]) -> Result<Entry> {
        if snapdir::is_here(dir, name) {
            self.at(ROOT)?;
            return Ok(snapdir::entry(&self.moments));
        }
        if dir == snapdir::NODE {
            return self.find_moment(name);
        }
        let (place, ino) = self.at(dir)?;
        match name {
            b"." => return self.find_node(dir),
            b".." => return self.find_parent(&place, ino),
            _ => check_name(name)?,
        }
        let found = match &place {
            // Under one lock, so that the kernel holds the node before it can vanish.
            Place::Live(tree) => tree.find(ino, name)?,
            Place::Frozen(_) => place.with(|m, seed| {
                reading::directory(m, ino)?;
                let Some(found) = reading::find(m, seed, ino, name)? else { return Ok(None) };
                let (inode, _) = reading::inode(m, found.ino)?;
                Ok(Some(Self::entry(&place, ino, name, found.ino, &inode)))
            })?,
        };
        match found {
            Some(entry) => Ok(entry),
            None => {
                let frozen = matches!(place, Place::Frozen(_));
                let ttl = if frozen { FOREVER } else { self.negatives.add(dir, name) };
                Ok(absent(ttl))
            }
        }
    }

    fn find_moment(&self, name: &[u8]) -> Result<Entry> {
        self.at(ROOT)?;
        match name {
            b"." => Ok(snapdir::entry(&self.moments)),
            b".." => self.find_node(ROOT),
            _ => snapdir::lookup(&self.moments, name),
        }
    }

    fn find_node(&self, node: Node) -> Result<Entry> {
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        Ok(Self::entry(&place, ino, b"", ino, &inode))
    }

    fn find_parent(&self, place: &Place, ino: u64) -> Result<Entry> {
        if ino == ROOT_INO {
            return match place.slot() {
                LIVE => self.find_node(ROOT),
                _ => Ok(snapdir::entry(&self.moments)),
            };
        }
        let parent = place.with(|m, _| reading::directory(m, ino))?.parent;
        self.find_node(place.node(parent))
    }

    fn attributes(&self, node: Node) -> Result<(Attr, Duration)> {
        if node == snapdir::NODE {
            self.at(ROOT)?;
            return Ok((snapdir::attr(&self.moments), snapdir::TTL));
        }
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        Ok((inode.attr(node.0), FOREVER))
    }

    fn make(&self, who: &Caller, dir: Node, name: &[u8], new: New<'_>) -> Result<Entry> {
        let (tree, ino) = self.maker(dir, name)?;
        tree.make(who, ino, name, new)
    }

    fn open_node(&self, who: &Caller, node: Node, flags: i32) -> Result<Opened> {
        let (place, ino) = self.at(node)?;
        if writes(flags) {
            place.writable()?;
        }
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        check_open(&inode, flags)?;
        if flags & libc::O_TRUNC != 0 && inode.is_file() {
            let kill_suid = who.uid != 0;
            let set = SetAttr { size: Some(0), kill_suid, ..SetAttr::default() };
            place.writable()?.set_attributes(ino, &set)?;
        }
        Ok(opened(flags, true))
    }

    fn create_node(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        new: New<'_>,
        flags: i32,
    ) -> Result<(Entry, Opened)> {
        let (tree, ino) = self.maker(dir, name)?;
        let exclusive = flags & libc::O_EXCL != 0;
        let (entry, made) = tree.make_or_find(who, ino, name, new, exclusive)?;
        if made {
            return Ok((entry, opened(flags, true)));
        }
        match self.open_node(who, entry.node, flags) {
            Ok(open) => {
                let attr = self.attributes(entry.node)?.0;
                Ok((Entry { attr, ..entry }, open))
            }
            Err(error) => {
                self.forget(entry.node, 1);
                Err(error)
            }
        }
    }

    fn remove(&self, dir: Node, name: &[u8], directory: bool) -> Result<()> {
        let (tree, ino) = self.target(dir)?;
        match (snapdir::is_here(dir, name), directory) {
            (true, _) => refuse(libc::EPERM),
            (false, true) => tree.rmdir(ino, name),
            (false, false) => tree.unlink(ino, name),
        }
    }

    fn rename_names(
        &self,
        who: &Caller,
        (dir, name): (Node, &[u8]),
        (new_dir, new_name): (Node, &[u8]),
        flags: u32,
    ) -> Result<()> {
        let ((from, a), (to, b)) = (unpack(dir), unpack(new_dir));
        let special = snapdir::is_here(dir, name) || snapdir::is_here(new_dir, new_name);
        if from != to || from == SNAPSHOTS || special {
            return refuse(libc::EXDEV);
        }
        match self.at(dir)?.0 {
            Place::Live(tree) => {
                tree.rename(who, At { dir: a, name }, At { dir: b, name: new_name }, flags)
            }
            Place::Frozen(_) => refuse(libc::EXDEV),
        }
    }

    fn link_node(&self, node: Node, dir: Node, name: &[u8]) -> Result<Entry> {
        let ((from, ino), (to, dir_ino)) = (unpack(node), unpack(dir));
        if from != to {
            return refuse(libc::EXDEV);
        }
        let (tree, _) = self.maker(dir, name)?;
        tree.link(ino, dir_ino, name)
    }

    fn list_node(
        &self,
        node: Node,
        handle: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        if node == snapdir::NODE {
            self.at(ROOT)?;
            snapdir::list(&self.moments, offset, sink);
            return Ok(());
        }
        let (place, ino) = self.at(node)?;
        listing::list(&place, ino, offset, plus, sink)?;
        if let Place::Live(tree) = &place
            && offset == 0
            && handle.0 & QUIET == 0
        {
            let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
            tree.accessed(ino, &inode);
        }
        Ok(())
    }

    fn read_node(&self, node: Node, handle: Handle, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let (place, ino) = self.at(node)?;
        let (count, inode) = read::read(&place, ino, offset, buf)?;
        if let Place::Live(tree) = &place
            && handle.0 & QUIET == 0
        {
            tree.accessed(ino, &inode);
        }
        Ok(count)
    }

    fn symlink_target(&self, node: Node) -> Result<Vec<u8>> {
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        if inode.kind() != libc::S_IFLNK {
            return refuse(libc::EINVAL);
        }
        if let Place::Live(tree) = &place {
            tree.accessed(ino, &inode);
        }
        Ok(inode.target.into_vec())
    }

    fn sync(&self) -> Result<()> {
        if self.dead.load(Ordering::Acquire) {
            return Err(FsError::ShutDown);
        }
        Ok(self.store.sync()?)
    }
}

/// The answer that a name does not exist, which the kernel may remember.
fn absent(ttl: Duration) -> Entry {
    Entry { node: Node(0), attr: Attr::default(), entry_ttl: ttl, attr_ttl: ttl }
}

impl Vfs for Mounted {
    fn lookup(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<Entry> {
        Ok(self.find(dir, name)?)
    }

    fn forget(&self, node: Node, count: u64) {
        let (slot, ino) = unpack(node);
        if slot == SNAPSHOTS || !self.nodes.forget(node, count) {
            return;
        }
        if self.dead.load(Ordering::Acquire) {
            return;
        }
        if slot == LIVE {
            self.live.dropped(ino);
        } else if let Some(tree) = self.moments.trees().iter().find(|tree| tree.slot == slot) {
            tree.dropped(ino);
        }
    }

    fn getattr(&self, _: &Caller, node: Node, _: Option<Handle>) -> Reply<(Attr, Duration)> {
        Ok(self.attributes(node)?)
    }

    fn setattr(
        &self,
        _: &Caller,
        node: Node,
        _: Option<Handle>,
        set: &SetAttr,
    ) -> Reply<(Attr, Duration)> {
        let (tree, ino) = self.target(node)?;
        tree.set_attributes(ino, set)?;
        Ok(self.attributes(node)?)
    }

    fn readlink(&self, _: &Caller, node: Node) -> Reply<Vec<u8>> {
        Ok(self.symlink_target(node)?)
    }

    fn mknod(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        mode: u32,
        umask: u32,
        rdev: u32,
    ) -> Reply<Entry> {
        let mode = if mode & libc::S_IFMT == 0 { mode | libc::S_IFREG } else { mode };
        Ok(self.make(who, dir, name, New { mode, umask, rdev, target: &[] })?)
    }

    fn mkdir(&self, who: &Caller, dir: Node, name: &[u8], mode: u32, umask: u32) -> Reply<Entry> {
        let mode = libc::S_IFDIR | (mode & 0o7777);
        Ok(self.make(who, dir, name, New { mode, umask, rdev: 0, target: &[] })?)
    }

    fn symlink(&self, who: &Caller, dir: Node, name: &[u8], target: &[u8]) -> Reply<Entry> {
        let mode = libc::S_IFLNK | 0o777;
        Ok(self.make(who, dir, name, New { mode, umask: 0, rdev: 0, target })?)
    }

    fn link(&self, _: &Caller, node: Node, dir: Node, name: &[u8]) -> Reply<Entry> {
        Ok(self.link_node(node, dir, name)?)
    }

    fn unlink(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        Ok(self.remove(dir, name, false)?)
    }

    fn rmdir(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        Ok(self.remove(dir, name, true)?)
    }

    fn rename(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        new_dir: Node,
        new_name: &[u8],
        flags: u32,
    ) -> Reply<()> {
        Ok(self.rename_names(who, (dir, name), (new_dir, new_name), flags)?)
    }

    fn open(&self, who: &Caller, node: Node, flags: i32) -> Reply<Opened> {
        Ok(self.open_node(who, node, flags)?)
    }

    fn create(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        mode: u32,
        umask: u32,
        flags: i32,
    ) -> Reply<(Entry, Opened)> {
        let mode = libc::S_IFREG | (mode & 0o7777);
        let new = New { mode, umask, rdev: 0, target: &[] };
        Ok(self.create_node(who, dir, name, new, flags)?)
    }

    fn tmpfile(
        &self,
        who: &Caller,
        dir: Node,
        mode: u32,
        umask: u32,
        flags: i32,
    ) -> Reply<(Entry, Opened)> {
        let (tree, ino) = self.target(dir)?;
        let mode = libc::S_IFREG | (mode & 0o7777);
        let entry = tree.make_nameless(who, ino, New { mode, umask, rdev: 0, target: &[] })?;
        Ok((entry, opened(flags, true)))
    }

    fn read(
        &self,
        _: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        buf: &mut [u8],
    ) -> Reply<usize> {
        Ok(self.read_node(node, handle, offset, buf)?)
    }

    fn write(
        &self,
        _: &Caller,
        node: Node,
        _: Handle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Reply<usize> {
        let (tree, ino) = self.target(node)?;
        Ok(tree.write(ino, offset, data, flags)?)
    }

    fn release(&self, _: Node, _: Handle) {}

    fn fsync(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(self.sync()?)
    }

    fn opendir(&self, _: &Caller, node: Node, flags: i32) -> Reply<Opened> {
        if node == snapdir::NODE {
            return Ok(opened(flags, false));
        }
        let (place, ino) = self.at(node)?;
        place.with(|m, _| reading::directory(m, ino))?;
        Ok(opened(flags, true))
    }

    fn readdir(
        &self,
        _: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()> {
        Ok(self.list_node(node, handle, offset, plus, sink)?)
    }

    fn releasedir(&self, _: Node, _: Handle) {}

    fn fsyncdir(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(self.sync()?)
    }

    fn statfs(&self, _: Node) -> Reply<Statfs> {
        if self.dead.load(Ordering::Acquire) {
            return Err(Errno(libc::EIO));
        }
        self.live.limits.refresh(&self.store);
        let usage = self.usage();
        Ok(self.live.limits.statfs(usage.blocks, usage.inodes))
    }

    fn getxattr(&self, _: &Caller, node: Node, name: &[u8]) -> Reply<Vec<u8>> {
        if node == snapdir::NODE {
            return Err(Errno(libc::ENODATA));
        }
        let (place, ino) = self.at(node)?;
        Ok(place.with(|m, seed| xattrs::get(m, seed, ino, name))?)
    }

    fn listxattr(&self, who: &Caller, node: Node) -> Reply<Vec<u8>> {
        if node == snapdir::NODE {
            return Ok(Vec::new());
        }
        let (place, ino) = self.at(node)?;
        Ok(place.with(|m, _| xattrs::list(m, ino, who.uid == 0))?)
    }

    fn setxattr(
        &self,
        _: &Caller,
        node: Node,
        name: &[u8],
        value: &[u8],
        flags: u32,
        kill_sgid: bool,
    ) -> Reply<()> {
        let (tree, ino) = self.target(node)?;
        Ok(tree.set_xattr(ino, name, value, flags, kill_sgid)?)
    }

    fn removexattr(&self, _: &Caller, node: Node, name: &[u8]) -> Reply<()> {
        let (tree, ino) = self.target(node)?;
        Ok(tree.remove_xattr(ino, name)?)
    }

    fn fallocate(
        &self,
        _: &Caller,
        node: Node,
        _: Handle,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Reply<()> {
        let (tree, ino) = self.target(node)?;
        Ok(tree.allocate(ino, offset, length, mode)?)
    }

    fn lseek(&self, node: Node, _: Handle, offset: u64, whence: i32) -> Reply<u64> {
        let data = match whence {
            libc::SEEK_DATA => true,
            libc::SEEK_HOLE => false,
            _ => return Err(Errno(libc::EINVAL)),
        };
        let (place, ino) = self.at(node)?;
        Ok(place.with(|m, _| seek::seek(m, ino, offset, data))?)
    }

    fn copy_file_range(
        &self,
        _: &Caller,
        from: Node,
        _: Handle,
        from_offset: u64,
        to: Node,
        _: Handle,
        to_offset: u64,
        length: u64,
    ) -> Reply<usize> {
        let (tree, ino) = self.target(to)?;
        let (place, from_ino) = self.at(from)?;
        let source = copy::Side { ino: from_ino, offset: from_offset };
        let target = copy::Side { ino, offset: to_offset };
        Ok(copy::copy(&place, source, &tree, target, length)? as usize)
    }

    fn ioctl(&self, who: &Caller, node: Node, request: &Ioctl<'_>) -> Reply<(i32, Vec<u8>)> {
        Ok(self.control(who, node, request)?)
    }
}
