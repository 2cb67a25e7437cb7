//! `tintype store ...`: how much the store takes and may take.

use clap::Subcommand;
use hyper::Method;
use tintype_app::types::{StoreInfo, StoreUpdate};
use tintype_model::ByteSize;

use super::show;
use crate::error::CliResult;
use crate::options::{Global, Limit, parse_limit};
use crate::output::{self, facts};

/// What can be done with the store.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show how much the store takes and may take
    Show,
    /// Limit how much the store may take on disk
    Set(Args),
}

/// Options of `store set`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Limit of all that lies in the store: live data, snapshots, and what waits to be cleaned
    #[arg(long, value_name = "SIZE|none", value_parser = parse_limit)]
    quota: Limit,
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: &Command) -> CliResult<()> {
    let client = global.client()?;
    let body = match command {
        Command::Show => client.get("/store")?,
        Command::Set(args) => {
            client.call(Method::PATCH, "/store", &StoreUpdate { quota: Some(args.quota.0) })?
        }
    };
    show(global, &body, |info: StoreInfo| print(&info))
}

fn print(info: &StoreInfo) -> CliResult<()> {
    let size = |bytes: Option<u64>| {
        bytes.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string())
    };
    facts(&[
        ("store", info.store.display().to_string()),
        ("quota", size(info.quota)),
        ("on disk", ByteSize(info.disk_bytes).to_string()),
        ("free", size(info.free_bytes)),
    ])?;
    info.warnings.iter().try_for_each(|text| output::line(&format!("warning: {text}")))
}
