//! Disks as the edges see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_image::Format;
use tintype_model::{Compression, MomentName, SnapshotName, VolumeName};
use utoipa::ToSchema;

use super::{DiffRange, present, schema};

/// A wish for a new disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskCreate {
    /// Its name.
    #[schema(value_type = schema::VolumeName)]
    pub name: VolumeName,
    /// Bytes; a multiple of 512.
    pub size: u64,
    /// Limit of live data in bytes, whoever shares it: a disk may be larger than what it may hold.
    #[serde(default)]
    pub quota: Option<u64>,
    /// Limit of live data and snapshots together in bytes.
    #[serde(default)]
    pub capacity: Option<u64>,
    /// How new data is compressed.
    #[serde(default)]
    #[schema(value_type = schema::Compression)]
    pub compression: Compression,
}

/// Changes of a disk; what is absent stays, `null` removes a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::VolumeName>)]
    pub name: Option<VolumeName>,
    /// A new size in bytes. What lies behind a smaller one is gone, but for snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
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

/// A disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskInfo {
    /// Its name.
    #[schema(value_type = schema::VolumeName)]
    pub name: VolumeName,
    /// Its id in the store.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Bytes that the device shows. None when a damaged or stopped store cannot tell.
    #[schema(required = true)]
    pub size: Option<u64>,
    /// Limit of live data in bytes.
    pub quota: Option<u64>,
    /// Limit of live data and snapshots together in bytes.
    pub capacity: Option<u64>,
    /// How new data is compressed.
    #[schema(value_type = schema::Compression)]
    pub compression: Compression,
    /// Number of its snapshots.
    pub snapshots: u64,
    /// Bytes that the device refers to: 4,096 for each mapped or reserved block, whoever shares them.
    pub referenced_bytes: Option<u64>,
    /// Bytes of live data and records that no other volume shares.
    pub live_bytes: u64,
    /// Bytes that only snapshots hold.
    pub snapshot_bytes: u64,
    /// The name of the image that it holds to the byte: it was imported, and nothing was written since.
    #[serde(default)]
    pub image: Option<String>,
    /// An image is being read into it.
    #[serde(default)]
    pub importing: bool,
    /// Where NBD clients on this machine find it, when the server serves disks.
    #[serde(default)]
    pub nbd_uri: Option<String>,
    /// Where NBD clients find it through TCP, when the server listens there.
    #[serde(default)]
    pub nbd_network_uri: Option<String>,
}

/// A wish for a disk that holds what an image does, or for a disk that goes on to what a delta says.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskImport {
    /// Its name.
    pub name: VolumeName,
    /// The format; found out when absent.
    pub format: Option<Format>,
    /// Take a delta upon something else than what it says it goes upon.
    pub force: bool,
    /// Limit of live data and snapshots together in bytes.
    pub capacity: Option<u64>,
    /// How new data is compressed.
    pub compression: Compression,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskImported {
    /// The disk as it is now.
    pub disk: DiskInfo,
    /// The format of the image.
    pub format: String,
    /// The image that a delta went upon.
    pub base: Option<String>,
    /// Bytes of data that were written.
    pub written_bytes: u64,
}

/// A wish for an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageWish {
    /// What it is to hold.
    pub moment: MomentName,
    /// The format.
    pub format: Format,
    /// Only what differs from here.
    pub base: Option<MomentName>,
    /// Snapshots of the disk that go with it, inside of the image.
    pub snapshots: Vec<SnapshotName>,
}

/// What is known of an image before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHead {
    /// Bytes of the image, when known.
    pub length: Option<u64>,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of the disk that hold data, about.
    pub data: u64,
    /// What its file may be called.
    pub file_name: String,
    /// The name that it carries.
    pub uuid: String,
}

/// A moment to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// `disk` or `disk@snapshot`.
    #[schema(value_type = schema::MomentName)]
    pub moment: MomentName,
}

/// What differs between two moments of a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskChanges {
    /// The first moment.
    #[schema(value_type = schema::MomentName)]
    pub from: MomentName,
    /// The second.
    #[schema(value_type = schema::MomentName)]
    pub to: MomentName,
    /// Bytes of the device at the second moment.
    pub size: u64,
    /// Offsets and lengths are multiples of this many bytes, but for the end of the device.
    pub granularity: u64,
    /// What differs, ascending.
    pub ranges: Vec<DiffRange>,
}

/// What a verification read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskVerified {
    /// The moment.
    #[schema(value_type = schema::MomentName)]
    pub moment: MomentName,
    /// Everything could be read and fits.
    pub clean: bool,
    /// Bytes of data that were read and whose checksums fit.
    pub bytes: u64,
    /// What is wrong, each with its range.
    pub findings: Vec<super::FsckFinding>,
}
