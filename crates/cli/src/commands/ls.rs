//! `tintype ls`, `dump` and `find`: looking into the snapshots of a repository.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::json;
use tintype_model::ByteSize;
use tintype_repo::{
    BlobKind, Index, Node, NodeKind, Place as InSnapshot, Repository, SnapshotFile, look_up, walk,
};

use super::repo::{Choice, Place};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output::{self, printable};

/// Options of `ls`.
#[derive(clap::Args, Debug)]
pub struct LsArgs {
    /// The snapshot - id, `latest`, `latest~N` - and perhaps a path in it
    #[arg(value_name = "SNAP[:PATH]")]
    what: String,
    /// Show rights, owner, size and time
    #[arg(short, long)]
    long: bool,
    /// Only the entries of the folder, nothing below them
    #[arg(long)]
    flat: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
}

/// Options of `dump`.
#[derive(clap::Args, Debug)]
pub struct DumpArgs {
    /// The snapshot and the file in it
    #[arg(value_name = "SNAP:PATH")]
    what: String,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
}

/// Options of `find`.
#[derive(clap::Args, Debug)]
pub struct FindArgs {
    /// Pattern on names (`*.txt`), or on whole paths when it begins with `/`
    pattern: String,
    /// Only in this snapshot
    #[arg(long, value_name = "SNAP")]
    snapshot: Option<String>,
    /// Whatever the case of letters
    #[arg(short, long)]
    ignore_case: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
}

/// A snapshot, its index, and the path that was asked for in it.
fn open(
    place: &Place,
    choice: &Choice,
    what: &str,
) -> CliResult<(Repository, SnapshotFile, Index, String)> {
    let (name, path) = what.split_once(':').unwrap_or((what, ""));
    let repo = place.open()?;
    let snapshot = place.snapshot(&repo, name, choice)?;
    let index = repo.index()?;
    Ok((repo, snapshot, index, path.to_owned()))
}

/// Lists a folder or a whole snapshot.
pub fn list(global: &Global, args: &LsArgs) -> CliResult<()> {
    let (repo, snapshot, index, path) = open(&args.place, &args.choice, &args.what)?;
    let place = look_up(&repo, &index, snapshot.tree, path.as_bytes())?;
    let prefix = format!("/{}", path.trim_matches('/'));
    let mut lines = Lines::default();
    match (&place, place.tree()) {
        (_, Some(tree)) => walk(&repo, &index, tree, |below, node| {
            let shown = [prefix.trim_end_matches('/').as_bytes(), b"/", below].concat();
            lines.push(global, args.long, &shown, node);
            Ok(!args.flat)
        })?,
        (InSnapshot::Node(node), None) => lines.push(global, args.long, prefix.as_bytes(), node),
        (InSnapshot::Root(_), None) => {}
    }
    lines.end()
}

/// Prints the content of a file.
pub fn dump(args: &DumpArgs) -> CliResult<()> {
    let (repo, snapshot, index, path) = open(&args.place, &args.choice, &args.what)?;
    let content = match look_up(&repo, &index, snapshot.tree, path.as_bytes())? {
        InSnapshot::Node(node) if node.kind == NodeKind::File => node.content.unwrap_or_default(),
        _ => {
            return Err(CliError::failure(
                format!("{path}: is not a file"),
                "Name a file, as `tintype ls` shows it.",
            ));
        }
    };
    content.iter().try_for_each(|id| output::print(&repo.blob(&index, BlobKind::Data, *id)?))
}

/// Finds entries in one or all snapshots.
pub fn find(global: &Global, args: &FindArgs) -> CliResult<()> {
    let (exact, any): (Vec<&str>, Vec<&str>) = match args.ignore_case {
        false => (vec![&args.pattern], vec![]),
        true => (vec![], vec![&args.pattern]),
    };
    let pattern =
        tintype_repo::Excludes::new(exact, any).map_err(|e| CliError::usage(e.to_string(), ""))?;
    let repo = args.place.open()?;
    let snapshots = match &args.snapshot {
        Some(name) => vec![args.place.snapshot(&repo, name, &args.choice)?],
        None => repo.snapshots()?.into_iter().filter(|s| args.choice.fits(s)).collect(),
    };
    let index = repo.index()?;
    let mut lines = Lines::default();
    for snapshot in snapshots {
        lines.snapshot = Some(snapshot.id.0.short());
        walk(&repo, &index, snapshot.tree, |below, node| {
            let path = [b"/", below].concat();
            let text = PathBuf::from(OsString::from_vec(path.clone()));
            if pattern.excludes(&text) {
                lines.push(global, true, &path, node);
            }
            Ok(true)
        })?;
    }
    lines.end()
}

/// Lines that are printed in groups; the first failure to print stays.
#[derive(Default)]
struct Lines {
    text: String,
    snapshot: Option<String>,
    failed: Option<CliError>,
}

impl Lines {
    fn push(&mut self, global: &Global, long: bool, path: &[u8], node: &Node) {
        let path = String::from_utf8_lossy(path);
        if global.json {
            let value = json!({
                "snapshot": self.snapshot, "path": path, "type": node.kind.as_str(), "size": node.size,
                "mode": node.mode.permissions(), "uid": node.uid, "gid": node.gid,
                "mtime": node.mtime.to_string(), "linktarget": String::from_utf8_lossy(&node.linktarget),
            });
            self.text.push_str(&value.to_string());
        } else {
            let snapshot = self.snapshot.as_ref().map(|id| format!("{id}  ")).unwrap_or_default();
            let facts = if long { facts(node) } else { String::new() };
            self.text.push_str(&format!("{snapshot}{facts}{}", printable(&path)));
        }
        self.text.push('\n');
        if self.text.len() > 1 << 16 {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            self.failed = output::print(self.text.as_bytes()).err();
        }
        self.text.clear();
    }

    fn end(mut self) -> CliResult<()> {
        self.write();
        self.failed.map_or(Ok(()), Err)
    }
}

fn facts(node: &Node) -> String {
    let size = ByteSize(node.size).to_string();
    format!(
        "{:<8} {:04o} {:>5}:{:<5} {size:>10} {}  ",
        node.kind.as_str(),
        node.mode.permissions(),
        node.uid,
        node.gid,
        node.mtime
    )
}
