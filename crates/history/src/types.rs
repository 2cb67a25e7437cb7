//! Plain values of the versioned map: keys, records, pieces, epochs, spaces.
//!
//! They carry no meaning of the layers above: `kind`, `a`, `b` and `body` are opaque here.

use std::fmt;

/// The key of a record: 17 bytes on disk (kind, a, b; big-endian), so keys never are prefixes of each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What the record is; chosen by the layer above.
    pub kind: u8,
    /// First part, for example an inode number.
    pub a: u64,
    /// Second part, for example a name's hash or a span's number.
    pub b: u64,
}

impl Key {
    /// Bytes of an encoded key.
    pub const BYTES: usize = 17;

    /// The key of the given parts.
    #[must_use]
    pub const fn new(kind: u8, a: u64, b: u64) -> Self {
        Self { kind, a, b }
    }

    /// The smallest key above this one; `None` for the greatest key.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        if let Some(b) = self.b.checked_add(1) {
            return Some(Self { b, ..self });
        }
        if let Some(a) = self.a.checked_add(1) {
            return Some(Self { a, b: 0, ..self });
        }
        self.kind.checked_add(1).map(|kind| Self { kind, a: 0, b: 0 })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{:x}", self.kind, self.a, self.b)
    }
}

/// A stretch of history between two cuts; one counter numbers the epochs of the whole store, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// A key prefix that holds one stretch of history with one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u64);

/// A moment: what `space` showed at the end of `epoch` (or shows now, when the epoch is open).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The space.
    pub space: SpaceId,
    /// The last epoch that is visible.
    pub epoch: Epoch,
}

/// References of one record to consecutive blocks of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Position of the first block inside the record's span (meaning belongs to the layer above).
    pub at: u16,
    /// Number of blocks, at least 1.
    pub len: u16,
    /// The extent; 0 stands for blocks that are reserved but never written (they read as zeroes).
    pub extent: u64,
    /// Index of the first block in the extent.
    pub first: u16,
    /// Epoch in which this reference was made.
    pub birth: Epoch,
}

/// One version of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Epoch in which this version was written.
    pub birth: Epoch,
    /// Content, opaque here.
    pub body: Box<[u8]>,
    /// References to data, sorted by `at`, not overlapping in `at`.
    pub pieces: Box<[Piece]>,
    /// An older version of the key may exist below this one (conservative: it may have gone since).
    pub over: bool,
}

impl Piece {
    /// The reference of the block at position `at`, if this piece covers it: (extent, index, birth).
    #[must_use]
    pub fn block(&self, at: u16) -> Option<(u64, u16, Epoch)> {
        let step = at.checked_sub(self.at)?;
        (step < self.len).then(|| (self.extent, self.first.saturating_add(step), self.birth))
    }
}
