//! `tintype snapshot restore VOLUME@NAME`.

use tintype_app::types::{RestoreInfo, RestoreRequest};
use tintype_model::{SnapshotName, SnapshotRef};

use crate::client::snapshot_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `snapshot restore`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The moment
    #[arg(value_name = "VOLUME@NAME")]
    name: SnapshotRef,
    /// Keep what is there now as a snapshot of this name
    #[arg(long, value_name = "NEWNAME")]
    keep: Option<SnapshotName>,
}

/// Makes the live volume what it was.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let path = format!("{}/restore", snapshot_path(&args.name));
    let body = global.client()?.post(&path, &RestoreRequest { keep: args.keep })?;
    show(global, &body, |info: RestoreInfo| {
        let kept =
            info.kept.map_or_else(String::new, |kept| format!("; {kept} keeps what was there"));
        let restored = &info.restored;
        output::line(&format!("{} is what it was at {restored}{kept}", restored.volume))
    })
}
