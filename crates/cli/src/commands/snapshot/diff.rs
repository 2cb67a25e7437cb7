//! `tintype snapshot diff A B`; with `--repo` of snapshots of a repository.

use tintype_app::types::{Diff, DiffChange, DiffEntry, DiffObject};
use tintype_model::{ModelError, MomentName};

use super::of_repo;
use crate::client::escape;
use crate::commands::repo::{Choice, Place};
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::{self, printable};

/// Options of `snapshot diff`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// From this moment: FS@NAME, or FS for now; with --repo: an id, `latest`, `latest~N`, and perhaps `:PATH`
    #[arg(value_name = "A")]
    from: String,
    /// To this moment
    #[arg(value_name = "B")]
    to: String,
    /// Also show the changed ranges of files, in units of 4 KiB
    #[arg(long, conflicts_with = "named")]
    ranges: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
}

/// Shows what differs.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    if args.place.is_named() {
        return of_repo::diff(global, &args.place, &args.choice, &args.from, &args.to);
    }
    let name = |text: &str| Ok::<_, ModelError>(escape(&text.parse::<MomentName>()?.to_string()));
    let (from, to) = (name(&args.from)?, name(&args.to)?);
    let ranges = if args.ranges { "&ranges=true" } else { "" };
    let body = global.client()?.get(&format!("/diff?from={from}&to={to}{ranges}"))?;
    show(global, &body, |diff: Diff| {
        output::print(diff.entries.iter().map(line).collect::<String>().as_bytes())
    })
}

/// `+ /new`, `- /gone`, `M /changed`, `a /attributes`, `R /old -> /new`; folders end with a slash.
pub fn line(entry: &DiffEntry) -> String {
    let sign = match entry.change {
        DiffChange::Added => '+',
        DiffChange::Deleted => '-',
        DiffChange::Modified => 'M',
        DiffChange::Attributes => 'a',
        DiffChange::Renamed => 'R',
    };
    let slash = if entry.object == DiffObject::Dir && entry.path != "/" { "/" } else { "" };
    let old = entry.old_path.as_ref().map_or_else(String::new, |old| format!("{old}{slash} -> "));
    let path = if entry.object == DiffObject::Disk { "the disk" } else { &entry.path };
    let mut text = printable(&format!("{sign} {old}{path}{slash}"));
    text.push('\n');
    for range in entry.ranges.iter().flatten() {
        text.push_str(&format!("    {} + {}\n", range.offset, range.length));
    }
    text
}
