//! `tintype copy --from-repo R1 --repo R2 [SNAP...]`: snapshots of one repository in another one.

use serde_json::json;
use tintype_model::{ByteSize, Tags};
use tintype_repo::{BlobOptions, LockMode, SnapshotFile, copy_snapshots, same_cuts};

use super::repo::mending::named;
use super::repo::{FromPlace, Place};
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
    /// Only those of this machine
    #[arg(long)]
    host: Vec<String>,
    /// Only those with all of these tags, as `a,b`; may be repeated: any one of the lists
    #[arg(long = "tag", value_name = "A,B")]
    tags: Vec<Tags>,
    /// Only those with this label
    #[arg(long)]
    label: Option<String>,
    /// Only those of this path
    #[arg(long)]
    path: Vec<String>,
    /// Only show what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    fn fits(&self, snapshot: &SnapshotFile) -> bool {
        (self.host.is_empty() || self.host.contains(&snapshot.hostname))
            && (self.tags.is_empty() || self.tags.iter().any(|tags| snapshot.has_tags(tags)))
            && self.label.as_ref().is_none_or(|label| snapshot.label == *label)
            && self.path.iter().all(|path| snapshot.paths.contains(path))
    }
}

/// Copies what is not there yet.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (from, _from_lock) = args.from.place(&args.place).open_locked(LockMode::Shared)?;
    let (to, _lock) = args.place.open_locked(LockMode::Shared)?;
    let mut chosen = from.snapshots()?;
    if !args.snapshots.is_empty() {
        chosen = named(&chosen, &args.snapshots)?;
    }
    chosen.retain(|snapshot| args.fits(snapshot));
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
