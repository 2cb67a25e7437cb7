//! Writing pieces of a new file past the kernel's cache, where the file can be written so; else through it.
//!
//! What is written past the cache costs no copy, and is on the disk but for the disk's own cache: the sync at the end has little to wait for. It works
//! for whole units only, so the last piece is filled up with zeroes, and whoever owns the file cuts it. Several threads may write; when one finds that
//! the file cannot be written so, all go on through the cache, for good.

use std::fs::File;
use std::io::{self, Error};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Places, lengths and memory are multiples of it.
pub(super) const UNIT: usize = 4096;
/// Bytes after which the kernel is asked to begin with its writing.
const BEGIN: u64 = 32 << 20;

/// Bytes in memory that begins where a unit does.
pub(super) struct Buffer {
    space: Vec<u8>,
    skip: usize,
    len: usize,
    max: usize,
}

impl Buffer {
    /// An empty one for `max` bytes, whole units.
    pub fn new(max: usize) -> Self {
        let space = vec![0; max.next_multiple_of(UNIT) + UNIT];
        // Where the allocator cannot say, the kernel refuses, and the cache is used.
        let skip = space.as_ptr().align_offset(UNIT).min(UNIT);
        Self { space, skip, len: 0, max }
    }

    /// Takes as many bytes as there is room for; how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.max - self.len);
        let from = self.skip + self.len;
        if let Some((to, bytes)) = self.space.get_mut(from..from + count).zip(bytes.get(..count)) {
            to.copy_from_slice(bytes);
        }
        self.len += count;
        count
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_full(&self) -> bool {
        self.len == self.max
    }

    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Zeroes up to the end of a unit.
    pub fn fill_up(&mut self) {
        let end = self.len.next_multiple_of(UNIT);
        let rest = self.space.get_mut(self.skip + self.len..self.skip + end);
        rest.unwrap_or(&mut []).fill(0);
        self.len = end;
    }

    fn bytes(&self) -> &[u8] {
        self.space.get(self.skip..self.skip + self.len).unwrap_or(&[])
    }
}

/// A file that is written. Its flags become again what they were.
pub(super) struct Direct {
    file: File,
    before: OFlags,
}

impl Direct {
    pub fn new(file: File) -> Self {
        let before = fcntl_getfl(&file).unwrap_or(OFlags::empty());
        // A file system that cannot do it refuses here, or at the first write.
        let _ = fcntl_setfl(&file, before | OFlags::DIRECT);
        Self { file, before }
    }

    /// Writes a piece.
    pub fn write(&self, at: u64, piece: &Buffer) -> io::Result<()> {
        let whole = at.is_multiple_of(UNIT as u64) && piece.len().is_multiple_of(UNIT);
        if !whole {
            self.through_the_cache();
        }
        match self.file.write_all_at(piece.bytes(), at) {
            Err(error) if refuses(&error) && whole => {
                self.through_the_cache();
                self.file.write_all_at(piece.bytes(), at)?;
            }
            written => written?,
        }
        self.begin(at, at + piece.len() as u64);
        Ok(())
    }

    /// Ends the file.
    pub fn end(&self, length: u64) -> io::Result<()> {
        self.through_the_cache();
        self.file.set_len(length)
    }

    fn through_the_cache(&self) {
        let _ = fcntl_setfl(&self.file, self.before);
    }

    /// What lies in the cache goes on its way to the disk.
    fn begin(&self, from: u64, to: u64) {
        let end = to / BEGIN * BEGIN;
        if end > from {
            // Only a wish: where it is not heard, the sync at the end does it all.
            let _ = fadvise(
                &self.file,
                end.saturating_sub(BEGIN),
                NonZeroU64::new(BEGIN),
                Advice::DontNeed,
            );
        }
    }
}

/// Whether a write failed only because it went past the cache.
fn refuses(error: &Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].contains(&Errno::from_io_error(error).unwrap_or(Errno::IO))
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.through_the_cache();
    }
}
