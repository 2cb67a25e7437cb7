//! `tintype merge SNAP...`: one snapshot with all that is in several.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tintype_model::{ByteSize, Tags};
use tintype_repo::{LockMode, MergeOptions, Moment, SnapshotModification, merge_snapshots};

use super::repo::Place;
use super::repo::mending::{named, own_snapshot, watched};
use crate::error::CliResult;
use crate::options::{Global, time};
use crate::output;

/// Options of `merge`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to merge, at least two
    #[arg(value_name = "SNAP", required = true, num_args = 2..)]
    snapshots: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Remove the merged snapshots; a protected one among them stops everything
    #[arg(long)]
    delete: bool,
    /// Its label (default: that of all of them, if it is the same)
    #[arg(long)]
    label: Option<String>,
    /// Its tags, as `a,b`; may be repeated (default: those of all of them)
    #[arg(long = "tag", value_name = "A,B")]
    tags: Vec<Tags>,
    /// What there is to say about it
    #[arg(long)]
    description: Option<String>,
    /// The name of its machine (default: that of all of them if it is the same, else this one's)
    #[arg(long)]
    host: Option<String>,
    /// Its time (default: that of the newest of them)
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
}

/// Merges, then says what came of it.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let instant = args.time.as_deref().map(|text| time("--time", text)).transpose()?;
    let change = SnapshotModification {
        set_tags: (!args.tags.is_empty()).then(|| Tags::union(&args.tags).into()),
        label: args.label.clone(),
        description: args.description.clone().map(Some),
        hostname: args.host.clone(),
        time: instant.map(|instant| Moment::in_zone(instant, &TimeZone::system())),
        ..SnapshotModification::default()
    };
    let mode = if args.delete { LockMode::Exclusive } else { LockMode::Shared };
    let (repo, lock) = args.place.open_locked(mode)?;
    let chosen = named(&repo.snapshots()?, &args.snapshots)?;
    let options = MergeOptions { change, delete: args.delete };
    let (base, now) = (own_snapshot(), Timestamp::now());
    let merged = watched(global.json, &lock, |progress, guard| {
        merge_snapshots(&repo, &chosen, base, &options, now, progress, guard)
    })?;
    let snapshot = &merged.snapshot;
    if global.json {
        return output::json(&json!({
            "snapshot_id": snapshot.id, "tree": snapshot.tree, "parents": snapshot.all_parents(), "paths": snapshot.paths,
            "summary": snapshot.summary, "deleted": merged.deleted,
        }));
    }
    let summary = snapshot.summary.clone().unwrap_or_default();
    output::line(&format!(
        "saved snapshot {}: {} files, {}, out of {} snapshots; {} of them removed",
        snapshot.id.0.short(),
        summary.total_files_processed,
        ByteSize(summary.total_bytes_processed),
        snapshot.all_parents().len(),
        merged.deleted.len()
    ))
}
