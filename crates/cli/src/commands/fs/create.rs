//! `tintype fs create NAME`.

use std::path::PathBuf;

use tintype_app::types::{FsCreate, FsInfo};
use tintype_model::{ByteSize, Compression, VolumeName};

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::{output, paths};

/// Options of `fs create`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Limit of live data
    #[arg(long, value_name = "SIZE")]
    quota: Option<ByteSize>,
    /// Limit of live data and snapshots together
    #[arg(long, value_name = "SIZE")]
    capacity: Option<ByteSize>,
    /// How new data is compressed: lz4, zstd, zstd:LEVEL or off
    #[arg(long, default_value = "lz4")]
    compression: Compression,
    /// Mount it there, now and at every start
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
}

/// Makes a filesystem.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let wish = FsCreate {
        name: args.name,
        quota: args.quota.map(|size| size.0),
        capacity: args.capacity.map(|size| size.0),
        compression: args.compression,
        mount: args.mount.as_deref().map(paths::to_server).transpose()?,
    };
    let body = global.client()?.post("/filesystems", &wish)?;
    show(global, &body, |info: FsInfo| match &info.mount {
        Some(dir) => output::line(&format!("created {}, mounted at {}", info.name, dir.display())),
        None => output::line(&format!("created {}", info.name)),
    })
}
