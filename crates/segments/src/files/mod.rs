//! The port to the place where segment files are, and its adapters.
//!
//! A port of plain file deeds with `std::io::Error`: it knows ids and bytes, not frames. The contract below is
//! checked on every adapter by one suite.

mod folder;
mod memory;

pub use folder::FolderFiles;
pub use memory::MemoryFiles;

use std::io;

use crate::SegmentId;

/// A place for append-only files.
///
/// A missing file is [`io::ErrorKind::NotFound`] for every deed.
pub trait SegmentFiles: Send + Sync + 'static {
    /// Creates an empty file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one.
    fn create(&self, id: SegmentId) -> io::Result<()>;

    /// Writes `parts` one after the other at `offset`, which is the end of the file.
    ///
    /// # Errors
    /// On failure any part of the bytes may have been written.
    fn write_at(&self, id: SegmentId, offset: u64, parts: &[&[u8]]) -> io::Result<()>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before.
    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Length of the file in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self, id: SegmentId) -> io::Result<u64>;

    /// Makes the bytes of this file durable, and the names of all files created or removed before.
    ///
    /// # Errors
    /// After a failure nothing is known about the bytes written since the last success.
    fn sync(&self, id: SegmentId) -> io::Result<()>;

    /// Replaces the file by a durable copy of what reading it gives, plus `tail`. After a crash there is the
    /// old file or the whole new one.
    ///
    /// # Errors
    /// The old file stays.
    fn rewrite(&self, id: SegmentId, tail: &[u8]) -> io::Result<()>;

    /// Makes the bytes of this file durable where they are. Later reads show what lies on the disk: nothing of it that only memory
    /// holds since a sync failed.
    ///
    /// # Errors
    /// Those of the operating system.
    fn settle(&self, id: SegmentId) -> io::Result<()>;

    /// Removes the file. A reader that has begun may finish.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, id: SegmentId) -> io::Result<()>;

    /// All files, in any order.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self) -> io::Result<Vec<SegmentId>>;
}
