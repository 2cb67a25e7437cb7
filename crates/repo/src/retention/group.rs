//! Groups of snapshots: each series of backups is judged by itself.
//!
//! Paths and tags compare as sets: their order differs between programs and says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::snapshot::SnapshotFile;

/// What snapshots of a group have in common. Host and paths by default, as in restic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The machine.
    pub host: bool,
    /// The label.
    pub label: bool,
    /// The set of paths.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { host: true, label: false, paths: true, tags: false }
    }
}

/// A text that names no grouping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a list of host, label, paths and tags")]
pub struct NotAGrouping {
    /// What was read instead.
    pub text: String,
}

impl FromStr for GroupBy {
    type Err = NotAGrouping;

    /// A list such as `host,paths`; an empty text puts all snapshots into one group.
    fn from_str(text: &str) -> Result<Self, NotAGrouping> {
        let mut by = Self { host: false, label: false, paths: false, tags: false };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "host" | "hosts" | "hostname" => by.host = true,
                "label" | "labels" => by.label = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                _ => return Err(NotAGrouping { text: text.to_owned() }),
            }
        }
        Ok(by)
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.host, "host"),
            (self.label, "label"),
            (self.paths, "paths"),
            (self.tags, "tags"),
        ];
        let words: Vec<_> = all.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        f.pad(&words.join(","))
    }
}

/// What the snapshots of one group have in common; `None` where it does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The machine.
    pub host: Option<String>,
    /// The label.
    pub label: Option<String>,
    /// The paths.
    pub paths: Option<BTreeSet<String>>,
    /// The tags.
    pub tags: Option<BTreeSet<String>>,
}

impl GroupKey {
    /// The group that a snapshot is in.
    pub fn of(snapshot: &SnapshotFile, by: GroupBy) -> Self {
        Self {
            host: by.host.then(|| snapshot.hostname.clone()),
            label: by.label.then(|| snapshot.label.clone()),
            paths: by.paths.then(|| snapshot.paths.iter().cloned().collect()),
            tags: by.tags.then(|| snapshot.tags.iter().cloned().collect()),
        }
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        let parts = [
            self.host.as_ref().map(|host| format!("host {host}")),
            self.label.as_ref().map(|label| format!("label {label}")),
            self.paths.as_ref().map(|paths| format!("paths {}", list(paths))),
            self.tags.as_ref().map(|tags| format!("tags {}", list(tags))),
        ];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        f.pad(if text.is_empty() { "all snapshots" } else { &text })
    }
}

/// Snapshots by group, in the order in which they came.
pub fn group_snapshots<'s>(
    snapshots: impl IntoIterator<Item = &'s SnapshotFile>,
    by: GroupBy,
) -> BTreeMap<GroupKey, Vec<&'s SnapshotFile>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for snapshot in snapshots {
        groups.entry(GroupKey::of(snapshot, by)).or_default().push(snapshot);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BlobId;
    use jiff::Timestamp;
    use tintype_model::moment::Moment;

    #[test]
    fn paths_and_tags_are_sets() {
        let mut one = SnapshotFile::new(Moment::utc(Timestamp::UNIX_EPOCH), BlobId::default());
        one.paths = vec!["/b".into(), "/a".into()];
        let mut two = one.clone();
        two.paths.reverse();
        two.label = "l".into();
        let count = |by: &str| group_snapshots([&one, &two], by.parse().unwrap()).len();
        assert_eq!((count("host,paths"), count("label"), count("")), (1, 2, 1));
        assert_eq!(GroupBy::default().to_string(), "host,paths");
        assert!("hosts,colour".parse::<GroupBy>().is_err());
    }
}
