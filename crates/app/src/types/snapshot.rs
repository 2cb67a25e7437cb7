//! Snapshots as the edges see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::policy::Mark;
use tintype_model::{
    AccessPoint, DeleteRule, SnapshotName, SnapshotRef, Span, Tags, VolumeKind, VolumeName,
};
use utoipa::ToSchema;

use super::{present, schema};

/// How long a snapshot is to be protected, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteWish {
    /// For ever.
    Never,
    /// Until this time.
    After(Timestamp),
    /// This long from now.
    AfterSpan(Span),
}

impl DeleteWish {
    /// The rule that the wish means at `now`.
    pub fn rule(self, now: Timestamp) -> DeleteRule {
        match self {
            Self::Never => DeleteRule::Never,
            Self::After(time) => DeleteRule::After(time),
            Self::AfterSpan(span) => DeleteRule::After(span.after(now)),
        }
    }
}

/// A wish for a new snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCreate {
    /// `volume@name` of the new snapshot.
    #[schema(value_type = schema::SnapshotRef)]
    pub snapshot: SnapshotRef,
    /// It can be written to.
    #[serde(default)]
    pub writable: bool,
    /// A snapshot of this snapshot (of the same filesystem) instead of the live filesystem.
    #[serde(default)]
    #[schema(value_type = Option<schema::SnapshotRef>)]
    pub source: Option<SnapshotRef>,
    /// Directory under `.snapshots`; by default `@GMT-...`.
    #[serde(default)]
    #[schema(value_type = Option<schema::AccessPoint>)]
    pub access_point: Option<AccessPoint>,
    /// Tags.
    #[serde(default)]
    #[schema(value_type = schema::Tags)]
    pub tags: Tags,
    /// A short text to group by.
    #[serde(default)]
    pub label: String,
    /// A longer text for people.
    #[serde(default)]
    pub description: String,
    /// Protection.
    #[serde(default)]
    #[schema(value_type = Option<schema::DeleteWish>)]
    pub delete: Option<DeleteWish>,
    /// Who asks; the user of the server when absent. It is heard on the server's socket only: elsewhere the token says it.
    #[serde(default)]
    pub user: Option<String>,
}

impl SnapshotCreate {
    /// A read-only snapshot of the live filesystem with nothing special.
    pub fn plain(snapshot: SnapshotRef) -> Self {
        Self {
            snapshot,
            writable: false,
            source: None,
            access_point: None,
            tags: Tags::default(),
            label: String::new(),
            description: String::new(),
            delete: None,
            user: None,
        }
    }
}

/// Changes of a snapshot; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotUpdate {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::SnapshotName>)]
    pub name: Option<SnapshotName>,
    /// A new directory under `.snapshots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::AccessPoint>)]
    pub access_point: Option<AccessPoint>,
    /// All tags anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Tags>)]
    pub tags: Option<Tags>,
    /// Tags to add.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = schema::Tags)]
    pub add_tags: Tags,
    /// Tags to remove.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = schema::Tags)]
    pub remove_tags: Tags,
    /// A new label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A new protection; `null` removes it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::DeleteWish>)]
    pub delete: Option<Option<DeleteWish>>,
    /// `true` makes it writable; `false` is refused for a writable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotInfo {
    /// The part behind the `@`.
    #[schema(value_type = schema::SnapshotName)]
    pub name: SnapshotName,
    /// The part before it.
    #[schema(value_type = schema::VolumeName)]
    pub volume: VolumeName,
    /// What that is.
    #[schema(value_type = schema::VolumeKind)]
    pub kind: VolumeKind,
    /// Its id in the store.
    pub id: String,
    /// When it was cut.
    pub time: Timestamp,
    /// Can it be written to?
    pub writable: bool,
    /// Its directory under `.snapshots`.
    #[schema(value_type = schema::AccessPoint)]
    pub access_point: AccessPoint,
    /// Tags, sorted.
    #[schema(value_type = schema::Tags)]
    pub tags: Tags,
    /// A short text to group by.
    pub label: String,
    /// A longer text for people.
    pub description: String,
    /// Protection: `"never"`, `{"after": TIME}` or `null`.
    #[schema(value_type = Option<schema::DeleteRule>)]
    pub delete: Option<DeleteRule>,
    /// What deleting it alone would free.
    pub reclaimable_bytes: u64,
    /// Where it was cut.
    pub host: String,
    /// Who asked for it.
    pub user: String,
    /// The id that it had when it was first cut.
    pub original: String,
    /// The id of the moment that it grew from.
    pub parent: Option<String>,
    /// The policies that it was made for, each with its class and when it was due.
    #[serde(default)]
    #[schema(value_type = Vec<schema::Mark>)]
    pub policies: Vec<Mark>,
    /// The program that cut it.
    pub program_version: String,
}

/// What deleting a set of snapshots would free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpaceInfo {
    /// The set.
    #[schema(value_type = Vec<schema::SnapshotRef>)]
    pub snapshots: Vec<SnapshotRef>,
    /// Bytes.
    pub bytes: u64,
}
