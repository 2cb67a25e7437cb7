//! What the commands have in common that mend and rewrite repositories: how far they are, which snapshots are meant, and what is told.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use tintype_repo::{BlobId, Lock, Loss, MendProgress, Moment, RepoError, SnapshotFile, SnapshotId};

use super::Choice;
use super::actor;
use super::interrupt;
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

/// What is asked before each change.
pub type Guard<'g> = &'g (dyn Fn() -> Result<(), RepoError> + Sync);

/// Does work that is shown while it runs; it gets its counters, and what says before each change whether it may go on.
pub fn watched<T>(
    json: bool,
    lock: &Lock,
    work: impl FnOnce(&MendProgress, Guard<'_>) -> Result<T, RepoError>,
) -> CliResult<T> {
    let progress = Arc::new(MendProgress::new(interrupt::stop()));
    let shown = Shown::start(Style { json, quiet: false }, Watch(Arc::clone(&progress)));
    let done = work(&progress, &|| interrupt::guard(lock));
    drop(shown);
    Ok(done?)
}

/// The snapshots that were named, each once; none named: none.
pub fn named(there: &[SnapshotFile], names: &[String]) -> CliResult<Vec<SnapshotFile>> {
    named_among(there, names, &Choice::default())
}

/// As [`named`]; `latest` and `latest~N` are looked for among those of `choice`.
pub fn named_among(
    there: &[SnapshotFile],
    names: &[String],
    choice: &Choice,
) -> CliResult<Vec<SnapshotFile>> {
    let mut chosen: Vec<SnapshotFile> = Vec::new();
    for name in names {
        let snapshot = choice.find(there, name)?;
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
