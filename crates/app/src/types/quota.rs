//! Quotas of directories as the edges see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::Span;
use utoipa::ToSchema;

use super::{present, schema};

/// A wish for a quota; what is absent stays as it is, `null` removes a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaSet {
    /// Bytes that are never passed.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub hard: Option<Option<u64>>,
    /// Bytes that may be passed for the time of grace.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub soft: Option<Option<u64>>,
    /// How long the soft limit may be passed; without it the soft limit only warns.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Span>)]
    pub grace: Option<Option<Span>>,
    /// Whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// How far a quota is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotaState {
    /// It counts everything below its directory.
    Active,
    /// It still counts what was there when it was set.
    Counting,
}

/// The quota of a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuotaInfo {
    /// The directory, from the root of the filesystem.
    pub path: String,
    /// Its bytes in hexadecimal digits, when they are no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The inode of the directory.
    pub inode: u64,
    /// Bytes that are never passed.
    pub hard: Option<u64>,
    /// Bytes that may be passed for the time of grace.
    pub soft: Option<u64>,
    /// How long the soft limit may be passed.
    #[schema(value_type = Option<schema::Span>)]
    pub grace: Option<Span>,
    /// Whom it belongs to.
    pub owner: String,
    /// Bytes that files below refer to: 4,096 for each mapped or reserved block.
    pub used_bytes: u64,
    /// Files and directories below, the directory included.
    pub inodes: u64,
    /// Since when the soft limit is passed.
    pub soft_since: Option<Timestamp>,
    /// How far it is.
    pub state: QuotaState,
    /// What its owner should know.
    pub warnings: Vec<String>,
}
