//! What a snapshot knows about itself, and how its default access point is named.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::policy::Mark;
use crate::{AccessPoint, DeleteRule, ModelError, SnapshotName, Tags};

/// Metadata of a snapshot. Fields that a newer program wrote are kept in `unknown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The part behind the `@`.
    pub name: SnapshotName,
    /// Its directory under `.snapshots`.
    pub access_point: AccessPoint,
    /// When it was cut.
    pub time: Timestamp,
    /// The machine on which it was cut.
    #[serde(default)]
    pub host: String,
    /// Who asked for it.
    #[serde(default)]
    pub user: String,
    /// Tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// A short text to group by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// A longer text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Protection against deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<DeleteRule>,
    /// The id that it had when it was first cut; kept when it is copied or changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub original: String,
    /// The id of the moment that it grew from: the snapshot of the same history before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The program that cut it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// An image is being read into it: it goes when that ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub importing: bool,
    /// The policies that it was made for. Without them it is in nobody's rotation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Mark>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

impl SnapshotMeta {
    /// Metadata with nothing but a name, an access point and a time.
    pub fn new(name: SnapshotName, access_point: AccessPoint, time: Timestamp) -> Self {
        Self {
            name,
            access_point,
            time,
            host: String::new(),
            user: String::new(),
            tags: Tags::default(),
            label: String::new(),
            description: String::new(),
            delete: None,
            original: String::new(),
            parent: None,
            program_version: String::new(),
            importing: false,
            policies: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }
}

impl AccessPoint {
    /// `@GMT-YYYY.MM.DD-HH.MM.SS` of `time` in UTC; with `-2`, `-3` ... behind it when `taken` says so.
    pub fn default_at(
        time: Timestamp,
        mut taken: impl FnMut(&str) -> bool,
    ) -> Result<Self, ModelError> {
        let utc = time.to_zoned(TimeZone::UTC);
        let base = utc.strftime("@GMT-%Y.%m.%d-%H.%M.%S").to_string();
        if !taken(&base) {
            return Self::new(base);
        }
        let mut number = 2u64;
        loop {
            let candidate = format!("{base}-{number}");
            if !taken(&candidate) {
                return Self::new(candidate);
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_points_are_unique() {
        let time: Timestamp = "2026-11-21T10:30:05.9+02:00".parse().unwrap();
        let first = AccessPoint::default_at(time, |_| false).unwrap();
        assert_eq!(first.as_str(), "@GMT-2026.11.21-08.30.05");
        let mut taken = vec![first.to_string(), format!("{first}-2")];
        let third = AccessPoint::default_at(time, |name| taken.iter().any(|t| t == name)).unwrap();
        assert_eq!(third.as_str(), "@GMT-2026.11.21-08.30.05-3");
        taken.clear();
    }

    #[test]
    fn unknown_fields_survive() {
        let text = r#"{"name":"a","access_point":"b","time":"2026-11-21T00:00:00Z","host":"h",
            "user":"","delete":{"after":"2027-01-01T00:00:00Z"},"colour":"red"}"#;
        let meta: SnapshotMeta = serde_json::from_str(text).unwrap();
        let again: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&meta).unwrap()).unwrap();
        assert_eq!(again["colour"], "red");
        assert_eq!(again["delete"]["after"], "2027-01-01T00:00:00Z");
    }
}
