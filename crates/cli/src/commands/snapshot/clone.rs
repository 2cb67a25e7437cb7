//! `tintype snapshot clone VOLUME@NAME NEW`.

use std::path::PathBuf;

use tintype_app::types::{CloneRequest, DiskInfo, FsInfo, VolumeInfo};
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
    #[arg(value_name = "VOLUME@NAME")]
    source: SnapshotRef,
    /// Name of the new filesystem or disk
    #[arg(value_name = "NEW")]
    name: VolumeName,
    /// Mount the new filesystem there, now and at every start
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
}

/// Makes a new volume from a snapshot.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let mount = args.mount.as_deref().map(paths::to_server).transpose()?;
    let request = CloneRequest { name: args.name, mount };
    let path = format!("{}/clone", snapshot_path(&args.source));
    let body = global.client()?.post(&path, &request)?;
    show(global, &body, |info: VolumeInfo| {
        let place = match &info {
            VolumeInfo::Filesystem(FsInfo { mount: Some(dir), .. }) => {
                format!(", mounted at {}", dir.display())
            }
            VolumeInfo::Disk(DiskInfo { nbd_uri: Some(uri), .. }) => format!(", at {uri}"),
            _ => String::new(),
        };
        output::line(&format!("created {} from {}{place}", info.name(), args.source))
    })
}
