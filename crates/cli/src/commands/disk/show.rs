//! `tintype disk show NAME`.

use tintype_app::types::DiskInfo;
use tintype_model::{ByteSize, VolumeName};

use super::{bytes, path, size};
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::facts;

/// Options of `disk show`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
}

/// Shows one disk.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let body = global.client()?.get(&path(&args.name))?;
    show(global, &body, |info: DiskInfo| print(&info))
}

/// All facts about a disk.
pub fn print(info: &DiskInfo) -> CliResult<()> {
    let network = info.nbd_network_uri.clone().unwrap_or_else(|| "not served".to_owned());
    facts(&[
        ("name", info.name.to_string()),
        ("id", info.id.clone()),
        ("created", format!("{:.0}", info.created)),
        ("size", size(info)),
        ("block device", info.nbd_uri.clone().unwrap_or_else(|| "not served".to_owned())),
        ("through the network", network),
        ("compression", info.compression.to_string()),
        ("quota", bytes(info.quota)),
        ("capacity", bytes(info.capacity)),
        ("live data", bytes(info.referenced_bytes)),
        ("of it, its own", ByteSize(info.live_bytes).to_string()),
        ("snapshots", info.snapshots.to_string()),
        ("held by snapshots only", ByteSize(info.snapshot_bytes).to_string()),
    ])
}
