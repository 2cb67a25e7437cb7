//! Requests of the kernel, as values.
//!
//! An [`Op`] borrows names and written data from the request's bytes; `decode.rs` makes it. This
//! module does no work of its own and cannot fail.

use tintype_fs::vfs::{Caller, Handle, Node, SetAttr, WriteFlags};

use super::cursor::{Cursor, Malformed};

/// The part in front of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole request in bytes.
    pub len: u32,
    /// Operation code.
    pub opcode: u32,
    /// Names the request; the reply repeats it.
    pub unique: u64,
    /// The node that the operation is about.
    pub node: Node,
    /// Who asks.
    pub who: Caller,
}

impl Header {
    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`Malformed`] when there are fewer than 40 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(bytes);
        let (len, opcode, unique, node) = (at.u32()?, at.u32()?, at.u64()?, Node(at.u64()?));
        let who = Caller { uid: at.u32()?, gid: at.u32()?, pid: at.u32()? };
        at.u32()?; // length of extensions, which are not negotiated; padding
        Ok(Self { len, opcode, unique, node, who })
    }
}

/// What was agreed at the start and changes how requests look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// `setxattr` comes in its longer form.
    pub setxattr_ext: bool,
}

/// Operations whose answer is written straight into the reply buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// Read file content.
    Read {
        /// From this open file.
        handle: Handle,
        /// From this byte on.
        offset: u64,
        /// At most this many bytes.
        size: u32,
    },
    /// List a directory.
    Readdir {
        /// The open directory.
        handle: Handle,
        /// Behind this entry.
        offset: u64,
        /// At most this many bytes.
        size: u32,
        /// With attributes, as if each name had been looked up.
        plus: bool,
    },
}

/// One operation; fields are named as in [`tintype_fs::vfs::Vfs`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Op<'a> {
    Bulk(Bulk),
    Lookup {
        name: &'a [u8],
    },
    Forget {
        count: u64,
    },
    BatchForget {
        pairs: &'a [u8],
    },
    Getattr {
        handle: Option<Handle>,
    },
    Statx {
        handle: Option<Handle>,
    },
    Setattr {
        handle: Option<Handle>,
        set: SetAttr,
    },
    Readlink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    Mknod {
        name: &'a [u8],
        mode: u32,
        umask: u32,
        rdev: u32,
    },
    Mkdir {
        name: &'a [u8],
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    Rmdir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_dir: Node,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: Node,
        name: &'a [u8],
    },
    Open {
        flags: i32,
        kill_suid: bool,
    },
    Create {
        name: &'a [u8],
        mode: u32,
        umask: u32,
        flags: i32,
    },
    Tmpfile {
        mode: u32,
        umask: u32,
        flags: i32,
    },
    Write {
        handle: Handle,
        offset: u64,
        data: &'a [u8],
        flags: WriteFlags,
    },
    Statfs,
    Release {
        handle: Handle,
        flags: i32,
    },
    Fsync {
        handle: Handle,
        data_only: bool,
    },
    Setxattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
        kill_sgid: bool,
    },
    Getxattr {
        name: &'a [u8],
        size: u32,
    },
    Listxattr {
        size: u32,
    },
    Removexattr {
        name: &'a [u8],
    },
    Flush {
        handle: Handle,
    },
    Opendir {
        flags: i32,
    },
    Releasedir {
        handle: Handle,
    },
    Fsyncdir {
        handle: Handle,
        data_only: bool,
    },
    Ioctl {
        command: u32,
        argument: u64,
        input: &'a [u8],
        out_size: u32,
        on_directory: bool,
    },
    Fallocate {
        handle: Handle,
        offset: u64,
        length: u64,
        mode: i32,
    },
    Lseek {
        handle: Handle,
        offset: u64,
        whence: i32,
    },
    CopyRange {
        from: Handle,
        from_offset: u64,
        to: Node,
        to_handle: Handle,
        to_offset: u64,
        length: u64,
        wide: bool,
    },
    Syncfs,
    Interrupt,
    Destroy,
    Unknown,
}

/// The (node, count) pairs of a [`Op::BatchForget`].
pub fn forget_pairs(pairs: &[u8]) -> impl Iterator<Item = (Node, u64)> + '_ {
    pairs.chunks_exact(16).filter_map(|pair| {
        let mut at = Cursor::new(pair);
        Some((Node(at.u64().ok()?), at.u64().ok()?))
    })
}
