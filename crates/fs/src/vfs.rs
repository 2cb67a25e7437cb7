//! The seam between a file tree and whatever shows it to programs.
//!
//! `Vfs` speaks POSIX: nodes, handles, callers, error numbers. It knows no FUSE; the `fuse` crate
//! turns the kernel's requests into these calls, and `Mounted` (this crate) answers them from a
//! volume. The bench crate's in-memory floor implements the same trait, so that both transports
//! can be measured without an engine behind them.
//!
//! Every call is synchronous and may run on many threads at once. Nothing here panics on hostile
//! input: names and offsets come from other programs.

use std::time::Duration;

/// A POSIX error number (`libc::ENOENT` and friends); always positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a tree that is only read answers to changes.
pub const READ_ONLY: Errno = Errno(libc::EROFS);

/// The result of every call.
pub type Reply<T> = Result<T, Errno>;

/// What the kernel calls a node: chosen by the server, stable while the kernel remembers it.
/// The root of the mount is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u64);

/// The root of the mount.
pub const ROOT: Node = Node(1);

/// An open file or directory, chosen by the server at open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User id (the kernel sends the file-system uid).
    pub uid: u32,
    /// Group id (the file-system gid).
    pub gid: u32,
    /// Process, or 0 when the kernel itself asks (writeback, read-ahead).
    pub pid: u32,
}

/// A point in time: seconds since 1970 and nanoseconds below one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub secs: i64,
    /// 0 ..= 999,999,999.
    pub nanos: u32,
}

/// Attributes as `statx` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr {
    /// The inode number that programs see; distinct for each (moment, inode) of a mount.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Allocated space in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of attributes or content.
    pub ctime: Time,
    /// Birth.
    pub btime: Time,
    /// File type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, in the kernel's 32-bit encoding (`new_encode_dev`).
    pub rdev: u32,
    /// `STATX_ATTR_*` bits (immutable, append-only, ...).
    pub flags: u64,
}

/// What a lookup or a creation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The node; the kernel's reference count on it grows by one (see [`Vfs::forget`]).
    /// `Node(0)` with `ENOENT` semantics: a negative entry that the kernel may cache.
    pub node: Node,
    /// Its attributes.
    pub attr: Attr,
    /// How long the kernel may trust the name.
    pub entry_ttl: Duration,
    /// How long the kernel may trust the attributes.
    pub attr_ttl: Duration,
}

/// What an open answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The handle that later calls carry.
    pub handle: Handle,
    /// Keep the page cache that the kernel has of this file (or of this directory's listing).
    pub keep_cache: bool,
    /// Bypass the page cache.
    pub direct: bool,
    /// The kernel need not send `flush` for this handle.
    pub no_flush: bool,
}

/// How a time is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// To the server's clock.
    Now,
    /// To this.
    At(Time),
}

/// The fields of `setattr` that are present are set, all at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits (type bits are ignored).
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size: truncate or extend.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
    /// New change time: only the kernel's writeback cache sends it.
    pub ctime: Option<Time>,
    /// Clear set-user-id and set-group-id (and the capability xattr) as for a write.
    pub kill_suid: bool,
}

/// One write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// It comes from the kernel's page cache (writeback), so no set-id clearing by caller.
    pub from_cache: bool,
    /// The caller lacks the right to keep set-id bits: clear them.
    pub kill_suid: bool,
    /// `O_*` flags of the open file.
    pub open_flags: i32,
}

/// `statfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statfs {
    /// Size of the units below, in bytes.
    pub block_size: u32,
    /// Total units.
    pub blocks: u64,
    /// Free units.
    pub free: u64,
    /// Units free to unprivileged users.
    pub available: u64,
    /// Total inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
}

/// One directory entry on its way to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct DirItem<'a> {
    /// Inode number as shown by `readdir`.
    pub ino: u64,
    /// Pass this as `offset` to go on behind this entry.
    pub next_offset: u64,
    /// File type bits of `st_mode` (`S_IFREG` ...).
    pub kind: u32,
    /// The name.
    pub name: &'a [u8],
    /// Present for `readdir_plus`, absent for "." and "..": counts as a lookup.
    pub entry: Option<Entry>,
}

/// Collects directory entries until the kernel's buffer is full.
pub trait DirSink {
    /// Takes one entry; `false` means that it did not fit and was not taken.
    fn push(&mut self, item: &DirItem<'_>) -> bool;
}

/// An ioctl as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Ioctl<'a> {
    /// The command number.
    pub command: u32,
    /// The raw argument: a pointer in the caller's address space.
    pub argument: u64,
    /// Input bytes that the kernel copied.
    pub input: &'a [u8],
    /// Room for output.
    pub out_size: u32,
    /// The target is a directory.
    pub on_directory: bool,
}

/// A tree that can be shown through a mount.
///
/// Permission checks by mode bits and ACLs are the kernel's (`default_permissions`); what the
/// kernel leaves to the server (sticky directories are the kernel's; set-id clearing, xattr
/// namespaces, immutable files) is the implementation's. `umask` arrives separately because default ACLs
/// replace it.
///
/// Calls that change something are refused with `EROFS` unless a tree says otherwise: one that is only read has none of them.
#[allow(unused_variables)]
pub trait Vfs: Send + Sync + 'static {
    /// Finds `name` in `dir`. "." and ".." arrive only for exports.
    fn lookup(&self, who: &Caller, dir: Node, name: &[u8]) -> Reply<Entry>;
    /// The kernel drops `count` references to `node`.
    fn forget(&self, node: Node, count: u64);
    /// Attributes and how long they may be trusted.
    fn getattr(&self, who: &Caller, node: Node, handle: Option<Handle>) -> Reply<(Attr, Duration)>;
    /// Changes attributes.
    fn setattr(
        &self,
        who: &Caller,
        node: Node,
        handle: Option<Handle>,
        set: &SetAttr,
    ) -> Reply<(Attr, Duration)> {
        Err(READ_ONLY)
    }
    /// Target of a symlink.
    fn readlink(&self, who: &Caller, node: Node) -> Reply<Vec<u8>>;
    /// Makes a file, fifo, socket or device node.
    fn mknod(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        mode: u32,
        umask: u32,
        rdev: u32,
    ) -> Reply<Entry> {
        Err(READ_ONLY)
    }
    /// Makes a directory.
    fn mkdir(&self, who: &Caller, dir: Node, name: &[u8], mode: u32, umask: u32) -> Reply<Entry> {
        Err(READ_ONLY)
    }
    /// Makes a symlink.
    fn symlink(&self, who: &Caller, dir: Node, name: &[u8], target: &[u8]) -> Reply<Entry> {
        Err(READ_ONLY)
    }
    /// Makes a hard link to `node`.
    fn link(&self, who: &Caller, node: Node, dir: Node, name: &[u8]) -> Reply<Entry> {
        Err(READ_ONLY)
    }
    /// Removes a name that is not a directory.
    fn unlink(&self, who: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// Removes an empty directory.
    fn rmdir(&self, who: &Caller, dir: Node, name: &[u8]) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// Renames; `flags` are `RENAME_NOREPLACE`, `RENAME_EXCHANGE`, `RENAME_WHITEOUT`.
    fn rename(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        new_dir: Node,
        new_name: &[u8],
        flags: u32,
    ) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// Opens a file.
    fn open(&self, who: &Caller, node: Node, flags: i32) -> Reply<Opened>;
    /// Creates and opens a file; opens it when it exists and `O_EXCL` is not set.
    fn create(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        mode: u32,
        umask: u32,
        flags: i32,
    ) -> Reply<(Entry, Opened)> {
        Err(READ_ONLY)
    }
    /// Creates and opens a file without a name (`O_TMPFILE`).
    fn tmpfile(
        &self,
        who: &Caller,
        dir: Node,
        mode: u32,
        umask: u32,
        flags: i32,
    ) -> Reply<(Entry, Opened)> {
        Err(READ_ONLY)
    }
    /// Reads into `buf`; fewer bytes than asked only at the end of the file.
    fn read(
        &self,
        who: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        buf: &mut [u8],
    ) -> Reply<usize>;
    /// Writes all of `data` or fails.
    fn write(
        &self,
        who: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Reply<usize> {
        Err(READ_ONLY)
    }
    /// A descriptor is closed.
    fn flush(&self, who: &Caller, node: Node, handle: Handle) -> Reply<()> {
        Ok(())
    }
    /// The last descriptor of the handle is gone.
    fn release(&self, node: Node, handle: Handle);
    /// Returns when everything about the file, and all that happened before it, is durable.
    fn fsync(&self, who: &Caller, node: Node, handle: Handle, data_only: bool) -> Reply<()>;
    /// Opens a directory.
    fn opendir(&self, who: &Caller, node: Node, flags: i32) -> Reply<Opened>;
    /// Lists entries behind `offset` (0 = from the start, with "." and "..") into `sink`.
    fn readdir(
        &self,
        who: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()>;
    /// The last descriptor of the directory handle is gone.
    fn releasedir(&self, node: Node, handle: Handle);
    /// As `fsync`, for a directory.
    fn fsyncdir(&self, who: &Caller, node: Node, handle: Handle, data_only: bool) -> Reply<()>;
    /// Space and limits.
    fn statfs(&self, node: Node) -> Reply<Statfs>;
    /// Value of an extended attribute; `ENODATA` when absent.
    fn getxattr(&self, who: &Caller, node: Node, name: &[u8]) -> Reply<Vec<u8>>;
    /// Names of all extended attributes, each followed by a zero byte.
    fn listxattr(&self, who: &Caller, node: Node) -> Reply<Vec<u8>>;
    /// Sets one; `flags` are `XATTR_CREATE`, `XATTR_REPLACE`. `kill_sgid`: an ACL change by
    /// someone outside the owning group clears set-group-id.
    fn setxattr(
        &self,
        who: &Caller,
        node: Node,
        name: &[u8],
        value: &[u8],
        flags: u32,
        kill_sgid: bool,
    ) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// Removes one.
    fn removexattr(&self, who: &Caller, node: Node, name: &[u8]) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// `fallocate` modes 0, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE.
    fn fallocate(
        &self,
        who: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Reply<()> {
        Err(READ_ONLY)
    }
    /// `SEEK_DATA` and `SEEK_HOLE`; `ENXIO` behind the end.
    fn lseek(&self, node: Node, handle: Handle, offset: u64, whence: i32) -> Reply<u64>;
    /// Copies a range inside the mount, sharing blocks where it can; returns the bytes copied.
    #[allow(clippy::too_many_arguments)]
    fn copy_file_range(
        &self,
        who: &Caller,
        from: Node,
        from_handle: Handle,
        from_offset: u64,
        to: Node,
        to_handle: Handle,
        to_offset: u64,
        length: u64,
    ) -> Reply<usize> {
        Err(READ_ONLY)
    }
    /// An ioctl; the answer is (result, output bytes). `ENOTTY` when unknown.
    fn ioctl(&self, who: &Caller, node: Node, request: &Ioctl<'_>) -> Reply<(i32, Vec<u8>)> {
        Err(Errno(libc::ENOTTY))
    }
}

/// What the server may tell the kernel on its own: implemented by each transport, given to the
/// tree after mounting so that restores and shutdowns leave nothing stale behind.
pub trait Invalidate: Send + Sync + 'static {
    /// Forget pages and attributes of `node` (`len` 0 = to the end, all pages).
    fn inode(&self, node: Node, offset: u64, len: u64);
    /// Forget the attributes of `node`, and keep its pages. Never waits: it may be called from within a request.
    fn attributes(&self, node: Node);
    /// Forget the name `name` in `dir`.
    fn entry(&self, dir: Node, name: &[u8]);
    /// Forget every name at once; `false` when the kernel cannot, so that each is withdrawn alone.
    fn all_names(&self) -> bool {
        false
    }
}
