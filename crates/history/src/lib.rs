//! The versioned map: spaces, epochs, points, changes, reclaim. Knows no inodes, blocks or names.
pub mod types;
pub use types::{Epoch, Key, Piece, Point, Record, SpaceId};
