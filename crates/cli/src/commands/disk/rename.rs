//! `tintype disk rename OLD NEW`.

use hyper::Method;
use tintype_app::types::{DiskInfo, DiskUpdate};
use tintype_model::VolumeName;

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `disk rename`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The name that it has
    old: VolumeName,
    /// The name that it gets
    new: VolumeName,
}

/// Gives a disk another name.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let update = DiskUpdate { name: Some(args.new), ..DiskUpdate::default() };
    let body = global.client()?.call(Method::PATCH, &super::path(&args.old), &update)?;
    show(global, &body, |info: DiskInfo| {
        output::line(&format!("{} is called {} now", args.old, info.name))
    })
}
