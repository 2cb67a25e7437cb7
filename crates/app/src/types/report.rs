//! State of the server and results of checks as the edges see them.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::VolumeName;
use utoipa::ToSchema;

use super::schema;

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MountInfo {
    /// Its name.
    #[schema(value_type = schema::VolumeName)]
    pub filesystem: VolumeName,
    /// Where.
    #[schema(value_type = String)]
    pub dir: PathBuf,
    /// How the kernel reaches us: `dev-fuse` or `io-uring`.
    pub transport: String,
}

/// A job in the background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobInfo {
    /// `reclaim`, `clean`, `scrub`, ...
    pub name: String,
    /// Units done.
    pub done: u64,
    /// Units in all, as far as known.
    pub total: u64,
}

/// How the server and its store are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusInfo {
    /// Version of the server.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started: Timestamp,
    /// The folder of the store.
    #[schema(value_type = String)]
    pub store: PathBuf,
    /// Where it listens: paths of sockets and TCP addresses.
    pub addresses: Vec<String>,
    /// `ok`, or why the store accepts no more changes.
    pub health: String,
    /// Number of filesystems.
    pub filesystems: u64,
    /// Number of disks.
    pub disks: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes on disk that cleaning can still win back.
    pub dead_bytes: u64,
    /// Bytes written to mounts and not yet durable.
    pub dirty_bytes: u64,
    /// What is mounted.
    pub mounts: Vec<MountInfo>,
    /// What runs in the background.
    pub jobs: Vec<JobInfo>,
    /// Filesystems that should be mounted and are not, and policies that could not do what is due, with the reason.
    pub problems: Vec<String>,
    /// What is nearly used up: quotas of filesystems and of directories.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What helps those who help. No secret is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SupportInfo {
    /// What the server was started with.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// What there is to watch.
    pub figures: Figures,
    /// The last lines of the log, the oldest first.
    pub log: Vec<String>,
}

/// What there is to watch: numbers that cost nothing to ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// The store takes changes.
    pub healthy: bool,
    /// When the server was started, in seconds since 1970.
    pub started: u64,
    /// Filesystems.
    pub filesystems: u64,
    /// Disks.
    pub disks: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Mounted filesystems.
    pub mounts: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes on disk that cleaning can still win back.
    pub dead_bytes: u64,
    /// Bytes written to mounts and not yet durable.
    pub dirty_bytes: u64,
    /// Steps of the background that are due.
    pub reclaim_due: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Jobs that run.
    pub jobs: u64,
    /// Tasks that run.
    pub tasks_running: u64,
    /// Mounts and policies that are not as they should be.
    pub problems: u64,
    /// Quotas that are nearly used up, as of the last minute.
    pub quota_warnings: u64,
    /// Bytes that the store may take.
    pub quota: Option<u64>,
    /// Bytes that can still be written.
    pub free_bytes: Option<u64>,
    /// Connections to disks.
    pub disk_connections: u64,
}

/// A store: how much it may take and does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreInfo {
    /// Its folder.
    #[schema(value_type = String)]
    pub store: PathBuf,
    /// Bytes that it may take on disk.
    pub quota: Option<u64>,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes that programs can still write, as quota and disk allow.
    pub free_bytes: Option<u64>,
    /// What is nearly used up.
    pub warnings: Vec<String>,
}

/// Changes of a store; what is absent stays, `null` removes a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreUpdate {
    /// Bytes that it may take on disk.
    #[serde(default, deserialize_with = "super::present", skip_serializing_if = "Option::is_none")]
    pub quota: Option<Option<u64>>,
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FsckFinding {
    /// What it is about.
    pub object: String,
    /// What is wrong.
    pub problem: String,
    /// Was it repaired?
    pub repaired: bool,
}

/// The result of `fsck`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FsckInfo {
    /// Nothing is wrong, or everything was repaired.
    pub clean: bool,
    /// What was checked, in numbers.
    pub checked: std::collections::BTreeMap<String, u64>,
    /// What was found.
    pub findings: Vec<FsckFinding>,
}

/// The result of `scrub`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScrubInfo {
    /// Nothing is damaged.
    pub clean: bool,
    /// Bytes read and verified.
    pub bytes: u64,
    /// What is damaged.
    pub findings: Vec<FsckFinding>,
}
