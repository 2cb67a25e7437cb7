//! `tintype snapshot create FS@NAME`.

use tintype_app::types::{SnapshotCreate, SnapshotInfo};
use tintype_model::{AccessPoint, SnapshotRef, Tags, VolumeKind};

use crate::commands::show;
use crate::error::CliResult;
use crate::options::{DeleteOptions, Global, parse_tags, union};
use crate::{output, paths};

/// Options of `snapshot create`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Filesystem and name of the snapshot
    #[arg(value_name = "FS@NAME")]
    name: SnapshotRef,
    /// It can be written to
    #[arg(long)]
    writable: bool,
    /// A snapshot of this snapshot instead of the live filesystem
    #[arg(long, value_name = "FS@OTHER")]
    source: Option<SnapshotRef>,
    /// Its directory under .snapshots (default: @GMT-YYYY.MM.DD-HH.MM.SS)
    #[arg(long, value_name = "DIRNAME")]
    access_point: Option<AccessPoint>,
    /// Tags, separated by commas; can be repeated
    #[arg(long = "tag", value_name = "A,B", value_parser = parse_tags)]
    tags: Vec<Tags>,
    /// A short text to group by
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// A longer text for people
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    #[command(flatten)]
    delete: DeleteOptions,
}

/// Makes a snapshot.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let wish = SnapshotCreate {
        snapshot: args.name,
        writable: args.writable,
        source: args.source,
        access_point: args.access_point,
        tags: union(&args.tags),
        label: args.label,
        description: args.description,
        delete: args.delete.wish()?,
        user: Some(paths::user_name()),
    };
    let body = global.client()?.post("/snapshots", &wish)?;
    show(global, &body, |info: SnapshotInfo| {
        let (volume, name, point) = (&info.volume, &info.name, &info.access_point);
        let place = match info.kind {
            VolumeKind::Filesystem => format!(", to be seen in .snapshots/{point}"),
            VolumeKind::Disk => String::new(),
        };
        output::line(&format!("created {volume}@{name}{place}"))
    })
}
