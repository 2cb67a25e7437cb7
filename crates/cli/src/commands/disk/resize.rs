//! `tintype disk resize NAME SIZE`.

use hyper::Method;
use tintype_app::types::{DiskInfo, DiskUpdate};
use tintype_model::{ByteSize, VolumeName};

use super::{bytes, path, size};
use crate::commands::show;
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::{client, output};

/// Options of `disk resize`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// The new size; a multiple of 512 bytes
    size: ByteSize,
    /// Also when the disk gets smaller: what lies behind the new end is gone, but for snapshots
    #[arg(long)]
    shrink: bool,
}

/// Changes the size of a disk.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let client = global.client()?;
    if !args.shrink {
        let now: DiskInfo = client::parse(&client.get(&path(&args.name))?)?;
        if now.size.is_some_and(|now| args.size.0 < now) {
            return Err(CliError::failure(
                format!("disk {}: would lose what lies behind {}", args.name, args.size),
                format!(
                    "It has {} now. Take a snapshot first, and say --shrink to go on.",
                    bytes(now.size)
                ),
            ));
        }
    }
    let update = DiskUpdate { size: Some(args.size.0), ..DiskUpdate::default() };
    let body = client.call(Method::PATCH, &path(&args.name), &update)?;
    show(global, &body, |info: DiskInfo| {
        output::line(&format!("{} has {} now", info.name, size(&info)))
    })
}
