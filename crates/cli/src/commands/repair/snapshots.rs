//! `tintype repair snapshots [SNAP...]`: what is missing is taken out of snapshots, and the rest kept.

use jiff::Timestamp;
use serde_json::{Value, json};
use tintype_repo::{
    LockMode, SnapshotRepair, SnapshotRepairOptions, readable_snapshots, repair_snapshots,
};

use super::super::repo::Place;
use super::super::repo::interrupt::guard;
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
        dry_run: args.dry_run,
    };
    let (progress, shown) = watched(global.json);
    let report = repair_snapshots(&repo, &options, Timestamp::now(), &progress, &|| guard(&lock));
    drop(shown);
    let report = report?;
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
    for (id, detail) in &report.unreadable {
        output::line(&format!("snapshot {id} cannot be read: {detail}"))?;
    }
    if !report.unreadable.is_empty() {
        output::line(
            "`tintype recover` finds their trees; move these files out of the repository's folder `snapshots` then",
        )?;
    }
    output::line(&format!(
        "{} snapshots mended, {} lack nothing",
        report.repaired.len(),
        report.sound.len()
    ))
}

fn in_json(dry_run: bool, report: &SnapshotRepair) -> Value {
    let unreadable =
        report.unreadable.iter().map(|(id, detail)| json!({ "id": id, "detail": detail }));
    json!({
        "dry_run": dry_run, "repaired": versions(&report.repaired), "sound": report.sound, "empty": report.empty,
        "protected": report.protected, "unreadable": unreadable.collect::<Vec<_>>(), "lost": report.lost,
        "losses": losses(&report.losses),
    })
}
