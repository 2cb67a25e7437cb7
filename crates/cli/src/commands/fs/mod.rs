//! `tintype fs ...`: filesystems.

mod create;
mod delete;
mod list;
mod mount;
mod quota;
mod rename;
mod set;
mod show;
mod unmount;

use clap::Subcommand;
use tintype_app::types::FsInfo;
use tintype_model::ByteSize;

use crate::error::CliResult;
use crate::options::Global;

/// What can be done with filesystems.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a filesystem
    Create(create::Args),
    /// List all filesystems
    List,
    /// Show one filesystem
    Show(show::Args),
    /// Change limits and compression
    Set(set::Args),
    /// Give it another name
    Rename(rename::Args),
    /// Mount it, now and at every start
    Mount(mount::Args),
    /// Unmount it, and do not mount it at the next start
    Unmount(unmount::Args),
    /// Delete it
    Delete(delete::Args),
    /// Limit what directories may hold
    #[command(subcommand)]
    Quota(quota::Command),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Create(args) => create::run(global, args),
        Command::List => list::run(global),
        Command::Show(args) => show::run(global, &args),
        Command::Set(args) => set::run(global, &args),
        Command::Rename(args) => rename::run(global, args),
        Command::Mount(args) => mount::run(global, &args),
        Command::Unmount(args) => unmount::run(global, &args),
        Command::Delete(args) => delete::run(global, &args),
        Command::Quota(command) => quota::run(global, command),
    }
}

/// Where it is mounted, in words.
fn place(info: &FsInfo) -> String {
    match &info.mount {
        Some(dir) if info.mounted => dir.display().to_string(),
        Some(dir) => format!("{} (not mounted)", dir.display()),
        None => "-".to_owned(),
    }
}

/// A limit, in words.
fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string())
}
