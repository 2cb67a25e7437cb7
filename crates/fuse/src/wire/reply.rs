//! Replies to the kernel, encoded.
//!
//! Small answers are built in a [`Small`] (no allocation); directory listings go through
//! [`Listing`] straight into the reply buffer. Writing past the end of either is impossible:
//! a `Small` is larger than the largest fixed answer, and a full `Listing` refuses the entry.

use std::time::Duration;

use tintype_fs::vfs::{Attr, DirItem, DirSink, Entry, Opened, Statfs, Time};

use super::abi::{DIRENT, ENTRY_OUT, OUT_HEADER, fopen};

/// Room of a [`Small`]: the longest fixed answer is `statx` with 288 bytes.
const SMALL: usize = 288;
/// The block size that `stat` shows.
const BLOCK_SIZE: u32 = 4096;
/// `STATX_BASIC_STATS | STATX_BTIME`.
const STATX_ALL: u32 = 0xfff;

/// A short answer under construction.
#[derive(Clone, Debug)]
pub struct Small {
    bytes: [u8; SMALL],
    len: usize,
}

impl Default for Small {
    fn default() -> Self {
        Self { bytes: [0; SMALL], len: 0 }
    }
}

impl Small {
    /// The bytes so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
        self
    }

    fn u16(self, value: u16) -> Self {
        self.put(&value.to_ne_bytes())
    }

    /// Appends a 32-bit number.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.put(&value.to_ne_bytes())
    }

    /// Appends a 64-bit number.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.put(&value.to_ne_bytes())
    }

    fn time(self, time: Time) -> Self {
        self.u64(time.secs.cast_unsigned()).u32(time.nanos).u32(0)
    }

    /// Appends attributes in the form of `getattr`.
    #[must_use]
    pub fn attr(self, attr: &Attr) -> Self {
        let secs = |time: Time| time.secs.cast_unsigned();
        self.u64(attr.ino)
            .u64(attr.size)
            .u64(attr.blocks)
            .u64(secs(attr.atime))
            .u64(secs(attr.mtime))
            .u64(secs(attr.ctime))
            .u32(attr.atime.nanos)
            .u32(attr.mtime.nanos)
            .u32(attr.ctime.nanos)
            .u32(attr.mode)
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid)
            .u32(attr.rdev)
            .u32(BLOCK_SIZE)
            .u32(0)
    }

    /// The answer to `getattr` and `setattr`.
    #[must_use]
    pub fn attr_out(self, attr: &Attr, ttl: Duration) -> Self {
        self.u64(ttl.as_secs()).u32(ttl.subsec_nanos()).u32(0).attr(attr)
    }

    /// The answer to a lookup or a creation.
    #[must_use]
    pub fn entry(self, entry: &Entry) -> Self {
        self.u64(entry.node.0)
            .u64(0)
            .u64(entry.entry_ttl.as_secs())
            .u64(entry.attr_ttl.as_secs())
            .u32(entry.entry_ttl.subsec_nanos())
            .u32(entry.attr_ttl.subsec_nanos())
            .attr(&entry.attr)
    }

    /// The answer to an open of a file.
    #[must_use]
    pub fn opened(self, opened: &Opened) -> Self {
        let bit = |on: bool, bits: u32| if on { bits } else { 0 };
        let flags = bit(opened.direct, fopen::DIRECT_IO | fopen::PARALLEL_DIRECT_WRITES)
            | bit(opened.keep_cache, fopen::KEEP_CACHE)
            | bit(opened.no_flush, fopen::NOFLUSH);
        self.u64(opened.handle.0).u32(flags).u32(0)
    }

    /// The answer to an open of a directory.
    #[must_use]
    pub fn opened_dir(self, opened: &Opened) -> Self {
        let flags = if opened.keep_cache { fopen::KEEP_CACHE | fopen::CACHE_DIR } else { 0 };
        self.u64(opened.handle.0).u32(flags).u32(0)
    }

    /// The answer to `statx`, with birth time.
    #[must_use]
    pub fn statx(self, attr: &Attr, ttl: Duration) -> Self {
        let major = (attr.rdev & 0xf_ff00) >> 8;
        let minor = (attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xf_ff00);
        self.u64(ttl.as_secs())
            .u32(ttl.subsec_nanos())
            .u32(0)
            .put(&[0; 16])
            .u32(STATX_ALL)
            .u32(BLOCK_SIZE)
            .u64(attr.flags)
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid)
            .u16(u16::try_from(attr.mode & 0xffff).unwrap_or_default())
            .u16(0)
            .u64(attr.ino)
            .u64(attr.size)
            .u64(attr.blocks)
            .u64(attr.flags)
            .time(attr.atime)
            .time(attr.btime)
            .time(attr.ctime)
            .time(attr.mtime)
            .u32(major)
            .u32(minor)
            .put(&[0; 8 + 14 * 8])
    }

    /// The answer to `statfs`.
    #[must_use]
    pub fn statfs(self, st: &Statfs) -> Self {
        self.u64(st.blocks)
            .u64(st.free)
            .u64(st.available)
            .u64(st.files)
            .u64(st.files_free)
            .u32(st.block_size)
            .u32(st.name_max)
            .u32(st.block_size)
            .put(&[0; 4 + 6 * 4])
    }
}

/// The header of a reply of `body` bytes; `error` is 0 or a negative error number (or, for a
/// notification, its code).
#[must_use]
pub fn header(body: usize, error: i32, unique: u64) -> [u8; OUT_HEADER] {
    let len = u32::try_from(OUT_HEADER + body).unwrap_or(u32::MAX);
    let mut out = [0; OUT_HEADER];
    let fields =
        len.to_ne_bytes().into_iter().chain(error.to_ne_bytes()).chain(unique.to_ne_bytes());
    for (to, from) in out.iter_mut().zip(fields) {
        *to = from;
    }
    out
}

/// A directory listing that is being written into a reply buffer.
#[derive(Debug)]
pub struct Listing<'a> {
    room: &'a mut [u8],
    used: usize,
    plus: bool,
}

impl<'a> Listing<'a> {
    /// An empty listing; `plus` carries attributes with each name.
    #[must_use]
    pub fn new(room: &'a mut [u8], plus: bool) -> Self {
        Self { room, used: 0, plus }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    fn parts(&self, item: &DirItem<'_>) -> Small {
        let kind = (item.kind & libc::S_IFMT) >> 12;
        let len = u32::try_from(item.name.len()).unwrap_or(u32::MAX);
        let small = match (&item.entry, self.plus) {
            (_, false) => Small::default(),
            (Some(entry), true) => Small::default().entry(entry),
            (None, true) => Small::default().put(&[0; ENTRY_OUT]),
        };
        small.u64(item.ino).u64(item.next_offset).u32(len).u32(kind)
    }
}

impl DirSink for Listing<'_> {
    fn push(&mut self, item: &DirItem<'_>) -> bool {
        let fixed = DIRENT + if self.plus { ENTRY_OUT } else { 0 };
        let size = (fixed + item.name.len()).next_multiple_of(8);
        let head = self.parts(item);
        let Some(room) = self.room.get_mut(self.used..self.used + size) else { return false };
        let (start, tail) = room.split_at_mut(fixed);
        let (name, padding) = tail.split_at_mut(item.name.len());
        start.copy_from_slice(head.bytes());
        name.copy_from_slice(item.name);
        padding.fill(0);
        self.used += size;
        true
    }
}
