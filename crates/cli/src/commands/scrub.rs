//! `tintype scrub`: reads all data and verifies all checksums.

use std::path::PathBuf;
use std::process::ExitCode;

use tintype_app::types::ScrubInfo;
use tintype_model::ByteSize;

use super::fsck::{offline, print_findings};
use super::task;
use crate::client::parse;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `scrub`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Scrub the store in this folder, that no server holds, instead of asking the server
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Let it go on as a task, and print the task
    #[arg(long, conflicts_with = "store")]
    task: bool,
}

/// Scrubs; exit status 1 when something is damaged.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    if args.task {
        return task::begin(global, "/scrub", &serde_json::json!({}));
    }
    let info: ScrubInfo = match &args.store {
        Some(store) => offline(store, tintype_app::App::scrub)?,
        None => parse(&global.client()?.post("/scrub", &serde_json::json!({}))?)?,
    };
    if global.json {
        output::json(&info)?;
    } else {
        print_findings(&info.findings)?;
        let verdict = if info.clean { "nothing is damaged" } else { "data is damaged" };
        output::line(&format!("{verdict}; verified {}", ByteSize(info.bytes)))?;
    }
    Ok(if info.clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
