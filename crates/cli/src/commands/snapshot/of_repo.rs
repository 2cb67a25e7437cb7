//! The verbs of `snapshot` with `--repo`: snapshots of a repository.

use jiff::Timestamp;
use serde_json::{Value, json};
use tintype_model::{ByteSize, Tags};
use tintype_repo::{
    DeleteOption, LockMode, SnapshotFile, SnapshotId, SnapshotModification, modify_snapshot,
    remove_snapshots, split_protected,
};

use crate::commands::repo::mending::named;
use crate::commands::repo::{Choice, Place};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output::Align::{Left, Right};
use crate::output::{self, Table};

/// Which snapshots are listed.
pub struct Filter<'f> {
    /// All tags of any one of these lists.
    pub tags: &'f [Tags],
    /// This label.
    pub label: Option<&'f str>,
    /// This machine.
    pub host: Option<&'f str>,
    /// At or after this time.
    pub after: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
}

impl Filter<'_> {
    fn fits(&self, snapshot: &SnapshotFile) -> bool {
        let time = snapshot.time.instant();
        (self.tags.is_empty() || self.tags.iter().any(|tags| snapshot.has_tags(tags)))
            && self.label.is_none_or(|label| snapshot.label == label)
            && self.host.is_none_or(|host| snapshot.hostname == host)
            && self.after.is_none_or(|after| time >= after)
            && self.before.is_none_or(|before| time < before)
    }
}

/// Lists snapshots by time.
pub fn list(global: &Global, place: &Place, filter: &Filter<'_>) -> CliResult<()> {
    let mut snapshots = place.open()?.snapshots()?;
    snapshots.retain(|snapshot| filter.fits(snapshot));
    if global.json {
        return output::json(&snapshots.iter().map(in_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        ("ID", Left),
        ("TIME", Left),
        ("HOST", Left),
        ("SIZE", Right),
        ("DELETE", Left),
        ("TAGS", Left),
        ("LABEL", Left),
        ("PATHS", Left),
    ]);
    for snapshot in &snapshots {
        let size = snapshot
            .summary
            .as_ref()
            .map(|summary| ByteSize(summary.total_bytes_processed).to_string());
        table.row([
            snapshot.id.0.short(),
            snapshot.time.to_string(),
            snapshot.hostname.clone(),
            size.unwrap_or_else(|| "-".to_owned()),
            rule(snapshot.delete),
            snapshot.tags.join(","),
            snapshot.label.clone(),
            snapshot.paths.join(" "),
        ]);
    }
    table.print()
}

/// Shows one snapshot.
pub fn show(global: &Global, place: &Place, choice: &Choice, name: &str) -> CliResult<()> {
    let repo = place.open()?;
    let snapshot = place.snapshot(&repo, name, choice)?;
    if global.json {
        return output::json(&in_json(&snapshot));
    }
    let ids = |ids: &[tintype_repo::SnapshotId]| {
        ids.iter().map(|id| id.0.short()).collect::<Vec<_>>().join(" ")
    };
    let mut facts = vec![
        ("id", snapshot.id.to_string()),
        ("time", snapshot.time.to_string()),
        ("tree", snapshot.tree.to_string()),
        ("paths", snapshot.paths.join(" ")),
        ("host", snapshot.hostname.clone()),
        ("user", snapshot.username.clone()),
        ("tags", snapshot.tags.join(",")),
        ("label", snapshot.label.clone()),
        ("description", snapshot.description.clone().unwrap_or_default()),
        ("protected", rule(snapshot.delete)),
        ("parents", ids(snapshot.all_parents())),
        ("original", snapshot.original.map(|id| id.to_string()).unwrap_or_default()),
        ("made by", snapshot.program_version.clone()),
    ];
    if let Some(summary) = &snapshot.summary {
        facts.push(("files", summary.total_files_processed.to_string()));
        facts.push(("size", ByteSize(summary.total_bytes_processed).to_string()));
        facts.push((
            "added",
            format!(
                "{} ({} stored)",
                ByteSize(summary.data_added),
                ByteSize(summary.data_added_packed)
            ),
        ));
    }
    output::facts(&facts)
}

/// Changes what a snapshot says about itself: a new file that names the first one as `original`, in place of the old one.
pub fn update(
    global: &Global,
    place: &Place,
    name: &str,
    change: &SnapshotModification,
) -> CliResult<()> {
    let (repo, lock) = place.open_locked(LockMode::Exclusive)?;
    let mut snapshot = place.snapshot(&repo, name, &Choice::default())?;
    let old = snapshot.id;
    lock.check()?;
    let new = modify_snapshot(&repo, &mut snapshot, change)?;
    if global.json {
        return output::json(&in_json(&snapshot));
    }
    match new {
        Some(new) => output::line(&format!("{} is {} now", old.0.short(), new.0.short())),
        None => output::line(&format!("{} says that already", old.0.short())),
    }
}

/// Deletes snapshots, all or none; what only they need is freed by the next prune.
pub fn delete(global: &Global, place: &Place, names: &[String]) -> CliResult<()> {
    let (repo, lock) = place.open_locked(LockMode::Exclusive)?;
    let chosen = named(&repo.snapshots()?, names)?;
    let (chosen, kept) = split_protected(chosen, Timestamp::now());
    if let Some(kept) = kept.first() {
        let id = kept.id.0.short();
        return Err(CliError::failure(
            format!(
                "snapshot {id}: is protected against deletion; its rule says: delete {}",
                rule(kept.delete)
            ),
            format!(
                "Change the rule first: `tintype snapshot update {id} --delete-anytime --repo ...`."
            ),
        ));
    }
    let ids: Vec<SnapshotId> = chosen.iter().map(|snapshot| snapshot.id).collect();
    lock.check()?;
    remove_snapshots(&repo, &ids)?;
    if global.json {
        return output::json(&json!({ "deleted": ids }));
    }
    let short: Vec<String> = ids.iter().map(|id| id.0.short()).collect();
    output::line(&format!("deleted {}; `tintype prune` frees their room", short.join(", ")))
}

/// The snapshot as it lies in the repository, with its id.
fn in_json(snapshot: &SnapshotFile) -> Value {
    let mut value: Value = serde_json::from_slice(&snapshot.to_json()).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("id".to_owned(), json!(snapshot.id));
    }
    value
}

/// A delete rule, in words.
fn rule(rule: DeleteOption) -> String {
    match rule {
        DeleteOption::NotSet => "-".to_owned(),
        DeleteOption::Never => "never".to_owned(),
        DeleteOption::After(time) => format!("after {time}"),
    }
}
