//! `tintype copy --from-repo R1 --repo R2 [SNAP...]`: snapshots of one repository in another one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tintype_model::ByteSize;
use tintype_repo::{
    BlobOptions, Copied, CopyOptions, CopyProgress, LockMode, copy_snapshots, same_cuts,
};

use super::repo::mending::named_among;
use super::repo::packing::Packing;
use super::repo::progress::{Shown, Style, Watched};
use super::repo::{Choice, FromPlace, Place, interrupt};
use crate::error::CliResult;
use crate::notice::notice;
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
    #[command(flatten)]
    packing: Packing,
    /// Read all that would be copied and count it, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Say nothing but failures
    #[arg(short, long)]
    quiet: bool,
}

struct Watch(Arc<CopyProgress>);

impl Watch {
    fn counts(&self) -> [u64; 4] {
        let all = [&self.0.blobs, &self.0.blobs_total, &self.0.bytes, &self.0.bytes_total];
        all.map(|count| count.load(Ordering::Relaxed))
    }
}

impl Watched for Watch {
    fn line(&self, seconds: f64) -> String {
        let [blobs, blobs_total, bytes, bytes_total] = self.counts();
        let rate = ByteSize((bytes as f64 / seconds.max(0.001)) as u64);
        let (bytes, of) = (ByteSize(bytes), ByteSize(bytes_total));
        format!("{blobs} of {blobs_total} blobs, {bytes} of {of}, {rate}/s")
    }

    fn event(&self) -> Value {
        let [blobs, blobs_total, bytes, bytes_total] = self.counts();
        json!({ "blobs": blobs, "blobs_total": blobs_total, "bytes": bytes, "bytes_total": bytes_total })
    }

    fn failures(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// Copies what is not there yet.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let blobs = args.packing.apply(BlobOptions::default())?;
    let (from, from_lock) = args.from.place(&args.place).open_locked(LockMode::Shared)?;
    let (to, lock) = match args.dry_run {
        true => (args.place.open()?, None),
        false => {
            let (to, lock) = args.place.open_locked(LockMode::Shared)?;
            (to, Some(lock))
        }
    };
    let all = from.snapshots()?;
    let chosen = match args.snapshots.is_empty() {
        true => all.into_iter().filter(|snapshot| args.choice.fits(snapshot)).collect(),
        // The filters choose what `latest` means; an id is an id.
        false => named_among(&all, &args.snapshots, &args.choice)?,
    };
    if !same_cuts(&from, &to) {
        notice(
            "the two repositories cut files at different places, so copies share nothing with backups made there; \
             `tintype repo init --copy-chunker-params` makes one that cuts alike",
        );
    }
    let blobs = BlobOptions { dry_run: args.dry_run, ..blobs };
    let options = CopyOptions { blobs, ..CopyOptions::default() };
    let progress = Arc::new(CopyProgress::new(interrupt::stop()));
    let style = Style { json: global.json, quiet: args.quiet };
    let shown = Shown::start(style, Watch(Arc::clone(&progress)));
    let guard = || lock.iter().chain([&from_lock]).try_for_each(interrupt::guard);
    let copied = copy_snapshots(&from, &to, &chosen, options, &progress, &guard);
    drop(shown);
    tell(global, args, &copied?)
}

fn tell(global: &Global, args: &Args, copied: &Copied) -> CliResult<()> {
    let blobs = copied.written.blobs.iter().sum::<u64>();
    let bytes = copied.written.stored.iter().sum::<u64>();
    if global.json {
        let pairs = copied.snapshots.iter().map(|(old, new)| json!({ "id": old, "new": new }));
        return output::json(&json!({
            "dry_run": args.dry_run, "copied": pairs.collect::<Vec<_>>(), "there": copied.there,
            "blobs": blobs, "bytes": bytes,
        }));
    }
    if args.quiet {
        return Ok(());
    }
    let verb = if args.dry_run { "would copy" } else { "copied" };
    for (old, new) in &copied.snapshots {
        let new = new.map(|new| format!(" as {}", new.0.short())).unwrap_or_default();
        output::line(&format!("{verb} {}{new}", old.0.short()))?;
    }
    output::line(&format!(
        "{verb} {} snapshots, {} were there; {} stored",
        copied.snapshots.len(),
        copied.there.len(),
        ByteSize(bytes)
    ))
}
