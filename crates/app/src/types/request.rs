//! Small requests and answers of the native API.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tintype_model::{SnapshotName, SnapshotRef, VolumeName};

use super::{DiskInfo, FsInfo};

/// Where to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountRequest {
    /// An absolute path.
    pub dir: PathBuf,
}

/// A set of snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSet {
    /// `volume@name` each.
    pub snapshots: Vec<SnapshotRef>,
}

/// What to do with the present state when restoring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Keep it as a snapshot of this name.
    #[serde(default)]
    pub keep: Option<SnapshotName>,
}

/// A volume of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreInfo {
    /// The filesystem as it is now, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FsInfo>,
    /// The disk as it is now, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskInfo>,
    /// The snapshot that it became.
    pub restored: SnapshotRef,
    /// The snapshot that keeps what was there before.
    pub kept: Option<SnapshotRef>,
}

/// A wish for a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneRequest {
    /// Name of the new volume.
    pub name: VolumeName,
    /// Mount it there, now and at every start.
    #[serde(default)]
    pub mount: Option<PathBuf>,
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedInfo {
    /// Names: `volume` or `volume@name`.
    pub deleted: Vec<String>,
}

/// What to sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Only this filesystem; all when absent.
    #[serde(default)]
    pub filesystem: Option<VolumeName>,
}

/// What is durable now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncInfo {
    /// The filesystems whose dirty pages were flushed.
    pub synced: Vec<VolumeName>,
}

/// How to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownInfo {
    /// Its process.
    pub stopped: u32,
}
