//! How to mount: plain values with defaults that suit a single writer.

use std::num::NonZeroUsize;

use crate::wire::init::Wish;

/// Which way requests are wanted to travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// io_uring where the kernel offers it, else `/dev/fuse`.
    #[default]
    Auto,
    /// `/dev/fuse`, always.
    Dev,
    /// io_uring or an error.
    Uring,
}

/// Which way requests do travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Reads and writes of `/dev/fuse`.
    Dev,
    /// Commands of io_uring.
    Uring,
}

/// Everything about a mount except where it is and what it shows.
#[derive(Clone, Debug)]
pub struct Options {
    /// The source that `mount` and `df` show.
    pub fsname: String,
    /// `Some("tintype")` shows the type `fuse.tintype`, `None` plain `fuse`.
    pub subtype: Option<String>,
    /// Refuse all changes in the kernel.
    pub read_only: bool,
    /// Let other users in (as root always possible, else only if `/etc/fuse.conf` permits).
    pub allow_other: bool,
    /// The kernel checks the rights of files; otherwise whoever may enter the mount may do all that the tree allows.
    pub permissions: bool,
    /// Ignore set-user-id bits of files on this mount.
    pub nosuid: bool,
    /// Ignore device nodes on this mount.
    pub nodev: bool,
    /// The transport.
    pub transport: Choice,
    /// Let the kernel keep dirty pages: small writes become large ones.
    pub writeback: bool,
    /// List with attributes only where the kernel thinks that it pays; else always.
    pub readdirplus_auto: bool,
    /// Do not open directories: listings arrive with handle 0.
    pub no_opendir: bool,
    /// Tell the tree when a descriptor is closed: one more request per close.
    pub flush: bool,
    /// Threads on `/dev/fuse`; default: two per processor, at least four.
    pub threads: Option<NonZeroUsize>,
    /// Requests in service at once per processor under io_uring (one thread each); default: 64
    /// divided by the processors, between 2 and 8.
    pub depth: Option<NonZeroUsize>,
    /// Requests that the kernel may have in flight on its own account (read-ahead, writeback).
    pub max_background: u16,
    /// Largest write and read in bytes, a multiple of 4096.
    pub max_write: u32,
    /// Read-ahead in KiB, set after mounting where permitted; `None` keeps the kernel's 128.
    pub read_ahead_kib: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsname: "tintype".to_owned(),
            subtype: Some("tintype".to_owned()),
            read_only: false,
            allow_other: true,
            permissions: true,
            nosuid: false,
            nodev: false,
            transport: Choice::Auto,
            writeback: false,
            readdirplus_auto: false,
            no_opendir: false,
            flush: false,
            threads: None,
            depth: None,
            max_background: 64,
            max_write: 1 << 20,
            read_ahead_kib: Some(4096),
        }
    }
}

impl Options {
    pub(crate) fn wish(&self, uring: bool) -> Wish {
        Wish {
            writeback: self.writeback,
            readdirplus_auto: self.readdirplus_auto,
            no_opendir: self.no_opendir,
            uring,
            max_write: self.max_write.clamp(4096, 1 << 20) & !4095,
            max_background: self.max_background.max(4),
        }
    }

    pub(crate) fn dev_threads(&self) -> usize {
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or((cpus * 2).max(4), NonZeroUsize::get)
    }

    pub(crate) fn queue_depth(&self, queues: usize) -> usize {
        self.depth.map_or((64 / queues.max(1)).clamp(2, 8), NonZeroUsize::get)
    }
}
