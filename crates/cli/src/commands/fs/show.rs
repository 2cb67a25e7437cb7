//! `tintype fs show NAME`.

use tintype_app::types::FsInfo;
use tintype_model::{ByteSize, VolumeName};

use super::{limit, place};
use crate::client::filesystem_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::{self, facts};

/// Options of `fs show`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
}

/// Shows one filesystem.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let body = global.client()?.get(&filesystem_path(&args.name))?;
    show(global, &body, |info: FsInfo| print(&info))
}

/// All facts about a filesystem.
pub fn print(info: &FsInfo) -> CliResult<()> {
    facts(&[
        ("name", info.name.to_string()),
        ("id", info.id.clone()),
        ("created", format!("{:.0}", info.created)),
        ("mount", place(info)),
        ("compression", info.compression.to_string()),
        ("quota", limit(info.quota)),
        ("capacity", limit(info.capacity)),
        ("live data", limit(info.referenced_bytes)),
        ("of it, its own", ByteSize(info.live_bytes).to_string()),
        ("snapshots", info.snapshots.to_string()),
        ("held by snapshots only", ByteSize(info.snapshot_bytes).to_string()),
    ])?;
    info.warnings.iter().try_for_each(|text| output::line(&format!("warning: {text}")))
}
