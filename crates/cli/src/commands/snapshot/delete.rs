//! `tintype snapshot delete FS@NAME...`.

use tintype_app::types::{DeletedInfo, SnapshotSet};
use tintype_model::SnapshotRef;

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `snapshot delete`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshots; all of them are deleted, or none
    #[arg(value_name = "FS@NAME", required = true)]
    names: Vec<SnapshotRef>,
}

/// Deletes snapshots.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let set = SnapshotSet { snapshots: args.names };
    let body = global.client()?.post("/snapshots/delete", &set)?;
    show(global, &body, |info: DeletedInfo| {
        output::line(&format!("deleted {}", info.deleted.join(", ")))
    })
}
