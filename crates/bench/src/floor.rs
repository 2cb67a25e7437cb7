//! The floor: the smallest useful filesystem in memory, behind the same seam as the real one.
//!
//! What a benchmark of it costs is what the kernel, the protocol and a transport cost; the
//! difference to a real volume is the engine's share. It keeps nothing, checks little, and holds
//! one lock. It is not a model of correct behaviour.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tintype_fs::vfs::{
    Attr, Caller, DirItem, DirSink, Entry, Errno, Handle, Ioctl, Node, Opened, ROOT, Reply,
    SetAttr, SetTime, Statfs, Time, Vfs, WriteFlags,
};

const TTL: Duration = Duration::from_secs(3600);
const NO_HANDLE: Handle = Handle(0);

#[derive(Default)]
struct Inode {
    attr: Attr,
    data: Vec<u8>,
    names: HashMap<Vec<u8>, u64>,
    order: BTreeMap<u64, (Vec<u8>, Node)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    lookups: u64,
}

struct Tree {
    inodes: HashMap<Node, Inode>,
    next: u64,
    ioctls: Vec<(u32, u64, bool)>,
}

/// A filesystem in memory.
pub struct Floor(Mutex<Tree>, OnceLock<Box<dyn Fn() + Send + Sync>>);

impl Default for Floor {
    fn default() -> Self {
        let root =
            Inode { attr: attr(1, libc::S_IFDIR | 0o755, &Caller::default()), ..Inode::default() };
        let inodes = HashMap::from([(ROOT, root)]);
        Self(Mutex::new(Tree { inodes, next: 16, ioctls: Vec::new() }), OnceLock::new())
    }
}

#[allow(dead_code)] // the transport tests use these
impl Floor {
    /// Runs `hook` inside every ioctl from now on; the first hook stays.
    pub fn on_ioctl(&self, hook: impl Fn() + Send + Sync + 'static) {
        drop(self.1.set(Box::new(hook)));
    }

    /// The ioctls that arrived: number, raw argument, whether on a directory.
    #[must_use]
    pub fn ioctls(&self) -> Vec<(u32, u64, bool)> {
        self.0.lock().ioctls.clone()
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { secs: i64::try_from(since.as_secs()).unwrap_or_default(), nanos: since.subsec_nanos() }
}

fn attr(ino: u64, mode: u32, who: &Caller) -> Attr {
    let (uid, gid, at) = (who.uid, who.gid, now());
    let nlink = if mode & libc::S_IFMT == libc::S_IFDIR { 2 } else { 1 };
    let times = Attr { atime: at, mtime: at, ctime: at, btime: at, ..Attr::default() };
    Attr { ino, mode, nlink, uid, gid, ..times }
}

fn entry(node: Node, attr: Attr) -> Entry {
    Entry { node, attr, entry_ttl: TTL, attr_ttl: TTL }
}

fn opened() -> Opened {
    Opened { handle: NO_HANDLE, keep_cache: true, direct: false, no_flush: true }
}

fn usize_of(value: u64) -> Reply<usize> {
    usize::try_from(value).map_err(|_| Errno(libc::EFBIG))
}

impl Tree {
    fn get(&mut self, node: Node) -> Reply<&mut Inode> {
        self.inodes.get_mut(&node).ok_or(Errno(libc::ENOENT))
    }

    fn child(&mut self, dir: Node, name: &[u8]) -> Reply<Node> {
        let dir = self.get(dir)?;
        let found = dir.names.get(name).and_then(|at| dir.order.get(at));
        found.map(|(_, node)| *node).ok_or(Errno(libc::ENOENT))
    }

    fn hold(&mut self, node: Node) -> Reply<Entry> {
        let inode = self.get(node)?;
        inode.lookups += 1;
        Ok(entry(node, inode.attr))
    }

    fn add(&mut self, dir: Node, name: &[u8], node: Node) -> Reply<()> {
        self.next += 1;
        let at = self.next;
        let dir = self.get(dir)?;
        if dir.names.contains_key(name) {
            return Err(Errno(libc::EEXIST));
        }
        dir.names.insert(name.to_vec(), at);
        dir.order.insert(at, (name.to_vec(), node));
        (dir.attr.mtime, dir.attr.ctime) = (now(), now());
        Ok(())
    }

    fn remove(&mut self, dir: Node, name: &[u8]) -> Reply<Node> {
        let inode = self.get(dir)?;
        let at = inode.names.remove(name).ok_or(Errno(libc::ENOENT))?;
        let (_, node) = inode.order.remove(&at).ok_or(Errno(libc::ENOENT))?;
        (inode.attr.mtime, inode.attr.ctime) = (now(), now());
        Ok(node)
    }

    fn make(&mut self, who: &Caller, mode: u32) -> Node {
        self.next += 1;
        let node = Node(self.next);
        self.inodes.insert(node, Inode { attr: attr(node.0, mode, who), ..Inode::default() });
        node
    }

    fn drop_link(&mut self, node: Node) -> Reply<()> {
        let inode = self.get(node)?;
        let dir = inode.attr.mode & libc::S_IFMT == libc::S_IFDIR;
        inode.attr.nlink = if dir { 0 } else { inode.attr.nlink.saturating_sub(1) };
        inode.attr.ctime = now();
        self.reap(node);
        Ok(())
    }

    fn reap(&mut self, node: Node) {
        let gone = |inode: &Inode| inode.attr.nlink == 0 && inode.lookups == 0;
        if self.inodes.get(&node).is_some_and(gone) {
            self.inodes.remove(&node);
        }
    }
}

impl Inode {
    fn resize(&mut self, size: usize) {
        self.data.resize(size, 0);
        self.attr.size = size as u64;
        self.attr.blocks = self.attr.size.div_ceil(512);
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Reply<()> {
        let start = usize_of(offset)?;
        let end = start.checked_add(data.len()).ok_or(Errno(libc::EFBIG))?;
        if end > self.data.len() {
            self.resize(end);
        }
        self.data.get_mut(start..end).ok_or(Errno(libc::EIO))?.copy_from_slice(data);
        (self.attr.mtime, self.attr.ctime) = (now(), now());
        Ok(())
    }
}

impl Vfs for Floor {
    fn lookup(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<Entry> {
        let mut tree = self.0.lock();
        match tree.child(dir, name) {
            Ok(node) => tree.hold(node),
            Err(Errno(libc::ENOENT)) => Ok(entry(Node(0), Attr::default())),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, node: Node, count: u64) {
        let mut tree = self.0.lock();
        if let Ok(inode) = tree.get(node) {
            inode.lookups = inode.lookups.saturating_sub(count);
        }
        tree.reap(node);
    }

    fn getattr(&self, _: &Caller, node: Node, _: Option<Handle>) -> Reply<(Attr, Duration)> {
        Ok((self.0.lock().get(node)?.attr, TTL))
    }

    fn setattr(
        &self,
        _: &Caller,
        node: Node,
        _: Option<Handle>,
        set: &SetAttr,
    ) -> Reply<(Attr, Duration)> {
        let mut tree = self.0.lock();
        let inode = tree.get(node)?;
        if let Some(size) = set.size {
            inode.resize(usize_of(size)?);
        }
        let at = |time: SetTime| if let SetTime::At(time) = time { time } else { now() };
        let attr = &mut inode.attr;
        attr.mode = set.mode.map_or(attr.mode, |m| attr.mode & libc::S_IFMT | m & 0o7777);
        (attr.uid, attr.gid) = (set.uid.unwrap_or(attr.uid), set.gid.unwrap_or(attr.gid));
        attr.atime = set.atime.map_or(attr.atime, at);
        attr.mtime = set.mtime.map_or(attr.mtime, at);
        attr.ctime = set.ctime.unwrap_or_else(now);
        Ok((*attr, TTL))
    }

    fn readlink(&self, _: &Caller, node: Node) -> Reply<Vec<u8>> {
        Ok(self.0.lock().get(node)?.data.clone())
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
        let mut tree = self.0.lock();
        let node = tree.make(who, mode & !umask);
        tree.get(node)?.attr.rdev = rdev;
        let added = tree.add(dir, name, node);
        added.and_then(|()| tree.hold(node)).inspect_err(|_| drop(tree.inodes.remove(&node)))
    }

    fn mkdir(&self, who: &Caller, dir: Node, name: &[u8], mode: u32, umask: u32) -> Reply<Entry> {
        let entry = self.mknod(who, dir, name, libc::S_IFDIR | mode, umask, 0)?;
        self.0.lock().get(dir)?.attr.nlink += 1;
        Ok(entry)
    }

    fn symlink(&self, who: &Caller, dir: Node, name: &[u8], target: &[u8]) -> Reply<Entry> {
        let entry = self.mknod(who, dir, name, libc::S_IFLNK | 0o777, 0, 0)?;
        let mut tree = self.0.lock();
        tree.get(entry.node)?.write(0, target)?;
        Ok(Entry { attr: tree.get(entry.node)?.attr, ..entry })
    }

    fn link(&self, _: &Caller, node: Node, dir: Node, name: &[u8]) -> Reply<Entry> {
        let mut tree = self.0.lock();
        tree.add(dir, name, node)?;
        tree.get(node)?.attr.nlink += 1;
        tree.hold(node)
    }

    fn unlink(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        let mut tree = self.0.lock();
        let node = tree.remove(dir, name)?;
        tree.drop_link(node)
    }

    fn rmdir(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        let mut tree = self.0.lock();
        let node = tree.child(dir, name)?;
        if !tree.get(node)?.names.is_empty() {
            return Err(Errno(libc::ENOTEMPTY));
        }
        tree.get(dir)?.attr.nlink -= 1;
        tree.remove(dir, name)?;
        tree.drop_link(node)
    }

    fn rename(
        &self,
        _: &Caller,
        dir: Node,
        name: &[u8],
        new_dir: Node,
        new_name: &[u8],
        flags: u32,
    ) -> Reply<()> {
        let mut tree = self.0.lock();
        let old = tree.child(new_dir, new_name).ok();
        match (old, flags) {
            (Some(_), libc::RENAME_NOREPLACE) => return Err(Errno(libc::EEXIST)),
            (_, 0 | libc::RENAME_NOREPLACE) => (),
            _ => return Err(Errno(libc::EINVAL)),
        }
        let node = tree.remove(dir, name)?;
        if tree.remove(new_dir, new_name).is_ok()
            && let Some(old) = old
        {
            tree.drop_link(old)?;
        }
        tree.add(new_dir, new_name, node)
    }

    fn open(&self, _: &Caller, node: Node, flags: i32) -> Reply<Opened> {
        let mut tree = self.0.lock();
        let inode = tree.get(node)?;
        if flags & libc::O_TRUNC != 0 {
            inode.resize(0);
        }
        Ok(opened())
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
        match self.mknod(who, dir, name, libc::S_IFREG | mode, umask, 0) {
            Err(Errno(libc::EEXIST)) if flags & libc::O_EXCL == 0 => {
                let entry = self.lookup(who, dir, name)?;
                Ok((entry, self.open(who, entry.node, flags)?))
            }
            made => Ok((made?, opened())),
        }
    }

    fn tmpfile(
        &self,
        who: &Caller,
        _: Node,
        mode: u32,
        umask: u32,
        _: i32,
    ) -> Reply<(Entry, Opened)> {
        let mut tree = self.0.lock();
        let node = tree.make(who, libc::S_IFREG | mode & !umask);
        tree.get(node)?.attr.nlink = 0;
        Ok((tree.hold(node)?, opened()))
    }

    fn read(&self, _: &Caller, node: Node, _: Handle, offset: u64, buf: &mut [u8]) -> Reply<usize> {
        let mut tree = self.0.lock();
        let data = &tree.get(node)?.data;
        let from = data.get(usize_of(offset)?.min(data.len())..).unwrap_or_default();
        let len = from.len().min(buf.len());
        let (to, from) = (buf.split_at_mut(len).0, from.split_at(len).0);
        to.copy_from_slice(from);
        Ok(len)
    }

    fn write(
        &self,
        _: &Caller,
        node: Node,
        _: Handle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
    ) -> Reply<usize> {
        self.0.lock().get(node)?.write(offset, data)?;
        Ok(data.len())
    }

    fn release(&self, _: Node, _: Handle) {}

    fn fsync(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(())
    }

    fn opendir(&self, _: &Caller, _: Node, _: i32) -> Reply<Opened> {
        Ok(opened())
    }

    fn readdir(
        &self,
        _: &Caller,
        node: Node,
        _: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()> {
        let mut tree = self.0.lock();
        for (at, name) in [(1, b".".as_slice()), (2, b"..".as_slice())] {
            let item =
                DirItem { ino: node.0, next_offset: at, kind: libc::S_IFDIR, name, entry: None };
            if offset < at && !sink.push(&item) {
                return Ok(());
            }
        }
        let after = offset.saturating_add(1).max(3);
        let listed: Vec<_> = tree
            .get(node)?
            .order
            .range(after..)
            .take(512)
            .map(|(at, e)| (*at, e.clone()))
            .collect();
        for (next_offset, (name, child)) in listed {
            let inode = tree.get(child)?;
            let (ino, kind) = (child.0, inode.attr.mode & libc::S_IFMT);
            let entry = plus.then(|| entry(child, inode.attr));
            if !sink.push(&DirItem { ino, next_offset, kind, name: &name, entry }) {
                break;
            }
            inode.lookups += u64::from(plus);
        }
        Ok(())
    }

    fn releasedir(&self, _: Node, _: Handle) {}

    fn fsyncdir(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(())
    }

    fn statfs(&self, _: Node) -> Reply<Statfs> {
        let (blocks, files) = (1 << 24, self.0.lock().inodes.len() as u64);
        let room = Statfs { blocks, free: blocks, available: blocks, ..Statfs::default() };
        Ok(Statfs {
            block_size: 4096,
            files: files + (1 << 20),
            files_free: 1 << 20,
            name_max: 255,
            ..room
        })
    }

    fn getxattr(&self, _: &Caller, node: Node, name: &[u8]) -> Reply<Vec<u8>> {
        self.0.lock().get(node)?.xattrs.get(name).cloned().ok_or(Errno(libc::ENODATA))
    }

    fn listxattr(&self, _: &Caller, node: Node) -> Reply<Vec<u8>> {
        let mut tree = self.0.lock();
        let names = tree.get(node)?.xattrs.keys();
        Ok(names.flat_map(|name| name.iter().copied().chain([0])).collect())
    }

    fn setxattr(
        &self,
        _: &Caller,
        node: Node,
        name: &[u8],
        value: &[u8],
        _: u32,
        _: bool,
    ) -> Reply<()> {
        self.0.lock().get(node)?.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    fn removexattr(&self, _: &Caller, node: Node, name: &[u8]) -> Reply<()> {
        self.0.lock().get(node)?.xattrs.remove(name).map(drop).ok_or(Errno(libc::ENODATA))
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
        let mut tree = self.0.lock();
        let inode = tree.get(node)?;
        let (start, end) = (usize_of(offset)?, usize_of(offset.saturating_add(length))?);
        if mode & libc::FALLOC_FL_KEEP_SIZE == 0 && end > inode.data.len() {
            inode.resize(end);
        }
        if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
            let end = end.min(inode.data.len());
            inode.data.get_mut(start.min(end)..end).unwrap_or_default().fill(0);
        }
        Ok(())
    }

    fn lseek(&self, node: Node, _: Handle, offset: u64, whence: i32) -> Reply<u64> {
        let size = self.0.lock().get(node)?.attr.size;
        match whence {
            _ if offset >= size => Err(Errno(libc::ENXIO)),
            libc::SEEK_DATA => Ok(offset),
            _ => Ok(size),
        }
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
        let mut tree = self.0.lock();
        let source = &tree.get(from)?.data;
        let start = usize_of(from_offset)?.min(source.len());
        let end = start.saturating_add(usize_of(length)?.min(1 << 30)).min(source.len());
        let data = source.get(start..end).unwrap_or_default().to_vec();
        tree.get(to)?.write(to_offset, &data)?;
        Ok(data.len())
    }

    fn ioctl(&self, _: &Caller, _: Node, request: &Ioctl<'_>) -> Reply<(i32, Vec<u8>)> {
        let seen = (request.command, request.argument, request.on_directory);
        self.0.lock().ioctls.push(seen);
        if let Some(hook) = self.1.get() {
            hook();
        }
        Ok((0, Vec::new()))
    }
}
