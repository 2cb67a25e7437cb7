//! `tintype fs rename OLD NEW`.

use hyper::Method;
use tintype_app::types::{FsInfo, FsUpdate};
use tintype_model::VolumeName;

use crate::client::filesystem_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `fs rename`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name now
    old: VolumeName,
    /// Its name from now on
    new: VolumeName,
}

/// Renames a filesystem; its mount and its snapshots go with it.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let update = FsUpdate { name: Some(args.new), ..FsUpdate::default() };
    let body = global.client()?.call(Method::PATCH, &filesystem_path(&args.old), &update)?;
    show(global, &body, |info: FsInfo| {
        output::line(&format!("{} is now called {}", args.old, info.name))
    })
}
