//! `tintype weka fs snapshot access-point-naming-convention`.

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde::{Deserialize, Serialize};

use super::{API, data};
use crate::client::Client;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// What can be done with it.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show it
    Status,
    /// Change it
    Update {
        /// By the time, or by the name of the snapshot
        #[arg(value_enum, ignore_case = true)]
        convention: Convention,
    },
}

/// What access points are named after.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Convention {
    /// @GMT-YYYY.MM.DD-HH.MM.SS
    Date,
    /// As the snapshot
    Name,
}

#[derive(Serialize, Deserialize)]
struct Told {
    access_point_naming_convention: String,
}

/// Shows or changes it.
pub fn run(global: &Global, client: &Client, command: &Command) -> CliResult<()> {
    let path = format!("{API}/snapshots/accessPointNamingConvention");
    let body = match command {
        Command::Status => client.get(&path)?,
        Command::Update { convention } => {
            let word = match convention {
                Convention::Date => "date",
                Convention::Name => "name",
            };
            let wish = Told { access_point_naming_convention: word.to_owned() };
            client.call(Method::PUT, &path, &wish)?
        }
    };
    let told: Told = data(&body)?;
    if global.json {
        return output::json(&told);
    }
    output::line(&told.access_point_naming_convention)
}
