//! The snapshot file: what was saved when, from where, by whom, and the tree that holds it.
//!
//! Fields are those of restic, then those of rustic; keys that neither knows are kept when a snapshot is written again. A field that is
//! empty is left out, so that a snapshot without our extras is exactly restic's. Sources: restic's design, rustic's format notes.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tintype_model::Tags;

use crate::id::{BlobId, SnapshotId};
use tintype_model::moment::Moment;

/// A snapshot as it lies in the repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// When the backup began.
    pub time: Moment,
    /// The first parent; what restic knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// The root.
    pub tree: BlobId,
    /// What was saved.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub paths: Vec<String>,
    /// The machine that it was saved on.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub hostname: String,
    /// Who saved it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub username: String,
    /// The number of who saved it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// The group of who saved it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Patterns that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub excludes: Vec<String>,
    /// Words to find it by. Other programs allow any text as a tag, so it is kept as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub tags: Vec<String>,
    /// The first version of this snapshot, when its metadata were changed since or it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    /// All parents, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub parents: Vec<SnapshotId>,
    /// A name of a series of snapshots; snapshots are grouped by it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub label: String,
    /// Whether it may be deleted.
    #[serde(default, skip_serializing_if = "DeleteOption::is_not_set")]
    pub delete: DeleteOption,
    /// The program that wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_empty")]
    pub program_version: String,
    /// What people say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the backup did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SnapshotSummary>,
    /// What other programs keep here.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
    /// The id of the file; not in it.
    #[serde(skip)]
    pub id: SnapshotId,
}

/// `null` where a list or text is expected is an empty one.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Whether a snapshot may be deleted. In files: absent, `"Never"`, `{"After":TIME}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteOption {
    /// No rule.
    #[default]
    NotSet,
    /// It is kept until the rule is changed.
    Never,
    /// It is kept until then, and removed by `forget` afterwards.
    After(Moment),
}

impl DeleteOption {
    fn is_not_set(&self) -> bool {
        *self == Self::NotSet
    }
}

/// The form of the rule in files.
#[derive(Serialize, Deserialize)]
enum DeleteForm {
    NotSet,
    Never,
    After(Moment),
}

impl Serialize for DeleteOption {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::NotSet => DeleteForm::NotSet,
            Self::Never => DeleteForm::Never,
            Self::After(time) => DeleteForm::After(*time),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for DeleteOption {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Option::<DeleteForm>::deserialize(from)? {
            None | Some(DeleteForm::NotSet) => Self::NotSet,
            Some(DeleteForm::Never) => Self::Never,
            Some(DeleteForm::After(time)) => Self::After(time),
        })
    }
}

/// What a backup did. Counts, bytes, and seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // The names are the documentation: they are those of the format.
pub struct SnapshotSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_start: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_end: Option<Moment>,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    pub data_added: u64,
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    pub total_dirs_processed: u64,
    pub total_dirsize_processed: u64,
    pub data_added_files: u64,
    pub data_added_files_packed: u64,
    pub data_added_trees: u64,
    pub data_added_trees_packed: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    pub backup_duration: f64,
    pub total_duration: f64,
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl SnapshotFile {
    /// A snapshot of `tree`, everything else empty.
    pub fn new(time: Moment, tree: BlobId) -> Self {
        Self {
            time,
            parent: None,
            tree,
            paths: vec![],
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: vec![],
            tags: vec![],
            original: None,
            parents: vec![],
            label: String::new(),
            delete: DeleteOption::NotSet,
            program_version: String::new(),
            description: None,
            summary: None,
            other: serde_json::Map::new(),
            id: SnapshotId::default(),
        }
    }

    /// Reads the plain JSON of the file `id`.
    pub fn parse(id: SnapshotId, json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut snapshot: Self = serde_json::from_slice(json)?;
        snapshot.id = id;
        Ok(snapshot)
    }

    /// The plain JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Must nobody delete it at `now`?
    pub fn must_keep(&self, now: Timestamp) -> bool {
        match self.delete {
            DeleteOption::NotSet => false,
            DeleteOption::Never => true,
            DeleteOption::After(time) => time.instant() >= now,
        }
    }

    /// Has the time come to delete it?
    pub fn must_delete(&self, now: Timestamp) -> bool {
        matches!(self.delete, DeleteOption::After(time) if time.instant() < now)
    }

    /// All parents.
    pub fn all_parents(&self) -> &[SnapshotId] {
        if self.parents.is_empty() { self.parent.as_slice() } else { &self.parents }
    }

    /// Records parents in both forms: the first for restic, all of them when there are several.
    pub fn set_parents(&mut self, parents: Vec<SnapshotId>) {
        self.parent = parents.first().copied();
        self.parents = if parents.len() > 1 { parents } else { vec![] };
    }

    /// Does it carry all of these tags?
    pub fn has_tags(&self, wanted: &Tags) -> bool {
        wanted.iter().all(|tag| self.tags.iter().any(|own| own == tag))
    }

    /// The id that stays when metadata change.
    pub fn first_id(&self) -> SnapshotId {
        self.original.unwrap_or(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    const TREE: &str = "20e60cb65b6ca2275254ce4278663a92ca80e64eacad2d93835b4cc8ca6798e2";

    fn parse(json: &str) -> SnapshotFile {
        SnapshotFile::parse(SnapshotId(Id::of(json.as_bytes())), json.as_bytes()).unwrap()
    }

    #[test]
    fn the_reference_text_comes_back() {
        let text = format!(
            r#"{{"time":"2026-01-02T03:04:06Z","tree":"{TREE}","paths":["/a.txt"],"hostname":"h","username":"u"}}"#
        );
        assert_eq!(parse(&text).to_json(), text.as_bytes());
    }

    #[test]
    fn nothing_that_others_wrote_is_lost() {
        let text = format!(
            r#"{{"time":"2026-01-02T03:04:06+01:00","tree":"{TREE}","paths":["/b","/a"],"tags":["x","y z"],"original":"{TREE}","label":"l","delete":{{"After":"2027-01-01T00:00:00Z"}},"description":"d","future":{{"a":[1,2]}}}}"#
        );
        assert_eq!(parse(&text).to_json(), text.as_bytes());
    }

    #[test]
    fn rustics_and_old_forms_are_read() {
        let text = format!(
            r#"{{"time":"2026-01-02","tree":"{TREE}","paths":null,"tags":null,"delete":"Never","parents":[]}}"#
        );
        let snapshot = parse(&text);
        assert!(snapshot.must_keep(Timestamp::MAX) && snapshot.paths.is_empty());
        let zoned = format!(
            r#"{{"time":"2026-01-02","tree":"{TREE}","delete":{{"After":"2026-06-01T00:00:00+02:00[Europe/Berlin]"}}}}"#
        );
        let snapshot = parse(&zoned);
        let then = "2026-05-31T22:00:00Z".parse().unwrap();
        assert!(snapshot.must_keep(then) && !snapshot.must_delete(then));
        assert!(snapshot.must_delete(Timestamp::MAX));
    }

    #[test]
    fn several_parents_have_two_forms() {
        let mut snapshot = SnapshotFile::new(Moment::utc(Timestamp::UNIX_EPOCH), BlobId::default());
        let ids = vec![SnapshotId(Id::of(b"1")), SnapshotId(Id::of(b"2"))];
        snapshot.set_parents(ids.clone());
        assert_eq!((snapshot.parent, snapshot.all_parents()), (Some(ids[0]), ids.as_slice()));
        snapshot.set_parents(vec![ids[1]]);
        assert_eq!(snapshot.all_parents(), &ids[1..]);
        assert!(snapshot.parents.is_empty());
    }
}
