//! `tintype rewrite [SNAP...]`: snapshots without what should not be in them, or with another host or time.

use std::path::PathBuf;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tintype_repo::{
    Excludes, LockMode, Moment, RewriteOptions, SnapshotModification, rewrite_snapshots,
};

use super::backup::text_of;
use super::repo::Place;
use super::repo::mending::{named, refuse_protected, tell_versions, versions, watched};
use crate::error::{CliError, CliResult};
use crate::options::{Global, time};
use crate::output;

/// Options of `rewrite`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to rewrite (default: all)
    #[arg(value_name = "SNAP")]
    snapshots: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Leave out what fits this pattern, as `backup` does, by the path that `ls` shows; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// As --exclude, whatever the case of letters
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,
    /// Read patterns from a file, one in a line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Another name of the machine
    #[arg(long, value_name = "HOST")]
    new_host: Option<String>,
    /// Another time
    #[arg(long, value_name = "TIME")]
    new_time: Option<String>,
    /// Write every tree in restic's form, also where another program wrote its own
    #[arg(long)]
    all_trees: bool,
    /// Remove the old versions; protected ones stay
    #[arg(long)]
    forget: bool,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Rewrites, then says what has changed.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let options = options(args)?;
    let mode = if args.forget { LockMode::Exclusive } else { LockMode::Shared };
    let (repo, lock) = args.place.open_locked(mode)?;
    let there = repo.snapshots()?;
    let chosen = match args.snapshots.is_empty() {
        true => there.clone(),
        false => named(&there, &args.snapshots)?,
    };
    let now = Timestamp::now();
    let report = watched(global.json, &lock, |progress, guard| {
        rewrite_snapshots(&repo, &there, &chosen, &options, now, progress, guard)
    })?;
    if global.json {
        output::json(&json!({
            "dry_run": args.dry_run, "rewritten": versions(&report.rewritten), "unchanged": report.unchanged,
            "protected": report.protected,
        }))?;
    } else {
        let verb = if args.dry_run { "would rewrite" } else { "rewrote" };
        tell_versions(&report.rewritten, verb)?;
        output::line(&format!(
            "{verb} {} snapshots, {} stay as they are",
            report.rewritten.len(),
            report.unchanged.len()
        ))?;
        if args.forget && !args.dry_run && !report.rewritten.is_empty() {
            output::line("what was left out is still in the repository until `tintype prune`")?;
        }
    }
    refuse_protected(&report.protected)
}

fn options(args: &Args) -> CliResult<RewriteOptions> {
    let mut exact = args.exclude.clone();
    for file in &args.exclude_file {
        exact.extend(Excludes::lines(&text_of(file)?).map(str::to_owned));
    }
    let excludes = Excludes::new(
        exact.iter().map(String::as_str),
        args.iexclude.iter().map(String::as_str),
    )
    .map_err(|e| CliError::usage(format!("--exclude: {e}"), "See `tintype rewrite --help`."))?;
    let instant = args.new_time.as_deref().map(|text| time("--new-time", text)).transpose()?;
    let change = SnapshotModification {
        hostname: args.new_host.clone(),
        time: instant.map(|instant| Moment::in_zone(instant, &TimeZone::system())),
        ..SnapshotModification::default()
    };
    if excludes.is_empty() && change == SnapshotModification::default() && !args.all_trees {
        return Err(CliError::usage(
            "nothing says what to change",
            "Give --exclude, --new-host, --new-time or --all-trees.",
        ));
    }
    Ok(RewriteOptions {
        excludes,
        change,
        all_trees: args.all_trees,
        forget: args.forget,
        dry_run: args.dry_run,
    })
}
