//! Policies as the edges see them. Documents are those of `tintype_model::policy`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::policy::{Class, Mark, PolicyDocument, PolicyName};
use tintype_model::{SnapshotRef, VolumeName};
use utoipa::ToSchema;

use super::schema;
use crate::error::AppError;

/// A policy to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = schema::PolicyDocument)]
pub struct PolicyWish(pub PolicyDocument);

/// A JSON merge patch (RFC 7396) of a policy's document: what is absent stays, `null` takes a part away. The name stays, and so do volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct PolicyPatch(pub serde_json::Value);

/// A policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyInfo {
    /// Its name.
    #[schema(value_type = schema::PolicyName)]
    pub name: PolicyName,
    /// Does it make snapshots?
    pub enabled: bool,
    /// For people.
    pub description: String,
    /// What it is attached to.
    #[schema(value_type = Vec<schema::VolumeName>)]
    pub volumes: Vec<VolumeName>,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// Its class then.
    #[schema(value_type = Option<schema::Class>)]
    pub next_class: Option<Class>,
    /// What failed at the last run.
    pub problems: Vec<String>,
    /// What its document asks for that nothing does.
    pub notes: Vec<String>,
    /// All of it, as it is written in documents.
    #[schema(value_type = schema::PolicyDocument)]
    pub policy: PolicyDocument,
}

/// A wish for a run now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRunRequest {
    /// For which class; needed when there are several.
    #[serde(default)]
    #[schema(value_type = Option<schema::Class>)]
    pub class: Option<Class>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRun {
    /// Snapshots that were made.
    #[schema(value_type = Vec<schema::SnapshotRef>)]
    pub made: Vec<SnapshotRef>,
    /// What failed.
    pub failed: Vec<AppError>,
}

/// Something that policies would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyEvent {
    /// When.
    pub time: Timestamp,
    /// `make` or `remove`.
    pub action: String,
    /// Which snapshot.
    #[schema(value_type = schema::SnapshotRef)]
    pub snapshot: SnapshotRef,
    /// For which policies and classes.
    #[schema(value_type = Vec<schema::Mark>)]
    pub policies: Vec<Mark>,
}

/// What policies would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyForecast {
    /// Of this policy and the others on its volumes.
    #[schema(value_type = schema::PolicyName)]
    pub policy: PolicyName,
    /// From now.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// In order of time.
    pub events: Vec<PolicyEvent>,
    /// Whether these are all.
    pub complete: bool,
}
