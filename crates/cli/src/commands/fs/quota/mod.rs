//! `tintype fs quota ...`: quotas of directories.

mod list;
mod set;
mod show;
mod unset;

use std::str::FromStr;

use clap::Subcommand;
use tintype_app::types::{QuotaInfo, QuotaState};
use tintype_model::{ModelError, VolumeName};

use crate::client::{escape, filesystem_path};
use crate::error::CliResult;
use crate::options::Global;

/// What can be done with quotas of directories.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Limit what a directory and all below it may hold
    Set(set::Args),
    /// List all quotas of a filesystem, or as they were in a snapshot
    List(list::Args),
    /// Show one quota
    Show(show::Args),
    /// Take a quota away
    Unset(unset::Args),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Set(args) => set::run(global, &args),
        Command::List(args) => list::run(global, &args),
        Command::Show(args) => show::run(global, &args),
        Command::Unset(args) => unset::run(global, &args),
    }
}

/// A directory of a filesystem: `home:/projects`.
#[derive(Clone, Debug)]
pub struct Directory {
    filesystem: VolumeName,
    path: String,
}

impl FromStr for Directory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, path)) = text.split_once(':') else {
            return Err("write FILESYSTEM:PATH, like home:/projects".to_owned());
        };
        let filesystem = VolumeName::new(name).map_err(|e: ModelError| e.to_string())?;
        Ok(Self { filesystem, path: path.to_owned() })
    }
}

impl Directory {
    /// Where the API has its quota.
    fn resource(&self) -> String {
        format!("{}/quota?path={}", filesystem_path(&self.filesystem), escape(&self.path))
    }
}

/// How far a quota is, in words.
fn state(info: &QuotaInfo) -> &'static str {
    match info.state {
        QuotaState::Active => "active",
        QuotaState::Counting => "counting",
    }
}
