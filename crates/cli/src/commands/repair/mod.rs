//! `tintype repair ...`: what is damaged in a repository is mended, and the rest kept.

mod index;
mod packs;
mod snapshots;

use clap::Subcommand;

use crate::error::CliResult;
use crate::options::Global;

/// What can be mended; in this order, when it is all of it.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make the index right by what the packs say
    Index(index::Args),
    /// Salvage what is whole of damaged packs
    Packs(packs::Args),
    /// Take out of snapshots what is missing, and keep the rest
    Snapshots(snapshots::Args),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: &Command) -> CliResult<()> {
    match command {
        Command::Index(args) => index::run(global, args),
        Command::Packs(args) => packs::run(global, args),
        Command::Snapshots(args) => snapshots::run(global, args),
    }
}
