//! `tintype copy --from-repo R1 --repo R2 [SNAP...]`: snapshots of one repository in another one.

use serde_json::json;
use tintype_model::ByteSize;
use tintype_repo::{BlobOptions, CopyOptions, CopyProgress, LockMode, copy_snapshots, same_cuts};

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
    let (to, lock) = args.place.open_locked(LockMode::Shared)?;
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
    let options = CopyOptions {
        blobs: BlobOptions { dry_run: args.dry_run, ..BlobOptions::default() },
        ..CopyOptions::default()
    };
    let progress = CopyProgress::default();
    let copied = copy_snapshots(&from, &to, &chosen, options, &progress, &|| lock.check())?;
    let blobs = copied.written.blobs.iter().sum::<u64>();
    let bytes = copied.written.stored.iter().sum::<u64>();
    if global.json {
        let pairs = copied.snapshots.iter().map(|(old, new)| json!({ "id": old, "new": new }));
        return output::json(&json!({
            "dry_run": args.dry_run, "copied": pairs.collect::<Vec<_>>(), "there": copied.there,
            "blobs": blobs, "bytes": bytes,
        }));
    }
    for (old, new) in &copied.snapshots {
        let as_new = new.map_or_else(String::new, |new| format!(" as {}", new.0.short()));
        output::line(&format!("{}{as_new}", old.0.short()))?;
    }
    let (count, there) = (copied.snapshots.len(), copied.there.len());
    let what = if args.dry_run { "would be copied" } else { "copied" };
    output::line(&format!(
        "{count} snapshots {what}, {there} were there; {} stored",
        ByteSize(bytes)
    ))
}
