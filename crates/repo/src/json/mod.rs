//! JSON exactly as Go's `encoding/json` writes it, and a small reader of it.
//!
//! Blobs are named by the hash of their bytes, so trees and snapshots must be written byte for byte like restic's. This module
//! holds what differs from other JSON writers (escapes, quoted names, times) and a cursor over text that never builds a value
//! tree. What a tree or a node is stands in `tree`.

pub(crate) mod cursor;
pub(crate) mod number;
mod printable;
mod printable_table;
pub(crate) mod quote;
pub(crate) mod string;
pub(crate) mod time;
pub(crate) mod time_read;
mod zone;

pub use time::GoTime;
pub use time_read::NotATime;
pub use zone::LocalZone;
