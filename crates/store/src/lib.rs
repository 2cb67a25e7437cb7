//! A store: volumes over history and segments.
//!
//! Opens a store from its two engines; gives lines to write, moments to read, snapshots to name; runs commits and background work.
//! Knows blocks, extents and names; does not know POSIX, FUSE, NBD or HTTP.
//!
//! Architecture invariants:
//! - A segment is synced before the batch that points into it is written.
//! - One commit is one batch; the state after a crash is the state at some commit.
//! - Rows of the extent table change only under the core lock.

mod ancestry;
mod background;
pub mod blockmap;
mod cache;
mod clean;
mod commit;
pub mod compare;
pub mod content;
mod documents;
mod error;
mod extents;
mod fsck;
mod fsck_rows;
mod holds;
pub mod limits;
mod lines;
mod live;
mod merge;
mod meta;
mod moment;
pub mod patch;
mod pins;
mod ram;
mod refs;
mod room;
mod scrub;
mod shared;
mod snapshots;
mod status;
pub mod stop;
mod store;
mod usage;
mod volumes;

pub use documents::DocumentChange;
pub use error::{Result, StoreError};
pub use fsck::FsckReport;
pub use fsck_rows::fsck_unopened;
pub use lines::{LineOwner, LineRef};
pub use live::LiveLine;
pub use meta::{Place, Snapshot, Volume};
pub use moment::{Moment, View, Visit};
pub use pins::{Fixed, Loan};
pub use scrub::{Damage, ScrubReport};
pub use shared::{BlockReader, chain_text};
pub use status::{Progress, StoreStatus};
pub use store::{MomentRef, NewSnapshot, NewVolume, Store, StoreOptions};
pub use tintype_history::{Epoch, Key, Piece, Point, Record, SpaceId};

/// Bytes of a block: the unit in which space is shared.
pub const BLOCK: usize = 4096;
/// Blocks of a span: one record of a block map.
pub const SPAN_BLOCKS: u64 = 32;
pub use usage::Usage;
