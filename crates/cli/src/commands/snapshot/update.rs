//! `tintype snapshot update FS@NAME`.

use hyper::Method;
use tintype_app::types::{SnapshotInfo, SnapshotUpdate};
use tintype_model::{AccessPoint, SnapshotName, SnapshotRef, Tags};

use crate::client::snapshot_path;
use crate::commands::show;
use crate::error::{CliError, CliResult};
use crate::options::{DeleteOptions, Global, parse_tags, union};

/// Options of `snapshot update`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "FS@NAME")]
    target: SnapshotRef,
    /// A new name
    #[arg(long)]
    name: Option<SnapshotName>,
    /// A new directory under .snapshots
    #[arg(long, value_name = "DIRNAME")]
    access_point: Option<AccessPoint>,
    /// These tags instead of the present ones; "" for none
    #[arg(long = "tag", value_name = "A,B", value_parser = parse_tags)]
    tags: Vec<Tags>,
    /// Tags to add
    #[arg(long, value_name = "A,B", value_parser = parse_tags)]
    add_tag: Vec<Tags>,
    /// Tags to remove
    #[arg(long, value_name = "A,B", value_parser = parse_tags)]
    remove_tag: Vec<Tags>,
    /// A new label
    #[arg(long)]
    label: Option<String>,
    /// A new description
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    delete: DeleteOptions,
    /// Take the protection away
    #[arg(long, conflicts_with_all = ["delete_never", "delete_after"])]
    delete_anytime: bool,
    /// Make it writable; there is no way back
    #[arg(long)]
    writable: bool,
}

/// Changes a snapshot.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let delete = if args.delete_anytime { Some(None) } else { args.delete.wish()?.map(Some) };
    let update = SnapshotUpdate {
        name: args.name,
        access_point: args.access_point,
        tags: (!args.tags.is_empty()).then(|| union(&args.tags)),
        add_tags: union(&args.add_tag),
        remove_tags: union(&args.remove_tag),
        label: args.label,
        description: args.description,
        delete,
        writable: args.writable.then_some(true),
    };
    if update == SnapshotUpdate::default() {
        return Err(CliError::usage(
            format!("snapshot {}: nothing to change", args.target),
            "Say what: --name, --tag, --label, --writable ...; see --help.",
        ));
    }
    let path = snapshot_path(&args.target);
    let body = global.client()?.call(Method::PATCH, &path, &update)?;
    show(global, &body, |info: SnapshotInfo| super::show::print(&info))
}
