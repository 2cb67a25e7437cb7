//! `tintype snapshot update VOLUME@NAME`, or an id with `--repo`.

use hyper::Method;
use jiff::{Timestamp, tz::TimeZone};
use tintype_app::types::{DeleteWish, SnapshotInfo, SnapshotUpdate};
use tintype_model::{AccessPoint, DeleteRule, SnapshotName, SnapshotRef, Tags};
use tintype_repo::{DeleteOption, Moment, SnapshotModification};

use super::of_repo;
use crate::client::snapshot_path;
use crate::commands::repo::Place;
use crate::commands::show;
use crate::error::{CliError, CliResult};
use crate::options::{DeleteOptions, Global, parse_tags, time, union};

/// Options of `snapshot update`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The snapshot; with --repo: its id or first digits, `latest`, `latest~N`
    #[arg(value_name = "FS@NAME|ID")]
    target: String,
    #[command(flatten)]
    place: Place,
    /// Another host; only with --repo
    #[arg(long, requires = "named")]
    host: Option<String>,
    /// Another time; only with --repo
    #[arg(long, value_name = "TIME", requires = "named")]
    time: Option<String>,
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
    ///
    /// Programs that have files of it open get errors (ESTALE) and have to open them again.
    #[arg(long)]
    writable: bool,
}

/// Changes a snapshot.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let delete = if args.delete_anytime { Some(None) } else { args.delete.wish()?.map(Some) };
    if args.place.is_named() {
        return in_repo(global, &args, delete);
    }
    let target: SnapshotRef = args.target.parse()?;
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
            format!("snapshot {target}: nothing to change"),
            "Say what: --name, --tag, --label, --writable ...; see --help.",
        ));
    }
    let path = snapshot_path(&target);
    let body = global.client()?.call(Method::PATCH, &path, &update)?;
    show(global, &body, |info: SnapshotInfo| super::show::print(&info))
}

fn in_repo(global: &Global, args: &Args, delete: Option<Option<DeleteWish>>) -> CliResult<()> {
    let none = args.name.is_none() && args.access_point.is_none() && !args.writable;
    if !none {
        return Err(CliError::usage(
            "--name, --access-point and --writable: snapshots of repositories have none of these",
            "Change tags, label, description, host, time or the delete rule.",
        ));
    }
    let instant = args.time.as_deref().map(|text| time("--time", text)).transpose()?;
    let rule = |wish: DeleteWish| match wish.rule(Timestamp::now()) {
        DeleteRule::Never => DeleteOption::Never,
        DeleteRule::After(at) => DeleteOption::After(Moment::utc(at)),
    };
    let change = SnapshotModification {
        set_tags: (!args.tags.is_empty()).then(|| union(&args.tags).into()),
        add_tags: union(&args.add_tag).into(),
        remove_tags: union(&args.remove_tag).into(),
        label: args.label.clone(),
        description: args.description.clone().map(|text| (!text.is_empty()).then_some(text)),
        hostname: args.host.clone(),
        time: instant.map(|instant| Moment::in_zone(instant, &TimeZone::system())),
        delete: delete.map(|wish| wish.map_or(DeleteOption::NotSet, rule)),
    };
    if change == SnapshotModification::default() {
        return Err(CliError::usage(
            format!("snapshot {}: nothing to change", args.target),
            "Say what: --tag, --label, --description, --delete-never ...; see --help.",
        ));
    }
    of_repo::update(global, &args.place, &args.target, &change)
}
