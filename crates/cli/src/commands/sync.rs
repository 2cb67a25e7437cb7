//! `tintype sync [FS]`.

use tintype_app::types::{SyncInfo, SyncRequest};
use tintype_model::VolumeName;

use super::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `sync`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this filesystem
    #[arg(value_name = "FS")]
    filesystem: Option<VolumeName>,
}

/// Makes everything durable that was written before.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let request = SyncRequest { filesystem: args.filesystem };
    let body = global.client()?.post("/sync", &request)?;
    show(global, &body, |info: SyncInfo| {
        let names: Vec<&str> = info.synced.iter().map(VolumeName::as_str).collect();
        if names.is_empty() {
            return output::line("durable: there are no volumes");
        }
        output::line(&format!("durable: {}", names.join(", ")))
    })
}
