//! `tintype fs quota unset FILESYSTEM:PATH`.

use tintype_app::types::DeletedInfo;

use super::Directory;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `fs quota unset`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory, like home:/projects
    #[arg(value_name = "FILESYSTEM:PATH")]
    directory: Directory,
}

/// Takes a quota away.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let body = global.client()?.delete(&args.directory.resource())?;
    show(global, &body, |info: DeletedInfo| {
        output::line(&format!("{} has no quota any more", info.deleted.join(", ")))
    })
}
