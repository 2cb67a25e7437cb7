//! Small requests and answers of the native API.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tintype_model::{SnapshotName, SnapshotRef, VolumeName};
use utoipa::ToSchema;

use super::{DiskInfo, FsInfo, schema};

/// Nothing has to be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Where to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MountRequest {
    /// An absolute path.
    #[schema(value_type = String)]
    pub dir: PathBuf,
}

/// A set of snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSet {
    /// `volume@name` each.
    #[schema(value_type = Vec<schema::SnapshotRef>)]
    pub snapshots: Vec<SnapshotRef>,
}

/// What to do with the present state when restoring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Keep it as a snapshot of this name.
    #[serde(default)]
    #[schema(value_type = Option<schema::SnapshotName>)]
    pub keep: Option<SnapshotName>,
}

/// A volume of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum VolumeInfo {
    /// A filesystem.
    Filesystem(FsInfo),
    /// A disk.
    Disk(DiskInfo),
}

impl VolumeInfo {
    /// Its name.
    pub const fn name(&self) -> &VolumeName {
        match self {
            Self::Filesystem(info) => &info.name,
            Self::Disk(info) => &info.name,
        }
    }
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestoreInfo {
    /// The filesystem as it is now, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FsInfo>,
    /// The disk as it is now, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskInfo>,
    /// The snapshot that it became.
    #[schema(value_type = schema::SnapshotRef)]
    pub restored: SnapshotRef,
    /// The snapshot that keeps what was there before.
    #[schema(value_type = Option<schema::SnapshotRef>)]
    pub kept: Option<SnapshotRef>,
}

/// A wish for a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneRequest {
    /// Name of the new volume.
    #[schema(value_type = schema::VolumeName)]
    pub name: VolumeName,
    /// Mount it there, now and at every start.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub mount: Option<PathBuf>,
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedInfo {
    /// Names: `volume` or `volume@name`.
    pub deleted: Vec<String>,
}

/// What to sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Only this filesystem; all when absent.
    #[serde(default)]
    #[schema(value_type = Option<schema::VolumeName>)]
    pub filesystem: Option<VolumeName>,
}

/// What is durable now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncInfo {
    /// The filesystems whose dirty pages were flushed.
    #[schema(value_type = Vec<schema::VolumeName>)]
    pub synced: Vec<VolumeName>,
}

/// How to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FsckRequest {
    /// Repair what can be repaired.
    #[serde(default)]
    pub repair: bool,
    /// Check every snapshot too.
    #[serde(default)]
    pub all: bool,
}

/// The server is about to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShutdownInfo {
    /// Its process.
    pub stopped: u32,
}
