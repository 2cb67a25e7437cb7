//! `tintype snapshot delete VOLUME@NAME...`, or ids with `--repo`.

use tintype_app::types::{DeletedInfo, SnapshotSet};
use tintype_model::SnapshotRef;

use super::of_repo;
use crate::commands::repo::Place;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `snapshot delete`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshots; all of them are deleted, or none. With --repo: ids or first digits
    #[arg(value_name = "FS@NAME|ID", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Deletes snapshots.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    if args.place.is_named() {
        return of_repo::delete(global, &args.place, &args.names);
    }
    let names: Result<Vec<SnapshotRef>, _> = args.names.iter().map(|name| name.parse()).collect();
    let set = SnapshotSet { snapshots: names? };
    let body = global.client()?.post("/snapshots/delete", &set)?;
    show(global, &body, |info: DeletedInfo| {
        output::line(&format!("deleted {}", info.deleted.join(", ")))
    })
}
