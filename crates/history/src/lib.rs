//! The versioned map: spaces, epochs, points, changes, reclaim.
//!
//! Sits on the key-value port and below `store`. It keeps every version of every record that some moment needs, and
//! knows exactly which ones no moment needs any more. It does not know inodes, blocks' contents, users' names, or when to sync.
//!
//! Architecture invariants:
//! - Birth epochs are global; a space's own births lie above its fork epoch.
//! - What is due is derived from spaces, points, heads and cells, never stored.
//! - A block reference is freed exactly once: by the batch, list or drop that ends its life.

mod cells;
pub mod codec;
mod error;
mod history;
mod merge;
mod near;
pub mod read;
mod reclaim;
mod thin;
mod tombstones;
mod tree;
mod types;
mod usage;

pub use cells::Cells;
pub use error::{HistoryError, Result};
pub use history::{BLOCK_BYTES, Base, Blocks, Change, History, Moved, Output};
pub use read::Chain;
pub use reclaim::{TouchedPart, visit_touched};
pub use tree::{Removal, Sequence, Space, Tree, Work};
pub use types::{Epoch, Key, Piece, Point, Record, SpaceId};
pub use usage::FamilySums;
