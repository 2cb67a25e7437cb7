//! `tintype prune`: frees what no snapshot needs.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tintype_model::{ByteSize, Span};
use tintype_repo::{
    BlobOptions, Limit, Lock, LockMode, PruneOptions, Repository, plan_prune, prune,
};

use super::repo::packing::Packing;
use super::repo::{Place, interrupt};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `prune`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// What may stay unused: `x%`, a size, or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = Limit::from_str)]
    max_unused: Limit,
    /// What is rewritten at most: `x%`, a size, or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "unlimited", value_parser = Limit::from_str)]
    max_repack: Limit,
    /// How long packs that nothing needs wait before they are deleted: longer than the longest backup of programs without locks
    #[arg(long, value_name = "SPAN", default_value = "23h")]
    keep_delete: Span,
    /// Compress what was stored without compression
    #[arg(long)]
    repack_uncompressed: bool,
    /// Delete at once; only when no program without locks (rustic) writes to the repository
    #[arg(long)]
    instant_delete: bool,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    packing: Packing,
}

/// Plans, shows, and carries out.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.open_locking(LockMode::Exclusive)?;
    let options = PruneOptions {
        max_unused: args.max_unused,
        max_repack: args.max_repack,
        keep_delete: SignedDuration::from_secs(
            i64::try_from(args.keep_delete.seconds()).unwrap_or(i64::MAX),
        ),
        repack_uncompressed: args.repack_uncompressed,
        instant_delete: args.instant_delete,
        ..default_options(args.packing)?
    };
    carry_out(global, &repo, &lock, &options, args.dry_run)
}

/// What `forget --prune` uses.
pub fn default_options(packing: Packing) -> CliResult<PruneOptions> {
    let blobs = packing.apply(BlobOptions::default())?;
    Ok(PruneOptions { alone: true, blobs, ..PruneOptions::default() })
}

/// Prunes a repository that is locked.
pub fn carry_out(
    global: &Global,
    repo: &Repository,
    lock: &Lock,
    options: &PruneOptions,
    dry_run: bool,
) -> CliResult<()> {
    let plan = plan_prune(repo, options, Timestamp::now())?;
    interrupt::guard(lock)?;
    if !global.json {
        output::line(&plan.to_string())?;
    }
    let done = if dry_run { None } else { Some(prune(repo, &plan, &|| interrupt::guard(lock))?) };
    if global.json {
        let stats = &plan.stats;
        let packs = stats.packs.iter().map(|(decision, amount)| {
            (
                format!("{decision:?}").to_lowercase(),
                json!({ "packs": amount.packs, "bytes": amount.bytes }),
            )
        });
        return output::json(&json!({
            "dry_run": dry_run, "packs": packs.collect::<serde_json::Map<_, _>>(), "used_bytes": stats.used,
            "unused_before_bytes": stats.unused_before, "unused_after_bytes": stats.unused_after,
            "rewritten_bytes": stats.rewritten, "deleted_packs": done.map(|done| done.packs),
        }));
    }
    match done {
        None => output::line("nothing was changed: --dry-run"),
        Some(done) => output::line(&format!(
            "deleted {} packs, rewrote {}, wrote the index anew for {} files",
            done.packs,
            ByteSize(plan.stats.rewritten),
            done.index_files
        )),
    }
}
