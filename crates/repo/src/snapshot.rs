//! Snapshots: their files, and how people name them.

mod file;
mod find;
mod modify;

pub use file::{DeleteOption, SnapshotFile, SnapshotSummary};
pub use find::{SnapshotRequest, find_snapshot};
pub use modify::{SnapshotModification, modify_snapshot};
