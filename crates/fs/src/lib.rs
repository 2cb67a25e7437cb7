//! The filesystem: POSIX files and directories over a store's volume, and `.snapshots`.
pub mod vfs;
