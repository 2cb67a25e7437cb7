//! Data segments: where the bytes of volumes lie.
//!
//! Data is packed into append-only segment files. The unit is the *extent*: up to 32 blocks of 4096 bytes
//! that were written together, compressed as one when that helps, framed with its id and its owners, and
//! checksummed. [`Segments`] appends, syncs, reads and walks them; [`SegmentFiles`] is the port to the place
//! where the files are, with [`FolderFiles`] for a local folder and [`MemoryFiles`] for tests.
//!
//! This crate does not know files, snapshots or which extents still matter; it keeps no table of
//! extents: the caller keeps the [`Stored`] of each. It is safe because every read is verified against checksums
//! that travel with `Stored`, bound to the extent's id, and because segments are never rewritten in place.
//!
//! The bytes on disk are described in `frame` (segment files) and `stored` (records).

mod codec;
mod encode;
mod error;
mod files;
mod frame;
mod frames;
mod ids;
mod segments;
mod stored;
mod varint;

pub use encode::{Encoded, encode, encode_bytes};
pub use error::SegmentsError;
pub use files::{FolderFiles, MemoryFiles, SegmentFiles};
pub use frames::{FrameInfo, Frames};
pub use ids::{BLOCK, Codec, EXTENT_BLOCKS, ExtentId, OWNERS_MAX, Owner, SegmentId};
pub use segments::{Options, SegmentInfo, Segments};
pub use stored::{Place, Stored, StoredCodec};
