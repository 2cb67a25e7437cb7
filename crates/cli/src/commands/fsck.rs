//! `tintype fsck`: checks a store, through the server that holds it or alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tintype_app::types::{FsckFinding, FsckInfo, FsckRequest};
use tintype_app::{App, AppOptions, AppResult, ErrorKind, NoMounter, until};

use super::task;
use crate::client::parse;
use crate::error::{CliError, CliResult, STOPPED};
use crate::options::Global;
use crate::{output, paths, signals};

/// Options of `fsck`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Repair what can be repaired
    #[arg(long)]
    repair: bool,
    /// Check every snapshot, not only the live filesystems
    #[arg(long)]
    all: bool,
    /// Check the store in this folder, that no server holds, instead of asking the server
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Let it go on as a task, and print the task
    #[arg(long, conflicts_with = "store")]
    task: bool,
}

/// Checks; exit status 1 when something is wrong and was not repaired.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    let (repair, all) = (args.repair, args.all);
    if args.task {
        return task::begin(global, "/fsck", &FsckRequest { repair, all });
    }
    let info: FsckInfo = match &args.store {
        Some(store) => alone(store, repair, all)?,
        None => parse(&global.client()?.post("/fsck", &FsckRequest { repair, all })?)?,
    };
    if global.json {
        output::json(&info)?;
    } else {
        print(&info)?;
    }
    Ok(if info.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks a store in this process. One that does not open is checked row by row; when a repair makes it open, the rest follows.
fn alone(store: &Path, repair: bool, all: bool) -> CliResult<FsckInfo> {
    match App::open(options(store)?, Arc::new(NoMounter)) {
        Ok(app) => work_and_close(&app, |app| app.fsck(repair, all)),
        Err(error) if error.kind == ErrorKind::Damaged => {
            let rows = tintype_app::fsck_unopened(&paths::to_server(store)?, repair)?;
            if !rows.clean || !repair {
                return Ok(rows);
            }
            let mut info = offline(store, |app| app.fsck(repair, all))?;
            info.findings.splice(0..0, rows.findings);
            Ok(info)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a store in this process for one piece of work.
pub fn offline<T>(store: &Path, work: impl FnOnce(&App) -> AppResult<T>) -> CliResult<T> {
    let app = App::open(options(store)?, Arc::new(NoMounter))?;
    work_and_close(&app, work)
}

/// A signal ends the work where that is sound, and closes the store.
fn work_and_close<T>(app: &App, work: impl FnOnce(&App) -> AppResult<T>) -> CliResult<T> {
    let stop = signals::wish()?;
    let result = until(&stop, || work(app));
    app.close()?;
    result.map_err(|error| match stop.is_asked() {
        true => CliError { status: STOPPED, ..CliError::failure("stopped by a signal", "") },
        false => error.into(),
    })
}

fn options(store: &Path) -> CliResult<AppOptions> {
    let (store, user) = (paths::to_server(store)?, paths::user_name());
    Ok(AppOptions { store, create: false, snapshot_limits: None, user })
}

/// Lines for findings.
pub fn print_findings(findings: &[FsckFinding]) -> CliResult<()> {
    for finding in findings {
        let end = if finding.repaired { " (repaired)" } else { "" };
        output::line(&format!("{}: {}{end}", finding.object, finding.problem))?;
    }
    Ok(())
}

fn print(info: &FsckInfo) -> CliResult<()> {
    print_findings(&info.findings)?;
    let counts: Vec<String> =
        info.checked.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let verdict = if info.clean { "the store is consistent" } else { "the store is damaged" };
    output::line(&format!("{verdict}; checked {}", counts.join(", ")))
}
