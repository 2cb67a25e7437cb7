//! `tintype repair index`: the index is made right by what the packs say.

use serde_json::{Value, json};
use tintype_repo::{IndexRepair, IndexRepairOptions, LockMode, repair_index};

use super::super::repo::Place;
use super::super::repo::mending::watched;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `repair index`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Ask all packs what they hold, not only those that the index does not know or has wrong
    #[arg(long)]
    read_all: bool,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Repairs, then says what was wrong.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.without_cache().open_locked(LockMode::Exclusive)?;
    let options = IndexRepairOptions { read_all: args.read_all, dry_run: args.dry_run, threads: 0 };
    let report = watched(global.json, &lock, |progress, guard| {
        repair_index(&repo, &options, progress, guard)
    })?;
    if global.json {
        return output::json(&in_json(args.dry_run, &report));
    }
    for (id, detail) in &report.unreadable {
        output::line(&format!("index {id} cannot be read: {detail}"))?;
    }
    for id in &report.added {
        output::line(&format!("pack {id} was in no index"))?;
    }
    for id in &report.corrected {
        output::line(&format!("pack {id} holds something else than the index said"))?;
    }
    for id in &report.gone {
        output::line(&format!("pack {id} is in the index and not in the repository"))?;
    }
    for (id, detail) in &report.damaged {
        output::line(&format!("pack {id} is damaged: {detail}"))?;
    }
    output::line(&verdict(args.dry_run, &report))?;
    if !report.damaged.is_empty() {
        output::line("`tintype repair packs` salvages what is whole of damaged packs")?;
    }
    if !report.gone.is_empty() {
        output::line("`tintype repair snapshots` takes out of snapshots what is missing")?;
    }
    Ok(())
}

fn verdict(dry_run: bool, report: &IndexRepair) -> String {
    if report.is_right() {
        return "the index is right".to_owned();
    }
    let would = if dry_run { "would replace" } else { "replaced" };
    format!("{would} {} index files, {} packs added", report.replaced.len(), report.added.len())
}

fn in_json(dry_run: bool, report: &IndexRepair) -> Value {
    let damaged = report.damaged.iter().map(|(id, detail)| json!({ "id": id, "detail": detail }));
    let unreadable =
        report.unreadable.iter().map(|(id, detail)| json!({ "id": id, "detail": detail }));
    json!({
        "dry_run": dry_run, "right": report.is_right(), "added": report.added, "corrected": report.corrected,
        "gone": report.gone, "damaged": damaged.collect::<Vec<_>>(), "unreadable": unreadable.collect::<Vec<_>>(),
        "replaced": report.replaced,
    })
}
