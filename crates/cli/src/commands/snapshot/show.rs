//! `tintype snapshot show FS@NAME`.

use tintype_app::types::SnapshotInfo;
use tintype_model::{ByteSize, SnapshotRef};

use crate::client::snapshot_path;
use crate::commands::repo::{Choice, Place};
use crate::commands::show;
use crate::commands::snapshot::of_repo;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::facts;

/// Options of `snapshot show`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshot; with --repo: its id or first digits, `latest`, `latest~N`
    #[arg(value_name = "FS@NAME|ID")]
    name: String,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
}

/// Shows one snapshot.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    if args.place.is_named() {
        return of_repo::show(global, &args.place, &args.choice, &args.name);
    }
    let name: SnapshotRef = args.name.parse()?;
    let body = global.client()?.get(&snapshot_path(&name))?;
    show(global, &body, |info: SnapshotInfo| print(&info))
}

/// All facts about a snapshot.
pub fn print(info: &SnapshotInfo) -> CliResult<()> {
    facts(&[
        ("name", format!("{}@{}", info.volume, info.name)),
        ("id", info.id.clone()),
        ("time", info.time.to_string()),
        ("writable", if info.writable { "yes".into() } else { "no".into() }),
        ("access point", format!(".snapshots/{}", info.access_point)),
        ("tags", info.tags.to_string()),
        ("label", info.label.clone()),
        ("description", info.description.clone()),
        ("protected", super::rule(info.delete)),
        ("deleting frees", ByteSize(info.reclaimable_bytes).to_string()),
        ("made by", format!("{} on {}, {}", info.user, info.host, info.program_version)),
        ("original", info.original.clone()),
        ("parent", info.parent.clone().unwrap_or_else(|| "-".to_owned())),
    ])
}
