//! `tintype repair snapshots [SNAP...]`: what is missing is taken out of snapshots, and the rest kept.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use tintype_repo::{
    LockMode, SnapshotRepair, SnapshotRepairOptions, readable_snapshots, repair_snapshots,
};

use super::super::repo::Place;
use super::super::repo::mending::{
    losses, named, refuse_protected, tell_losses, tell_versions, versions, watched,
};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `repair snapshots`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to mend (default: all)
    #[arg(value_name = "SNAP")]
    snapshots: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Remove the damaged versions, and snapshots of which nothing is left; protected ones stay
    #[arg(long)]
    forget: bool,
    /// Remove files of snapshots that cannot be read, once `tintype recover` has found their trees
    #[arg(long, conflicts_with = "snapshots")]
    forget_unreadable: bool,
    /// The folder that gets a copy of each file that --forget-unreadable removes
    #[arg(long, value_name = "DIR", default_value = ".", requires = "forget_unreadable")]
    copies: PathBuf,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Mends, then says what is lost.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.without_cache().open_locked(LockMode::Exclusive)?;
    let chosen = match args.snapshots.is_empty() {
        true => vec![],
        false => named(&readable_snapshots(&repo)?.0, &args.snapshots)?,
    };
    let options = SnapshotRepairOptions {
        snapshots: chosen.iter().map(|snapshot| snapshot.id).collect(),
        forget: args.forget,
        forget_unreadable: args.forget_unreadable.then(|| args.copies.clone()),
        dry_run: args.dry_run,
    };
    let report = watched(global.json, &lock, |progress, guard| {
        repair_snapshots(&repo, &options, Timestamp::now(), progress, guard)
    })?;
    if global.json {
        output::json(&in_json(args.dry_run, &report))?;
    } else {
        tell(args, &report)?;
    }
    refuse_protected(&report.protected)
}

fn tell(args: &Args, report: &SnapshotRepair) -> CliResult<()> {
    tell_losses(&report.losses, report.lost)?;
    tell_versions(&report.repaired, if args.dry_run { "would mend" } else { "mended" })?;
    for id in &report.empty {
        let fate = match (args.forget && !report.protected.contains(id), args.dry_run) {
            (false, _) => "; --forget removes it",
            (true, false) => "; it is removed",
            (true, true) => "; it would be removed",
        };
        output::line(&format!("snapshot {}: nothing is left of it{fate}", id.0.short()))?;
    }
    tell_unreadable(args, report)?;
    output::line(&format!(
        "{} snapshots mended, {} lack nothing",
        report.repaired.len(),
        report.sound.len()
    ))
}

fn tell_unreadable(args: &Args, report: &SnapshotRepair) -> CliResult<()> {
    for (id, detail) in &report.unreadable {
        let kept = report.removed.iter().find(|(removed, _)| removed == id);
        let fate = match kept {
            Some((_, copy)) => {
                let copy = output::printable(&copy.to_string_lossy());
                format!("; it is removed, its bytes are kept in {copy}")
            }
            None if args.forget_unreadable => "; it would be removed".to_owned(),
            None => String::new(),
        };
        output::line(&format!("snapshot {id} cannot be read: {detail}{fate}"))?;
    }
    match report.unreadable.is_empty() || args.forget_unreadable {
        true => Ok(()),
        false => output::line(
            "`tintype recover` finds their trees; `tintype repair snapshots --forget-unreadable` removes these files then",
        ),
    }
}

fn in_json(dry_run: bool, report: &SnapshotRepair) -> Value {
    let unreadable =
        report.unreadable.iter().map(|(id, detail)| json!({ "id": id, "detail": detail }));
    let removed = report.removed.iter();
    let removed = removed.map(|(id, copy)| json!({ "id": id, "copy": copy.to_string_lossy() }));
    json!({
        "removed": removed.collect::<Vec<_>>(),
        "dry_run": dry_run, "repaired": versions(&report.repaired), "sound": report.sound, "empty": report.empty,
        "protected": report.protected, "unreadable": unreadable.collect::<Vec<_>>(), "lost": report.lost,
        "losses": losses(&report.losses),
    })
}
