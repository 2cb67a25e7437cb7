//! Snapshots: their files, and how people name them.

mod file;
mod find;

pub use file::{DeleteOption, SnapshotFile, SnapshotSummary};
pub use find::{SnapshotRequest, find_snapshot};
