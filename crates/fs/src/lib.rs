//! The filesystem: POSIX files and directories over a store's volume, and `.snapshots`.
//!
//! [`Mounted`] answers the calls of the [`vfs::Vfs`] seam from a volume of the store; [`diff`]
//! names what changed between two moments; [`check`] compares all that a moment holds. Nothing here
//! knows FUSE or how the store keeps records.

mod acl;
mod allocate;
mod attributes;
mod caller;
mod calls;
mod check;
mod copy;
mod create;
mod diff;
mod dircache;
mod dirent;
mod edit;
mod error;
mod holders;
mod inode;
mod ioctl;
mod keeper;
mod keys;
mod leaving;
mod listing;
mod moments;
mod mounted;
mod names;
mod negatives;
mod nodes;
mod notices;
mod patch;
mod paths;
mod place;
mod quota;
mod quota_admin;
mod quota_edit;
#[cfg(test)]
mod quota_tests;
mod quota_walk;
mod quotas;
mod read;
mod reading;
mod remove;
mod rename;
mod resize;
mod resolve;
mod seek;
mod serve;
mod snapdir;
mod state;
mod superblock;
mod tree;
pub mod vfs;
mod wire;
mod write;
mod xattrs;

use tintype_store::{blockmap as blocks, limits};

pub use check::{CheckProblem, CheckReport, check};
pub use diff::{Change, Changed, DiffEntry, DiffPage, DiffPlace, Object, diff, diff_page};
pub use error::FsError;
pub use holders::{Holder, holders, holders_at};
pub use mounted::{Mounted, TreeUsage, usage};
pub use paths::paths_of;
pub use quota::{OWNER_MAX, QuotaLimits};
pub use quota_admin::{QuotaReport, QuotaStatus, quotas};
pub use tintype_store::limits::{Space, SpaceProbe};
