//! `tintype fs mount NAME DIR`.

use std::path::PathBuf;

use hyper::Method;
use tintype_app::types::{FsInfo, MountRequest};
use tintype_model::VolumeName;

use crate::client::filesystem_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::{output, paths};

/// Options of `fs mount`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Where; the folder is made when it is not there
    dir: PathBuf,
}

/// Mounts a filesystem.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let request = MountRequest { dir: paths::to_server(&args.dir)? };
    let path = format!("{}/mount", filesystem_path(&args.name));
    let body = global.client()?.call(Method::PUT, &path, &request)?;
    show(global, &body, |info: FsInfo| {
        output::line(&format!("{} is mounted at {}", info.name, super::place(&info)))
    })
}
