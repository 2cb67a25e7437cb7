//! Disks: block devices of a fixed size over a store's volume, with moments.
//!
//! [`Disk`] is the writable end of a line (a volume's live end or a writable snapshot), [`DiskView`] one fixed moment; both answer the
//! same questions through [`Blocks`]. [`changes`] names what differs between two moments, from the same records that serve
//! reads. Nothing here knows NBD, image formats, or how the store keeps records.
//!
//! Architecture invariants:
//! - Space is mapped in blocks of 4 KiB; what no map names reads as zeroes.
//! - No map names a block behind the disk's end, and bytes behind the end in the last block are zero: growing shows zeroes.
//! - Content moves outside of the disk's lock; blocks on disk never change, so what was resolved stays right.

mod changes;
mod check;
mod disk;
mod error;
mod extents;
mod head;
mod holders;
mod keys;
mod resize;
mod trim;
mod view;
mod write;

pub use changes::{ByteRange, Kept, changes};
pub use check::{CheckProblem, CheckReport, check};
pub use disk::{Disk, Hold, create};
pub use error::{DiskError, Result};
pub use extents::{Allocation, Run};
pub use head::{SECTOR, SIZE_MAX};
pub use holders::{holders, holders_at};
pub use tintype_store::compare::Equal;
pub use tintype_store::limits::{Space, SpaceProbe};
pub use view::{Blocks, DiskView};
