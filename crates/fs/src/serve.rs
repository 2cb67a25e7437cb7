//! `Mounted` as a tree that a transport can show.
//!
//! Nothing but the translation: arguments into calls, errors into numbers.

use crate::calls::opened;
use crate::create::New;
use crate::mounted::Mounted;
use crate::nodes::{LIVE, SNAPSHOTS, unpack};
use crate::vfs::{
    Attr, Caller, DirSink, Entry, Errno, Handle, Ioctl, Node, Opened, Reply, SetAttr, Statfs, Vfs,
    WriteFlags,
};
use crate::{copy, reading, seek, snapdir, xattrs};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tintype_store::limits::PLENTY;

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
        who: &Caller,
        node: Node,
        _: Option<Handle>,
        set: &SetAttr,
    ) -> Reply<(Attr, Duration)> {
        let (tree, ino) = self.target(node)?;
        tree.set_attributes(who, ino, set)?;
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
        who: &Caller,
        node: Node,
        _: Handle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Reply<usize> {
        let (tree, ino) = self.target(node)?;
        Ok(tree.write(who, ino, offset, data, flags)?)
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

    fn statfs(&self, node: Node) -> Reply<Statfs> {
        if self.dead.load(Ordering::Acquire) {
            return Err(Errno(libc::EIO));
        }
        self.live.limits.refresh(&self.store);
        let state = self.live.state.lock();
        let (live, inodes) = (state.live(), state.sup.inodes);
        drop(state);
        let (blocks, free) = self.quota_room(node, self.live.limits.room(live));
        Ok(Statfs {
            block_size: tintype_store::BLOCK as u32,
            blocks,
            free,
            available: free,
            files: PLENTY,
            files_free: PLENTY.saturating_sub(inodes),
            name_max: crate::names::NAME_MAX as u32,
        })
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
