//! `tintype check`: is everything there that the repository promises?

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tintype_model::ByteSize;
use tintype_repo::{CheckOptions, CheckProgress, LockMode, Mend, ReadData, Severity, check};

use super::repo::progress::{Shown, Style, Watched};
use super::repo::{Place, Unlocked, interrupt};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Read all packs and verify every blob
    #[arg(long)]
    read_data: bool,
    /// Read some of the packs: `n/t` (the n-th of t parts), `x%`, or a size
    #[arg(long, value_name = "PART", conflicts_with = "read_data")]
    read_data_subset: Option<ReadData>,
    /// Read index files and trees from the copies near by where there are some: faster, but it says less about the place itself
    #[arg(long, conflicts_with = "no_cache")]
    with_cache: bool,
    #[command(flatten)]
    unlocked: Unlocked,
    /// Say nothing but findings
    #[arg(short, long)]
    quiet: bool,
}

struct Watch(Arc<CheckProgress>);

impl Watched for Watch {
    fn line(&self, seconds: f64) -> String {
        let [trees, packs, total, bytes] =
            [&self.0.trees, &self.0.packs, &self.0.packs_total, &self.0.bytes]
                .map(|count| count.load(Ordering::Relaxed));
        let rate = ByteSize((bytes as f64 / seconds.max(0.001)) as u64);
        format!("{trees} trees, {packs} of {total} packs, {rate}/s")
    }

    fn event(&self) -> Value {
        let [trees, packs, total, bytes] =
            [&self.0.trees, &self.0.packs, &self.0.packs_total, &self.0.bytes]
                .map(|count| count.load(Ordering::Relaxed));
        json!({ "trees": trees, "packs": packs, "packs_total": total, "bytes": bytes })
    }

    fn failures(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// The command that mends so.
fn command(mend: Mend) -> &'static str {
    match mend {
        Mend::Index => "repair index",
        Mend::WholeIndex => "repair index --read-all",
        Mend::Packs => "repair packs",
        Mend::Snapshots => "repair snapshots",
        Mend::Recover => "recover",
    }
}

/// Checks and prints findings. Status 1: there are errors.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    let place = if args.with_cache { args.place.clone() } else { args.place.without_cache() };
    let (repo, lock) = place.open_reading(LockMode::Exclusive, args.unlocked)?;
    let read_data =
        if args.read_data { ReadData::All } else { args.read_data_subset.unwrap_or_default() };
    let progress = Arc::new(CheckProgress::default());
    let shown =
        Shown::start(Style { json: global.json, quiet: args.quiet }, Watch(Arc::clone(&progress)));
    let report = check(&repo, &CheckOptions { read_data, threads: 0 }, &progress);
    drop(shown);
    let report = report?;
    // What was not read because of a stop is no finding, nor what somebody else did at the same time.
    match &lock {
        Some(lock) => interrupt::guard(lock)?,
        None => interrupt::stop().check()?,
    }
    let status = if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let word = |severity: Severity| if severity == Severity::Error { "error" } else { "warning" };
    let mends: Vec<_> = report.mends().into_iter().map(command).collect();
    if global.json {
        let findings = report.findings.iter();
        let findings = findings.map(|finding| json!({ "severity": word(finding.severity()), "detail": finding.to_string() }));
        output::json(&json!({
            "event": "summary", "sound": report.is_sound(), "errors": report.errors, "warnings": report.warnings,
            "snapshots": report.snapshots, "trees": report.trees, "packs": report.packs, "packs_read": report.packs_read,
            "bytes_read": report.bytes_read, "findings": findings.collect::<Vec<_>>(),
            "mend": mends,
        }))?;
        return Ok(status);
    }
    for finding in &report.findings {
        output::line(&format!("{}: {finding}", word(finding.severity())))?;
    }
    if !args.quiet {
        let read = match report.packs_read {
            0 => String::new(),
            count => format!(", {count} packs read ({})", ByteSize(report.bytes_read)),
        };
        let what = format!(
            "{} snapshots, {} trees, {} packs{read}",
            report.snapshots, report.trees, report.packs
        );
        output::line(&format!("{what}: {} errors, {} warnings", report.errors, report.warnings))?;
        if !mends.is_empty() {
            output::line(&format!("to mend it: `tintype {}`", mends.join("`, then `tintype ")))?;
        }
    }
    Ok(status)
}
