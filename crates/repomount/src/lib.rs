//! The snapshots of a repository as a tree of files to look into: [`RepoTree`] answers the calls of the seam [`tintype_fs::vfs`].
//!
//! Above the snapshots stand folders by id, time, host and tag (`catalog`), which follow what is in the repository. Everything inside a
//! snapshot never changes, so the kernel may keep it. The crate knows neither FUSE nor terminals, and changes nothing in the repository;
//! the lock is the caller's.
//!
//! Memory does not grow with the repository: numbers of nodes say where they stand (`numbers`), so only directories that the kernel holds are
//! remembered; directories and chunks are read when they are needed and kept within bounds (`stock`, `cache`), very large directories in a
//! sealed file (`listing`).
//!
//! Trees come from repositories that others can write: names that would lead elsewhere, or come twice, are never shown.

mod attributes;
mod cache;
mod catalog;
mod entries;
mod handles;
mod listing;
mod numbers;
mod serve;
mod snapshots;
mod spill;
mod stock;
mod tree;

pub use snapshots::Filter;
pub use tree::{RepoTree, TreeOptions};
