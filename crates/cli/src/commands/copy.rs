//! `tintype copy --from-repo R1 --repo R2 [SNAP...]`: snapshots of one repository in another one.

use serde_json::json;
use tintype_model::ByteSize;
use tintype_repo::{BlobOptions, LockMode, SnapshotFile, copy_snapshots, same_cuts};

use super::repo::mending::named;
use super::repo::{Choice, FromPlace, Place};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `copy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to copy: ids, first digits, `latest`, `latest~N` (default: all that fit the filters)
    #[arg(value_name = "SNAP")]
    snapshots: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    from: FromPlace,
    #[command(flatten)]
    choice: Choice,
    /// Only show what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Copies what is not there yet.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (from, _from_lock) = args.from.place(&args.place).open_locked(LockMode::Shared)?;
    let (to, _lock) = args.place.open_locked(LockMode::Shared)?;
    let mut chosen = from.snapshots()?;
    if !args.snapshots.is_empty() {
        chosen = named(&chosen, &args.snapshots)?;
    }
    chosen.retain(|snapshot| args.choice.fits(snapshot));
    if !same_cuts(&from, &to) {
        eprintln!(
            "note: the two repositories cut files at different places, so copies share nothing with backups made there; \
             `tintype repo init --chunker-polynomial` makes one that cuts alike"
        );
    }
    if args.dry_run {
        return tell_plan(global, &chosen);
    }
    let copied = copy_snapshots(&from, &to, &chosen, BlobOptions::default(), 0)?;
    let blobs = copied.written.blobs.iter().sum::<u64>();
    let bytes = copied.written.stored.iter().sum::<u64>();
    if global.json {
        let pairs = copied.snapshots.iter().map(|(old, new)| json!({ "id": old, "new": new }));
        return output::json(&json!({
            "copied": pairs.collect::<Vec<_>>(), "there": copied.there,
            "blobs": blobs, "bytes": bytes,
        }));
    }
    for (old, new) in &copied.snapshots {
        output::line(&format!("copied {} as {}", old.0.short(), new.0.short()))?;
    }
    output::line(&format!(
        "copied {} snapshots, {} were there; {} stored",
        copied.snapshots.len(),
        copied.there.len(),
        ByteSize(bytes)
    ))
}

fn tell_plan(global: &Global, chosen: &[SnapshotFile]) -> CliResult<()> {
    if global.json {
        let ids: Vec<_> = chosen.iter().map(|snapshot| snapshot.id).collect();
        return output::json(&json!({ "dry_run": true, "chosen": ids }));
    }
    for snapshot in chosen {
        output::line(&format!("{} {}", snapshot.id.0.short(), snapshot.time))?;
    }
    output::line("nothing was copied: --dry-run")
}
