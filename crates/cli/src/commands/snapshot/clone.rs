//! `tintype snapshot clone FS@NAME NEWFS`.

use std::path::PathBuf;

use tintype_app::types::{CloneRequest, FsInfo};
use tintype_model::{SnapshotRef, VolumeName};

use crate::client::snapshot_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::{output, paths};

/// Options of `snapshot clone`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The moment
    #[arg(value_name = "FS@NAME")]
    source: SnapshotRef,
    /// Name of the new filesystem
    #[arg(value_name = "NEWFS")]
    name: VolumeName,
    /// Mount it there, now and at every start
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
}

/// Makes a new filesystem from a snapshot.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let mount = args.mount.as_deref().map(paths::to_server).transpose()?;
    let request = CloneRequest { name: args.name, mount };
    let path = format!("{}/clone", snapshot_path(&args.source));
    let body = global.client()?.post(&path, &request)?;
    show(global, &body, |info: FsInfo| {
        let place =
            info.mount.map_or_else(String::new, |dir| format!(", mounted at {}", dir.display()));
        output::line(&format!("created {} from {}{place}", info.name, args.source))
    })
}
