//! Plain values that every other crate speaks: ids, names, sizes, durations, tags, delete rules,
//! metadata of volumes and snapshots, limits, filters, rules of retention, policies.
//!
//! The bottom of the workspace: it knows no I/O, no clock and no wire. Whoever needs "now" passes it in.

pub mod error;
pub mod filter;
pub mod ids;
pub mod limits;
pub mod moment;
pub mod names;
pub mod policy;
pub mod retention;
pub mod rule;
pub mod size;
pub mod snapshot;
pub mod span;
pub mod tags;
pub mod volume;

pub use error::ModelError;
pub use filter::SnapshotFilter;
pub use ids::{SnapshotId, VolumeId};
pub use limits::SnapshotLimits;
pub use names::{
    AccessPoint, MomentName, SnapshotName, SnapshotRef, TokenName, UserName, VolumeName,
};
pub use rule::DeleteRule;
pub use size::ByteSize;
pub use snapshot::SnapshotMeta;
pub use span::Span;
pub use tags::Tags;
pub use volume::{Compression, VolumeKind, VolumeMeta};
