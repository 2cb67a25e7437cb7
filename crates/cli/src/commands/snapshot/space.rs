//! `tintype snapshot space FS@A [FS@B...]`.

use tintype_app::types::{SnapshotSet, SpaceInfo};
use tintype_model::{ByteSize, SnapshotRef};

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `snapshot space`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshots
    #[arg(value_name = "FS@NAME", required = true)]
    names: Vec<SnapshotRef>,
}

/// Shows what deleting exactly these would free.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let body = global.client()?.post("/space", &SnapshotSet { snapshots: args.names })?;
    show(global, &body, |info: SpaceInfo| {
        let bytes = info.bytes;
        output::line(&format!("deleting these frees {} ({bytes} bytes)", ByteSize(bytes)))
    })
}
