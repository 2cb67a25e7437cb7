//! `tintype disk delete NAME`.

use tintype_app::types::DeletedInfo;
use tintype_model::VolumeName;

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `disk delete`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Also when it has snapshots (they go with it)
    #[arg(long)]
    force: bool,
}

/// Deletes a disk.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let force = if args.force { "?force=true" } else { "" };
    let body = global.client()?.delete(&format!("{}{force}", super::path(&args.name)))?;
    show(global, &body, |info: DeletedInfo| {
        output::line(&format!("deleted {}", info.deleted.join(", ")))
    })
}
