//! The restic-format repository: encrypted, deduplicated backups that restic and rustic read, and theirs by us.
//!
//! Layers inside, each using only those before it:
//! ids and ciphers (`id`, `crypto`, `compress`), the forms of files (`config`, `keyfile`, `pack`, `index`, `tree`, `snapshot`), the
//! port to the place where files lie (`backend`), the open repository (`repository`), and what is done with it.
//!
//! It knows nothing of stores, volumes, servers or terminals. Formats follow restic's `doc/design.rst`, versions 1 and 2.

mod backend;
mod backup;
mod check;
mod chunker;
mod compress;
mod config;
mod copy;
mod crypto;
mod diff;
mod error;
mod exclude;
mod expand;
mod forget;
#[cfg(any(test, feature = "fuzzing"))]
pub mod hostile;
mod id;
mod index;
mod json;
mod keyfile;
mod local;
mod lock;
mod lookup;
mod merge;
mod pack;
mod parallel;
mod progress;
mod prune;
mod reach;
mod recover;
mod repair;
mod repository;
mod restore;
mod retention;
mod rewrite;
mod rewriter;
mod snapshot;
mod threads;
mod tree;
mod watch;
mod writer;

pub use backend::{
    Access, Backend, BackendError, Cached, Clock, FileKind, Limits, LocalFolder, Location,
    MemoryBackend, NotALocation, NotAnOption, Notice, Patience, PlaceOptions, Rclone, RestBackend,
    RestOptions, RestUrl, Retrying, Secret, SystemClock, Trouble, open_location, variables,
};
pub use backup::{
    BackupOptions, BackupProgress, GitUser, IgnoreChange, Marker, Saved, StreamFile,
    absolute_paths, backup, backup_stream,
};
pub use check::{
    CheckOptions, CheckProgress, FINDINGS_MAX, Finding, Mend, NotASubset, ReadData, Report,
    Severity, check,
};
pub use chunker::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Chunks, Cutter, NotAPolynomial, Polynomial};
pub use compress::Level;
pub use config::{Config, ConfigError, Version};
pub use copy::{Copied, CopyOptions, CopyProgress, copy_snapshots, same_cuts};
pub use crypto::MasterKey;
pub use diff::{Difference, NodeChange, diff_trees};
pub use error::{RepoError, Result};
pub use exclude::{Excludes, NotAPattern};
pub use expand::expand;
pub use forget::{ForgetPlan, plan_forget, remove_snapshots, split_protected};
pub use id::{BlobId, Id, IndexId, KeyId, LockId, NotAnId, PackId, SnapshotId};
pub use index::{Found, Index, IndexBuilder, IndexFile, IndexedBlob, IndexedPack};
pub use json::{GoTime, LocalZone, NotATime};
pub use keyfile::{KeyFile, KeyFileError};
pub use local::{
    DeviceIds, EntryName, LocalDir, LocalError, LocalNode, LocalReader, LocalWarning, LocalWriter,
    NameCache, Names, Ownership, ReadOptions, Step, SystemNames, WriteOptions, create_dir,
    create_hard_link, create_special, create_symlink, open_dir,
};
pub use lock::{Lock, LockFile, LockMode, LockWait, read_locks, remove_locks};
pub use lookup::{Place, look_up, read_tree, walk};
pub use merge::{MergeOptions, Merged, merge_snapshots};
pub use pack::{BlobKind, PackedBlob};
pub use progress::MendProgress;
pub use prune::{
    Amount, Decision, Limit, NotALimit, PruneDone, PruneOptions, PrunePlan, PruneStats, plan_prune,
    prune,
};
pub use recover::{Recovered, recover};
pub use repair::{
    IndexRepair, IndexRepairOptions, Loss, LossKind, PackOutcome, PackRepair, PackRepairOptions,
    SnapshotRepair, SnapshotRepairOptions, Unreadable, readable_snapshots, repair_index,
    repair_packs, repair_snapshots,
};
pub use repository::{Actor, Repository};
pub use restore::{
    DamagedDir, IncompleteFile, MissingPart, Overwrite, RestoreOptions, RestoreProgress,
    RestoreReport, restore,
};
pub use retention::{GroupBy, GroupKey, Judged, NotAGrouping, group_snapshots, judge};
pub use rewrite::{RewriteOptions, RewriteReport, rewrite_snapshots};
pub use snapshot::{
    DeleteOption, SnapshotFile, SnapshotModification, SnapshotRequest, SnapshotSummary,
    find_snapshot, modify_snapshot,
};
pub use tintype_model::moment::{Moment, NotAMoment};
pub use tintype_model::retention::{
    KeepCount, KeepOptions, KeepSpan, NotACount, NotASpan, Period, Reason,
};
pub use tree::{
    Damage, ExtendedAttribute, GoMode, NameProblem, Node, NodeKind, TreeDecoder, TreeEncoder,
    TreeError, TreeProblem, decode_tree, encode_tree, reencodes_identically,
};
pub use watch::{EntryFailure, Stop, Stoppable};
pub use writer::{Added, BlobOptions, BlobWriter, Scratch, Written};
