//! `tintype snapshot list [FS]`.

use tintype_app::types::SnapshotInfo;
use tintype_model::{ByteSize, Tags, VolumeName};

use crate::client::escape;
use crate::commands::repo::Place;
use crate::commands::repo::environment::host;
use crate::commands::show;
use crate::commands::snapshot::of_repo::{self, Filter};
use crate::error::CliResult;
use crate::options::{Global, parse_tags, time};
use crate::output::Align::{Left, Right};
use crate::output::Table;

/// Options of `snapshot list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only of this filesystem
    #[arg(value_name = "FS", conflicts_with = "named")]
    filesystem: Option<VolumeName>,
    /// Only with all of these tags; repeated: with all tags of any one list
    #[arg(long = "tag", value_name = "A,B", value_parser = parse_tags)]
    tags: Vec<Tags>,
    /// Only with this label
    #[arg(long)]
    label: Option<String>,
    /// Only at or after this time (2026-11-21, RFC 3339, or an age such as 7d)
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// With --repo: only of this machine (default: TINTYPE_HOST, RESTIC_HOST; "": any)
    #[arg(long, requires = "named")]
    host: Option<String>,
    /// With --repo: only of backups of this path; repeated: of all of these together
    #[arg(long, value_name = "PATH", requires = "named")]
    path: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Lists snapshots by time.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    if args.place.is_named() {
        let bound = |option, text: &Option<String>| {
            text.as_ref().map(|text| time(option, text)).transpose()
        };
        let host = host(args.host.as_deref());
        let filter = Filter {
            tags: &args.tags,
            label: args.label.as_deref(),
            host: host.as_deref(),
            paths: &args.path,
            after: bound("--after", &args.after)?,
            before: bound("--before", &args.before)?,
        };
        return of_repo::list(global, &args.place, &filter);
    }
    let body = global.client()?.get(&format!("/snapshots{}", query(args)?))?;
    show(global, &body, |list: Vec<SnapshotInfo>| print(&list))
}

fn query(args: &Args) -> CliResult<String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.extend(args.filesystem.iter().map(|name| ("filesystem", name.to_string())));
    pairs.extend(args.tags.iter().map(|tags| ("tag", tags.to_string())));
    pairs.extend(args.label.iter().map(|label| ("label", label.clone())));
    for (key, option, text) in
        [("after", "--after", &args.after), ("before", "--before", &args.before)]
    {
        if let Some(text) = text {
            pairs.push((key, time(option, text)?.to_string()));
        }
    }
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
}

fn print(list: &[SnapshotInfo]) -> CliResult<()> {
    let mut table = Table::new(&[
        ("NAME", Left),
        ("TIME", Left),
        ("MODE", Left),
        ("FREES", Right),
        ("DELETE", Left),
        ("TAGS", Left),
        ("LABEL", Left),
        ("ACCESS POINT", Left),
    ]);
    for info in list {
        table.row([
            format!("{}@{}", info.volume, info.name),
            format!("{:.0}", info.time),
            if info.writable { "rw".to_owned() } else { "ro".to_owned() },
            ByteSize(info.reclaimable_bytes).to_string(),
            super::rule(info.delete),
            info.tags.to_string(),
            info.label.clone(),
            info.access_point.to_string(),
        ]);
    }
    table.print()
}
