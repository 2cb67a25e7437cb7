//! `tintype snapshot ...`: moments of filesystems.

mod clone;
mod create;
mod delete;
mod diff;
mod list;
mod of_repo;
mod restore;
mod show;
mod space;
mod update;

use clap::Subcommand;
use tintype_model::DeleteRule;

use crate::error::CliResult;
use crate::options::Global;

pub use diff::line as diff_line;

/// What can be done with snapshots.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Keep this moment
    Create(create::Args),
    /// List snapshots
    List(list::Args),
    /// Show one snapshot
    Show(show::Args),
    /// Change what a snapshot says about itself, or make it writable
    Update(update::Args),
    /// Delete snapshots
    Delete(delete::Args),
    /// Make the live filesystem what it was at that moment
    Restore(restore::Args),
    /// Make a new, independent filesystem from a snapshot
    Clone(clone::Args),
    /// Show what differs between two moments
    Diff(diff::Args),
    /// Show what deleting exactly these snapshots would free
    ///
    /// Accounted bytes: before compression, and what is shared inside a file or between files counts at each reference.
    Space(space::Args),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Create(args) => create::run(global, args),
        Command::List(args) => list::run(global, &args),
        Command::Show(args) => show::run(global, &args),
        Command::Update(args) => update::run(global, args),
        Command::Delete(args) => delete::run(global, args),
        Command::Restore(args) => restore::run(global, args),
        Command::Clone(args) => clone::run(global, args),
        Command::Diff(args) => diff::run(global, &args),
        Command::Space(args) => space::run(global, args),
    }
}

/// A delete rule, in words.
fn rule(rule: Option<DeleteRule>) -> String {
    rule.map_or_else(|| "-".to_owned(), |rule| rule.to_string())
}
