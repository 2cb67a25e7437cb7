//! `tintype restore SNAP[:PATH] --target DIR`: from a repository into a folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};
use tintype_model::ByteSize;
use tintype_repo::{
    Excludes, Lock, LockMode, Overwrite, Ownership, RestoreOptions, RestoreProgress, RestoreReport,
    WriteOptions, restore,
};

use super::repo::progress::{Shown, Style, Watched};
use super::repo::{Choice, INCOMPLETE, Place, Unlocked, interrupt};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `restore`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshot - id, `latest`, `latest~N` - and perhaps a path in it
    #[arg(value_name = "SNAP[:PATH]")]
    what: String,
    /// The folder that it is restored into
    #[arg(short, long, value_name = "DIR")]
    target: PathBuf,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    unlocked: Unlocked,
    #[command(flatten)]
    place: Place,
    /// Restore only what fits this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out what fits this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Remove what is in the target and not in the snapshot
    #[arg(long)]
    delete: bool,
    /// Change nothing, show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Leave holes where files hold zeroes only
    #[arg(long)]
    sparse: bool,
    /// When something that is there already gives way
    #[arg(long, value_name = "WHEN", default_value = "always")]
    overwrite: When,
    /// Whose the files become
    #[arg(long, value_name = "HOW", default_value = "number")]
    ownership: Owner,
    /// Leave out extended attributes and access control lists
    #[arg(long)]
    no_xattrs: bool,
    /// Say nothing but failures
    #[arg(short, long)]
    quiet: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum When {
    Always,
    IfChanged,
    IfNewer,
    Never,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Owner {
    Number,
    Name,
    None,
}

struct Watch(Arc<RestoreProgress>);

impl Watched for Watch {
    fn line(&self, seconds: f64) -> String {
        let rate = self.0.bytes_written() as f64 / seconds.max(0.001);
        let (files, of) = (self.0.files(), self.0.files_planned());
        format!(
            "{files} of {of} files, {} written, {}/s",
            ByteSize(self.0.bytes_written()),
            ByteSize(rate as u64)
        )
    }

    fn event(&self) -> Value {
        json!({
            "files": self.0.files(), "files_planned": self.0.files_planned(), "bytes_planned": self.0.bytes_planned(),
            "bytes_written": self.0.bytes_written(), "bytes_reused": self.0.bytes_reused(),
        })
    }

    fn failures(&self) -> Vec<(String, String)> {
        let all = self.0.take_failures().into_iter();
        all.map(|failure| (failure.path.to_string_lossy().into_owned(), failure.detail)).collect()
    }
}

/// Restores, then says what is missing. Status 3: not all could be restored.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    let (name, path) = args.what.split_once(':').unwrap_or((&args.what, ""));
    let options = options(args, path)?;
    let (repo, lock) = args.place.open_reading(LockMode::Shared, args.unlocked)?;
    let snapshot = args.place.snapshot(&repo, name, &args.choice)?;
    let index = repo.index()?;
    // Before anything is changed in the target.
    lock.as_ref().map_or(Ok(()), Lock::check)?;
    let progress = Arc::new(RestoreProgress::new(interrupt::stop()));
    let shown =
        Shown::start(Style { json: global.json, quiet: args.quiet }, Watch(Arc::clone(&progress)));
    let report = restore(&repo, &index, snapshot.tree, &args.target, &options, &progress);
    drop(shown);
    let report = report?;
    if !report.is_complete() {
        // What was not read because of a stop is no gap.
        interrupt::stop().check()?;
    }
    tell(global, args, &report)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn options(args: &Args, path: &str) -> CliResult<RestoreOptions> {
    let patterns = |option: &str, texts: &[String]| {
        Excludes::new(texts.iter().map(String::as_str), [])
            .map_err(|e| CliError::usage(format!("{option}: {e}"), ""))
    };
    let ownership = match args.ownership {
        Owner::Number => Ownership::Numeric,
        Owner::Name => Ownership::ByName,
        Owner::None => Ownership::Unchanged,
    };
    let overwrite = match args.overwrite {
        When::Always => Overwrite::Always,
        When::IfChanged => Overwrite::IfChanged,
        When::IfNewer => Overwrite::IfNewer,
        When::Never => Overwrite::Never,
    };
    Ok(RestoreOptions {
        path: PathBuf::from(path),
        include: patterns("--include", &args.include)?,
        exclude: patterns("--exclude", &args.exclude)?,
        delete: args.delete,
        dry_run: args.dry_run,
        sparse: args.sparse,
        overwrite,
        metadata: WriteOptions { ownership, without_attributes: args.no_xattrs },
        ..RestoreOptions::default()
    })
}

fn tell(global: &Global, args: &Args, report: &RestoreReport) -> CliResult<()> {
    if global.json {
        return output::json(&in_json(report));
    }
    for file in &report.incomplete {
        for part in &file.missing {
            let at = part.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
            output::line(&format!(
                "missing in {}{at}: blob {}: {}",
                output::printable(&file.path.to_string_lossy()),
                part.blob,
                part.detail
            ))?;
        }
    }
    for dir in &report.damaged_dirs {
        output::line(&format!(
            "folder {}: {}",
            output::printable(&dir.path.to_string_lossy()),
            dir.detail
        ))?;
    }
    if !(report.incomplete.is_empty() && report.damaged_dirs.is_empty()) {
        output::line(
            "`tintype check --read-data` shows all that is damaged, and which `tintype repair` mends it",
        )?;
    }
    if args.quiet {
        return Ok(());
    }
    let would = if args.dry_run { "would restore" } else { "restored" };
    output::line(&format!(
        "{would} {} files, {} folders, {} others, {} links: {} written, {} were right already, {} entries kept, {} deleted",
        report.files,
        report.dirs,
        report.others,
        report.links,
        ByteSize(report.bytes_written),
        ByteSize(report.bytes_reused),
        report.kept,
        report.deleted
    ))
}

fn in_json(report: &RestoreReport) -> Value {
    let incomplete = report.incomplete.iter().map(|file| {
        let missing = file.missing.iter().map(
            |part| json!({ "offset": part.offset, "length": part.length, "blob": part.blob, "detail": part.detail }),
        );
        json!({ "path": file.path.to_string_lossy(), "missing": missing.collect::<Vec<_>>() })
    });
    let dirs = report.damaged_dirs.iter();
    let dirs = dirs.map(|dir| json!({ "path": dir.path.to_string_lossy(), "detail": dir.detail }));
    json!({
        "event": "summary", "complete": report.is_complete(), "files": report.files, "dirs": report.dirs,
        "others": report.others, "links": report.links, "kept": report.kept, "deleted": report.deleted,
        "bytes_written": report.bytes_written, "bytes_reused": report.bytes_reused, "failures": report.failed,
        "incomplete": incomplete.collect::<Vec<_>>(), "damaged_dirs": dirs.collect::<Vec<_>>(),
    })
}
