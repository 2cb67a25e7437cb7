//! What the commands have in common that mend and rewrite repositories: how far they are, which snapshots are meant, and what is told.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use tintype_repo::{
    BlobId, Loss, MendProgress, Moment, SnapshotFile, SnapshotId, SnapshotRequest, find_snapshot,
};

use super::actor;
use super::progress::{Shown, Style, Watched};
use crate::error::{CliError, CliResult};
use crate::output;

struct Watch(Arc<MendProgress>);

impl Watched for Watch {
    fn line(&self, _: f64) -> String {
        match self.0.packs_total() {
            0 => format!("{} trees", self.0.trees()),
            total => format!("{} of {total} packs, {} trees", self.0.packs(), self.0.trees()),
        }
    }

    fn event(&self) -> Value {
        json!({ "trees": self.0.trees(), "packs": self.0.packs(), "packs_total": self.0.packs_total() })
    }

    fn failures(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// Counters of work, and what shows them until it is dropped.
pub fn watched(json: bool) -> (Arc<MendProgress>, Shown) {
    let progress = Arc::new(MendProgress::default());
    let shown = Shown::start(Style { json, quiet: false }, Watch(Arc::clone(&progress)));
    (progress, shown)
}

/// The snapshots that were named, each once; none named: none.
pub fn named(there: &[SnapshotFile], names: &[String]) -> CliResult<Vec<SnapshotFile>> {
    let mut chosen: Vec<SnapshotFile> = Vec::new();
    for name in names {
        let request: SnapshotRequest =
            name.parse().map_err(|e| CliError::usage(format!("{e}"), ""))?;
        let snapshot = find_snapshot(there, &request, |_| true)?;
        if !chosen.iter().any(|other| other.id == snapshot.id) {
            chosen.push(snapshot);
        }
    }
    Ok(chosen)
}

/// A snapshot that this program makes here and now.
pub fn own_snapshot() -> SnapshotFile {
    let actor = actor();
    let now = Moment::in_zone(Timestamp::now(), &TimeZone::system());
    let mut snapshot = SnapshotFile::new(now, BlobId::default());
    (snapshot.hostname, snapshot.username) = (actor.hostname, actor.username);
    snapshot.uid = rustix::process::getuid().as_raw();
    snapshot.gid = rustix::process::getgid().as_raw();
    snapshot.program_version = format!("tintype {}", env!("CARGO_PKG_VERSION"));
    snapshot
}

/// Old and new versions in JSON.
pub fn versions(list: &[(SnapshotId, Option<SnapshotId>)]) -> Vec<Value> {
    list.iter().map(|(old, new)| json!({ "id": old, "new": new })).collect()
}

/// Old and new versions for people.
pub fn tell_versions(list: &[(SnapshotId, Option<SnapshotId>)], verb: &str) -> CliResult<()> {
    for (old, new) in list {
        let new = new.map(|new| format!(": now {}", new.0.short())).unwrap_or_default();
        output::line(&format!("{verb} snapshot {}{new}", old.0.short()))?;
    }
    Ok(())
}

/// Losses in JSON.
pub fn losses(list: &[Loss]) -> Vec<Value> {
    let each = list.iter().map(|loss| {
        json!({ "snapshot": loss.snapshot, "path": loss.path.to_string_lossy(), "detail": loss.kind.to_string() })
    });
    each.collect()
}

/// Losses for people, one in a line; `lost` is how many there are.
pub fn tell_losses(list: &[Loss], lost: u64) -> CliResult<()> {
    for loss in list {
        let path = output::printable(&loss.path.to_string_lossy());
        let whose = match loss.snapshot == SnapshotId::default() {
            true => String::new(),
            false => format!("snapshot {}, ", loss.snapshot.0.short()),
        };
        output::line(&format!("{whose}{path}: {}", loss.kind))?;
    }
    match lost.saturating_sub(list.len() as u64) {
        0 => Ok(()),
        more => output::line(&format!("and {more} more")),
    }
}

/// Fails when some snapshots had to stay.
pub fn refuse_protected(protected: &[SnapshotId]) -> CliResult<()> {
    let names: Vec<String> = protected.iter().map(|id| id.0.short()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(CliError::failure(
            format!("snapshot {}: is protected and stays as it was", names.join(", ")),
            "Its own rule keeps it; `tintype snapshot update ID --delete-anytime --repo ...` takes it away.",
        )),
    }
}
