//! `tintype fs unmount NAME`.

use tintype_app::types::FsInfo;
use tintype_model::VolumeName;

use crate::client::filesystem_path;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `fs unmount`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: VolumeName,
    /// Also while programs use it: they lose what they have open
    #[arg(long)]
    force: bool,
}

/// Unmounts a filesystem.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let force = if args.force { "?force=true" } else { "" };
    let path = format!("{}/mount{force}", filesystem_path(&args.name));
    let body = global.client()?.delete(&path)?;
    show(global, &body, |info: FsInfo| output::line(&format!("{} is not mounted", info.name)))
}
