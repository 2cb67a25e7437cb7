//! Numbers of the kernel's FUSE protocol, version 7.
//!
//! Facts of the kernel interface (`linux/fuse.h`), under our own names where the kernel's would be
//! cryptic. Only what this crate uses stands here; no code, nothing that could go wrong.

/// Major version that this crate speaks.
pub const MAJOR: u32 = 7;
/// Newest minor version that this crate understands.
pub const MINOR: u32 = 45;
/// Oldest minor version that this crate accepts (Linux 5.4): before it, pages per request and
/// explicit invalidation cannot be negotiated.
pub const OLDEST_MINOR: u32 = 31;

/// Bytes of the header in front of every request.
pub const IN_HEADER: usize = 40;
/// Bytes of the header in front of every reply.
pub const OUT_HEADER: usize = 16;
/// Bytes of an encoded entry (`fuse_entry_out`).
pub const ENTRY_OUT: usize = 128;
/// Bytes of an encoded directory entry before its name.
pub const DIRENT: usize = 24;
/// The page size that `max_pages` counts in.
pub const PAGE: usize = 4096;

/// Operation codes.
pub mod op {
    #![allow(missing_docs)] // the names are those of the system calls that they serve
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const ACCESS: u32 = 34;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const IOCTL: u32 = 39;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const SYNCFS: u32 = 50;
    pub const TMPFILE: u32 = 51;
    pub const STATX: u32 = 52;
    pub const COPY_FILE_RANGE_64: u32 = 53;
}

/// Abilities that both sides announce at the start of a connection.
pub mod init {
    /// Several reads of one file at a time.
    pub const ASYNC_READ: u64 = 1;
    /// `O_TRUNC` arrives with the open.
    pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
    /// Writes of more than one page.
    pub const BIG_WRITES: u64 = 1 << 5;
    /// The server applies the umask (default ACLs replace it).
    pub const DONT_MASK: u64 = 1 << 6;
    /// ioctls on directories.
    pub const HAS_IOCTL_DIR: u64 = 1 << 11;
    /// Directory listing with attributes.
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    /// ... when the kernel thinks that it pays.
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    /// Asynchronous direct I/O.
    pub const ASYNC_DIO: u64 = 1 << 15;
    /// The kernel keeps dirty pages and times.
    pub const WRITEBACK_CACHE: u64 = 1 << 16;
    /// Lookups and listings of one directory in parallel.
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    /// ACLs are checked by the kernel.
    pub const POSIX_ACL: u64 = 1 << 20;
    /// Reading an aborted connection says so.
    pub const ABORT_ERROR: u64 = 1 << 21;
    /// `max_pages` is meant.
    pub const MAX_PAGES: u64 = 1 << 22;
    /// Symlink targets are cached.
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    /// Directories need no open.
    pub const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    /// Pages go only when the server says so.
    pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
    /// The server clears set-id bits where the kernel says so.
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    /// The longer form of `setxattr`.
    pub const SETXATTR_EXT: u64 = 1 << 29;
    /// 64 ability bits instead of 32.
    pub const INIT_EXT: u64 = 1 << 30;
    /// Shared mappings of files opened for direct I/O.
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
    /// Requests travel through io_uring.
    pub const OVER_IO_URING: u64 = 1 << 41;
}

/// `setattr`: which fields are meant.
pub mod fattr {
    #![allow(missing_docs)]
    pub const MODE: u32 = 1;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const CTIME: u32 = 1 << 10;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// What an open answers.
pub mod fopen {
    #![allow(missing_docs)]
    pub const DIRECT_IO: u32 = 1;
    pub const KEEP_CACHE: u32 = 1 << 1;
    pub const CACHE_DIR: u32 = 1 << 3;
    pub const NOFLUSH: u32 = 1 << 5;
    pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// `getattr`: the file handle is meant.
pub const GETATTR_FH: u32 = 1;
/// `open`, `create`: clear set-id bits.
pub const OPEN_KILL_SUIDGID: u32 = 1;
/// `write`: comes from the page cache.
pub const WRITE_CACHE: u32 = 1;
/// `write`: clear set-id bits.
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// `fsync`: content only.
pub const FSYNC_FDATASYNC: u32 = 1;
/// `setxattr`: an ACL that clears set-group-id.
pub const SETXATTR_ACL_KILL_SGID: u32 = 1;
/// `ioctl`: the target is a directory.
pub const IOCTL_DIR: u32 = 1 << 4;
/// Notification: forget pages and attributes.
pub const NOTIFY_INVAL_INODE: i32 = 2;
/// Notification: forget a name.
pub const NOTIFY_INVAL_ENTRY: i32 = 3;
/// Notification: forget all names (Linux 6.16).
pub const NOTIFY_INC_EPOCH: i32 = 8;
