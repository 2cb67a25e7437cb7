//! `tintype policy run NAME`.

use std::process::ExitCode;

use tintype_app::types::{PolicyRun, PolicyRunRequest};
use tintype_model::policy::{Class, PolicyName};

use crate::client::parse;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `policy run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: PolicyName,
    /// The class that the snapshots count for; needed when the policy has several
    #[arg(long, conflicts_with = "dry_run")]
    class: Option<Class>,
    /// Make nothing, and show what would be made and removed by itself
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: in so many days
    #[arg(long, default_value_t = 7, requires = "dry_run")]
    days: u32,
}

/// Runs a policy now.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    if args.dry_run {
        return super::show::foretell(global, &args.name, args.days).map(|()| ExitCode::SUCCESS);
    }
    let request = PolicyRunRequest { class: args.class };
    let body = global.client()?.post(&format!("{}/run", super::path(&args.name)), &request)?;
    let done: PolicyRun = parse(&body)?;
    if global.json {
        output::raw_json(&body)?;
    } else {
        for name in &done.made {
            output::line(&format!("made {name}"))?;
        }
        for error in &done.failed {
            output::line(&format!("failed: {error}. {}", error.remedy))?;
        }
    }
    Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
