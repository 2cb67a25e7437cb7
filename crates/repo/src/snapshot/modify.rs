//! Changes of a snapshot's metadata: tags, label, description, host, time, rule of deletion.
//!
//! A snapshot file is never changed: a new one is written, then the old one is removed. The new one keeps all that other programs
//! wrote, and `original` names the first version. An end in between leaves both, and nothing lost.

use super::{DeleteOption, SnapshotFile};
use crate::backend::FileKind;
use crate::error::Result;
use crate::id::SnapshotId;
use crate::repository::Repository;
use tintype_model::moment::Moment;

/// What to change; `None` and empty lists leave things as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotModification {
    /// These tags instead of all others.
    pub set_tags: Option<Vec<String>>,
    /// Tags to add, behind `set_tags`.
    pub add_tags: Vec<String>,
    /// Tags to remove, behind the others.
    pub remove_tags: Vec<String>,
    /// Another label; an empty text removes it.
    pub label: Option<String>,
    /// Another description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Another host.
    pub hostname: Option<String>,
    /// Another time.
    pub time: Option<Moment>,
    /// Another rule of deletion.
    pub delete: Option<DeleteOption>,
}

impl SnapshotModification {
    /// Changes a snapshot in memory; says whether anything is different.
    pub fn apply(&self, snapshot: &mut SnapshotFile) -> bool {
        let before = snapshot.clone();
        if let Some(tags) = &self.set_tags {
            snapshot.tags.clear();
            add(&mut snapshot.tags, tags);
        }
        add(&mut snapshot.tags, &self.add_tags);
        snapshot.tags.retain(|tag| !self.remove_tags.contains(tag));
        replace(&mut snapshot.delete, self.delete.as_ref());
        replace(&mut snapshot.label, self.label.as_ref());
        replace(&mut snapshot.description, self.description.as_ref());
        replace(&mut snapshot.time, self.time.as_ref());
        replace(&mut snapshot.hostname, self.hostname.as_ref());
        *snapshot != before
    }
}

/// Adds tags that are not there, in their order.
fn add(tags: &mut Vec<String>, more: &[String]) {
    for tag in more {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
}

fn replace<T: Clone>(place: &mut T, by: Option<&T>) {
    if let Some(by) = by {
        place.clone_from(by);
    }
}

/// Changes a snapshot in the repository; gives the new id, or `None` when nothing is different. The caller holds an exclusive lock.
///
/// # Errors
/// Failures of the place. When the old file cannot be removed, both are there.
pub fn modify_snapshot(
    repo: &Repository,
    snapshot: &mut SnapshotFile,
    change: &SnapshotModification,
) -> Result<Option<SnapshotId>> {
    let old = snapshot.id;
    let first = snapshot.first_id();
    if !change.apply(snapshot) {
        return Ok(None);
    }
    snapshot.original = Some(first);
    let new = repo.save_snapshot(snapshot)?;
    if new != old {
        repo.backend().remove(FileKind::Snapshot, old.0)?;
    }
    Ok(Some(new))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::backend::MemoryBackend;
    use crate::config::Version;
    use crate::id::BlobId;
    use crate::repository::Actor;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn tags_are_set_then_added_then_removed() {
        let mut snapshot = SnapshotFile::new(Moment::utc(Timestamp::UNIX_EPOCH), BlobId::default());
        snapshot.tags = words("a b");
        let change = |set: Option<&str>, add: &str, remove: &str| SnapshotModification {
            set_tags: set.map(words),
            add_tags: words(add),
            remove_tags: words(remove),
            ..SnapshotModification::default()
        };
        assert!(!change(None, "a", "x").apply(&mut snapshot));
        assert!(change(None, "c a", "b").apply(&mut snapshot));
        assert_eq!(snapshot.tags, words("a c"));
        assert!(change(Some("x y x"), "z", "y").apply(&mut snapshot));
        assert_eq!(snapshot.tags, words("x z"));
    }

    #[test]
    fn a_change_keeps_the_first_id_and_what_is_unknown() {
        let backend = Arc::new(MemoryBackend::new());
        let actor = Actor::default();
        let repo =
            Repository::init(backend, b"p", Version::V2, None, &actor, Timestamp::UNIX_EPOCH)
                .unwrap();
        let tree = BlobId::default();
        let json = format!(
            r#"{{"time":"2026-01-01T00:00:00Z","tree":"{tree}","paths":["/a"],"future":[1]}}"#
        );
        let first = SnapshotId(repo.save(FileKind::Snapshot, json.as_bytes()).unwrap());
        let mut snapshot = repo.snapshot(first).unwrap();
        let label =
            SnapshotModification { label: Some("l".into()), ..SnapshotModification::default() };
        let second = modify_snapshot(&repo, &mut snapshot, &label).unwrap().unwrap();
        assert_eq!(modify_snapshot(&repo, &mut snapshot, &label).unwrap(), None);
        let never = SnapshotModification {
            delete: Some(DeleteOption::Never),
            description: Some(Some("d".into())),
            ..SnapshotModification::default()
        };
        let third = modify_snapshot(&repo, &mut snapshot, &never).unwrap().unwrap();
        let all = repo.snapshots().unwrap();
        assert_eq!(all.iter().map(|each| each.id).collect::<Vec<_>>(), [third]);
        assert!(second != first && all[0].original == Some(first) && all[0].label == "l");
        assert_eq!(all[0].other["future"][0], 1);
        assert!(all[0].must_keep(Timestamp::MAX));
    }
}
