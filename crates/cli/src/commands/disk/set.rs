//! `tintype disk set NAME`.

use hyper::Method;
use tintype_app::types::{DiskInfo, DiskUpdate};
use tintype_model::{Compression, VolumeName};

use crate::commands::show;
use crate::error::CliResult;
use crate::options::{Global, Limit, parse_limit};

/// Options of `disk set`.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Limit of live data
    #[arg(long, value_name = "SIZE|none", value_parser = parse_limit, group = "change")]
    quota: Option<Limit>,
    /// Limit of live data and snapshots together
    #[arg(long, value_name = "SIZE|none", value_parser = parse_limit, group = "change")]
    capacity: Option<Limit>,
    /// How new data is compressed: lz4, zstd, zstd:LEVEL or off
    #[arg(long, group = "change")]
    compression: Option<Compression>,
}

/// Changes a disk.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let update = DiskUpdate {
        quota: args.quota.map(|limit| limit.0),
        capacity: args.capacity.map(|limit| limit.0),
        compression: args.compression,
        ..DiskUpdate::default()
    };
    let body = global.client()?.call(Method::PATCH, &super::path(&args.name), &update)?;
    show(global, &body, |info: DiskInfo| super::show::print(&info))
}
