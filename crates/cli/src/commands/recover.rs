//! `tintype recover`: a snapshot of all that no snapshot leads to any more.

use jiff::Timestamp;
use serde_json::json;
use tintype_repo::{LockMode, recover};

use super::repo::Place;
use super::repo::mending::{losses, own_snapshot, tell_losses, watched};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `recover`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Recovers, then says what was found.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.without_cache().open_locked(LockMode::Exclusive)?;
    let found = watched(global.json, &lock, |progress, guard| {
        recover(&repo, own_snapshot(), Timestamp::now(), progress, guard)
    })?;
    let id = found.snapshot.as_ref().map(|snapshot| snapshot.id);
    if global.json {
        let folders =
            found.folders.iter().map(|(name, tree)| json!({ "name": name, "tree": tree }));
        let unreadable =
            found.unreadable.iter().map(|(id, detail)| json!({ "id": id, "detail": detail }));
        return output::json(&json!({
            "snapshot_id": id, "folders": folders.collect::<Vec<_>>(), "lost": found.lost,
            "losses": losses(&found.losses), "unreadable": unreadable.collect::<Vec<_>>(), "taken_back": found.taken_back,
        }));
    }
    for (id, detail) in &found.unreadable {
        output::line(&format!("tree {id} cannot be read: {detail}"))?;
    }
    tell_losses(&found.losses, found.lost)?;
    match id {
        None => output::line("every tree belongs to a snapshot: there is nothing to recover"),
        Some(id) => output::line(&format!(
            "saved snapshot {} with {} trees that no snapshot had",
            id.0.short(),
            found.folders.len()
        )),
    }
}
