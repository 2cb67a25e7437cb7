//! `tintype policy ...`: when snapshots are made by themselves, and how long they stay.

mod attach;
mod document;
mod export;
mod list;
mod run;
mod show;
mod write;

use std::process::ExitCode;

use clap::Subcommand;
use tintype_app::types::PolicyInfo;
use tintype_model::policy::PolicyName;

use crate::client::escape;
use crate::commands::show as answer;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// What can be done with policies.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a policy of schedules, or of a document
    Create(write::CreateArgs),
    /// Make a policy of a document, as `policy export` and WEKA's command line write it
    Import(write::ImportArgs),
    /// List all policies
    List,
    /// Show one policy, or what it would make and remove
    Show(show::Args),
    /// Change a policy
    Set(write::SetArgs),
    /// Let it make snapshots of volumes
    Attach(attach::Args),
    /// Take it off volumes; its snapshots stay
    Detach(attach::Args),
    /// Make a snapshot of all its volumes now, or only tell what is to come
    Run(run::Args),
    /// Delete it; its snapshots stay
    Delete(DeleteArgs),
    /// Write it as a document
    Export(export::Args),
}

/// Options of `policy delete`.
#[derive(clap::Args, Debug)]
pub struct DeleteArgs {
    /// Its name
    name: PolicyName,
    /// Also when it is attached to volumes
    #[arg(long)]
    force: bool,
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Create(args) => write::create(global, &args).map(done),
        Command::Import(args) => write::import(global, &args).map(done),
        Command::List => list::run(global).map(done),
        Command::Show(args) => show::run(global, &args).map(done),
        Command::Set(args) => write::set(global, &args).map(done),
        Command::Attach(args) => attach::attach(global, &args).map(done),
        Command::Detach(args) => attach::detach(global, &args).map(done),
        Command::Run(args) => run::run(global, &args),
        Command::Delete(args) => delete(global, &args).map(done),
        Command::Export(args) => export::run(global, &args).map(done),
    }
}

fn delete(global: &Global, args: &DeleteArgs) -> CliResult<()> {
    let force = if args.force { "?force=true" } else { "" };
    let body = global.client()?.delete(&format!("{}{force}", path(&args.name)))?;
    answer(global, &body, |info: PolicyInfo| output::line(&format!("deleted {}", info.name)))
}

/// The path of a policy.
fn path(name: &PolicyName) -> String {
    format!("/policies/{}", escape(name.as_str()))
}
