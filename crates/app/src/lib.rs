//! The use cases: everything that can be asked of Tintype, in one facade that all edges call.
//!
//! [`App`] opens a store folder and joins store, filesystems and mounts. It knows no HTTP and no terminal;
//! it reaches the kernel and the network only through the ports [`Mounter`] and [`DiskServer`]. Records go in and come out ([`types`]); failures are
//! few kinds with an object and a remedy ([`AppError`]).

mod access;
mod at_rest;
mod change_lists;
mod checks;
mod compare;
mod convert;
mod disks;
mod error;
mod events;
mod export;
mod exports;
mod figures;
mod filesystems;
mod folder;
mod import;
mod jobs;
mod mounts;
mod naming;
mod numbers;
mod once;
mod open;
mod policies;
mod port;
mod progress;
mod quotas;
mod room;
mod scrub;
mod snapshot_copy;
mod snapshots;
mod tally;
mod tasks;
mod trees;
pub mod types;
mod upkeep;
mod which;

pub use access::{ACCESS_SECONDS, Caller, REFRESH_SECONDS};
pub use error::{AppError, AppResult, ErrorKind};
pub use events::{Bell, EventNews, EventPlace};
pub use exports::{ExportBlocks, ExportId, OpenExport};
pub use folder::{FORMAT, Holder, read_holder};
pub use naming::AccessPointNaming;
pub use once::{Once, OnceKey, OnceRun};
pub use open::{App, AppOptions, fsck_unopened};
pub use policies::{Clock, PolicyRunner, RunReport, SystemClock};
pub use port::{DiskServer, DiskUris, Mount, MountError, Mounter, NoMounter};
pub use progress::Progress;
pub use tasks::{TaskRun, TaskWish};
pub use tintype_store::stop::{Stop, until};
pub use which::{WhichFilesystem, WhichSnapshot};
