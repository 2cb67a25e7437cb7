//! `tintype disk create NAME --size SIZE`.

use tintype_app::types::{DiskCreate, DiskInfo};
use tintype_model::{ByteSize, Compression, VolumeName};

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `disk create`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Its size; a multiple of 512 bytes
    #[arg(long, value_name = "SIZE")]
    size: ByteSize,
    /// Limit of live data, for a disk that may not fill all of its size
    #[arg(long, value_name = "SIZE")]
    quota: Option<ByteSize>,
    /// Limit of live data and snapshots together
    #[arg(long, value_name = "SIZE")]
    capacity: Option<ByteSize>,
    /// How new data is compressed: lz4, zstd, zstd:LEVEL or off
    #[arg(long, default_value = "lz4")]
    compression: Compression,
}

/// Makes a disk.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let wish = DiskCreate {
        name: args.name,
        size: args.size.0,
        quota: args.quota.map(|size| size.0),
        capacity: args.capacity.map(|size| size.0),
        compression: args.compression,
    };
    let body = global.client()?.post("/disks", &wish)?;
    show(global, &body, |info: DiskInfo| {
        let place = info.nbd_uri.as_ref().map_or_else(String::new, |uri| format!(", at {uri}"));
        output::line(&format!("created {}{place}", info.name))
    })
}
