//! Policies as the edges see them. Documents are those of `tintype_model::policy`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tintype_model::policy::{Class, Mark, PolicyDocument, PolicyName};
use tintype_model::{SnapshotRef, VolumeName};

use crate::error::AppError;

/// A policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyInfo {
    /// Its name.
    pub name: PolicyName,
    /// Does it make snapshots?
    pub enabled: bool,
    /// For people.
    pub description: String,
    /// What it is attached to.
    pub volumes: Vec<VolumeName>,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// Its class then.
    pub next_class: Option<Class>,
    /// What failed at the last run.
    pub problems: Vec<String>,
    /// What its document asks for that nothing does.
    pub notes: Vec<String>,
    /// All of it, as it is written in documents.
    pub policy: PolicyDocument,
}

/// A wish for a run now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRunRequest {
    /// For which class; needed when there are several.
    #[serde(default)]
    pub class: Option<Class>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRun {
    /// Snapshots that were made.
    pub made: Vec<SnapshotRef>,
    /// What failed.
    pub failed: Vec<AppError>,
}

/// Something that policies would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyEvent {
    /// When.
    pub time: Timestamp,
    /// `make` or `remove`.
    pub action: String,
    /// Which snapshot.
    pub snapshot: SnapshotRef,
    /// For which policies and classes.
    pub policies: Vec<Mark>,
}

/// What policies would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyForecast {
    /// Of this policy and the others on its volumes.
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
