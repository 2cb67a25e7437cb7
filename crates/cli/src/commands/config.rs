//! `tintype config ...`: the configuration file of `up`.

use std::path::PathBuf;

use clap::Subcommand;

use super::up;
use crate::config::{Config, reference};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// What can be done with it.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Read a configuration file, and say whether a server would start with it
    Check {
        /// The file (default: the one that `up` would read)
        file: Option<PathBuf>,
    },
    /// Print what may stand in it
    Reference,
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: &Command) -> CliResult<()> {
    match command {
        Command::Reference => output::print(reference().as_bytes()),
        Command::Check { file } => {
            let config = Config::find(file.as_deref())?;
            let none = up::Args::default();
            drop(none.under(&config)?.options(global, &config)?);
            if global.json {
                return output::json(&serde_json::json!({ "valid": true }));
            }
            output::line("the configuration is valid")
        }
    }
}
