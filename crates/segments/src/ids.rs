//! The plain values of this crate: ids, owners, the wish for compression, and the fixed sizes.
//!
//! No behaviour beyond small conversions; the formats that carry these values are in `frame` and `stored`.

use std::fmt;

/// Bytes of a block, the unit in which space is shared.
pub const BLOCK: usize = 4096;
/// The most blocks that an extent holds.
pub const EXTENT_BLOCKS: usize = 32;
/// The most owners that a frame names.
pub const OWNERS_MAX: usize = 256;

/// Names an extent for ever; never used twice in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtentId(pub u64);

/// Names a segment; grows with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for ExtentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who wrote a piece of an extent, so that a segment can be understood without the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The space (line) of the owner.
    pub space: u64,
    /// The object in it: an inode, or the block map of a disk.
    pub object: u64,
    /// The first block of the object that the piece holds, in blocks.
    pub first_block: u64,
    /// Number of blocks.
    pub count: u32,
    /// Index of the piece's first block in the extent, 0 to 31.
    pub index: u8,
}

/// How extents should be compressed. What is stored may still be raw, when compression saves less than 1/8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Never compress.
    Off,
    /// LZ4: fast.
    #[default]
    Lz4,
    /// Zstandard with a level from 1 to 19; others are brought into this range.
    Zstd(i32),
}
