//! Filesystems as the edges see them.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::{Compression, VolumeName};
use utoipa::ToSchema;

use super::{present, schema};

/// A wish for a new filesystem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FsCreate {
    /// Its name.
    #[schema(value_type = schema::VolumeName)]
    pub name: VolumeName,
    /// Limit of live data in bytes.
    #[serde(default)]
    pub quota: Option<u64>,
    /// Limit of live data and snapshots together in bytes.
    #[serde(default)]
    pub capacity: Option<u64>,
    /// How new data is compressed.
    #[serde(default)]
    #[schema(value_type = schema::Compression)]
    pub compression: Compression,
    /// Mount it there, now and at every start.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub mount: Option<PathBuf>,
}

/// Changes of a filesystem; what is absent stays, `null` removes a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FsUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::VolumeName>)]
    pub name: Option<VolumeName>,
    /// Limit of live data.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub quota: Option<Option<u64>>,
    /// Limit of live data and snapshots together.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Option<u64>>,
    /// How new data is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Compression>)]
    pub compression: Option<Compression>,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FsInfo {
    /// Its name.
    #[schema(value_type = schema::VolumeName)]
    pub name: VolumeName,
    /// Its id in the store.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Limit of live data in bytes.
    pub quota: Option<u64>,
    /// Limit of live data and snapshots together in bytes.
    pub capacity: Option<u64>,
    /// How new data is compressed.
    #[schema(value_type = schema::Compression)]
    pub compression: Compression,
    /// Where it is mounted at every start.
    #[schema(value_type = Option<String>)]
    pub mount: Option<PathBuf>,
    /// Is it mounted now?
    pub mounted: bool,
    /// Number of its snapshots.
    pub snapshots: u64,
    /// Bytes that live files refer to: 4,096 for each mapped or reserved block. The quota limits
    /// these. None when a damaged or stopped store cannot tell.
    #[serde(default)]
    pub referenced_bytes: Option<u64>,
    /// Bytes of live data and records that no other filesystem shares.
    pub live_bytes: u64,
    /// Bytes that only snapshots hold.
    pub snapshot_bytes: u64,
    /// What is nearly used up.
    #[serde(default)]
    pub warnings: Vec<String>,
}
