//! `tintype fs quota show FILESYSTEM:PATH`.

use tintype_app::types::QuotaInfo;
use tintype_model::ByteSize;

use super::{Directory, state};
use crate::commands::fs::limit;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::{self, facts};

/// Options of `fs quota show`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory, like home:/projects
    #[arg(value_name = "FILESYSTEM:PATH")]
    directory: Directory,
}

/// Shows one quota.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let body = global.client()?.get(&args.directory.resource())?;
    show(global, &body, |info: QuotaInfo| print(&info))
}

/// All facts about a quota.
pub fn print(info: &QuotaInfo) -> CliResult<()> {
    let none = || "-".to_owned();
    facts(&[
        ("directory", info.path.clone()),
        ("owner", if info.owner.is_empty() { none() } else { info.owner.clone() }),
        ("used", ByteSize(info.used_bytes).to_string()),
        ("hard limit", limit(info.hard)),
        ("soft limit", limit(info.soft)),
        ("grace", info.grace.map_or_else(none, |grace| grace.to_string())),
        ("passed since", info.soft_since.map_or_else(none, |time| format!("{time:.0}"))),
        ("files and folders", info.inodes.to_string()),
        ("state", state(info).to_owned()),
    ])?;
    info.warnings.iter().try_for_each(|text| output::line(&format!("warning: {text}")))
}
