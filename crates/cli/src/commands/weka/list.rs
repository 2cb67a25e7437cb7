//! `tintype weka fs snapshot [list]`, and how snapshots are shown.

use serde_json::Value;

use super::{API, data};
use crate::client::{Client, escape};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output::{self, Align, Table};

/// All columns, and the member of a snapshot that each shows. Those of object storage are there for scripts: nothing is uploaded.
const COLUMNS: [(&str, &str); 20] = [
    ("uid", "/uid"),
    ("id", "/id"),
    ("filesystem", "/filesystem"),
    ("name", "/name"),
    ("access", "/accessPoint"),
    ("writable", "/isWritable"),
    ("created", "/creationTime"),
    ("local_upload", ""),
    ("remote_upload", ""),
    ("local_object_status", "/stowStatus"),
    ("local_object_progress", ""),
    ("local_object_locator", "/locator"),
    ("remote_object_status", "/stowStatus"),
    ("remote_object_progress", ""),
    ("remote_object_locator", "/locator"),
    ("removing", "/isRemoving"),
    ("prefetched", ""),
    ("reclaimable", "/estReclaimableSize"),
    ("metadata", ""),
    ("dependents", ""),
];

/// Those that are shown unless others are asked for.
const SHOWN: [&str; 7] =
    ["id", "filesystem", "name", "access", "writable", "created", "reclaimable"];
/// Those that are shown of one that was made or changed.
pub const CHANGED: [&str; 5] = ["id", "name", "access", "writable", "created"];

/// Options of `weka fs snapshot list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only of this filesystem
    #[arg(long, alias = "file-system")]
    filesystem: Option<String>,
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    /// These columns, separated by commas; `all` for all
    #[arg(short, long, value_name = "COLUMNS")]
    output: Option<String>,
    /// Without the line of heads
    #[arg(long)]
    no_header: bool,
}

/// Lists snapshots.
pub fn run(global: &Global, client: &Client, args: &Args) -> CliResult<()> {
    let columns = columns(args.output.as_deref())?;
    let pairs = [("filesystem", &args.filesystem), ("name", &args.name)];
    let query: Vec<String> = pairs
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", escape(value.as_ref()?))))
        .collect();
    let body = client.get(&format!("{API}/snapshots?{}", query.join("&")))?;
    let found: Vec<Value> = data(&body)?;
    if global.json {
        return output::json(&found);
    }
    show(&found, &columns, !args.no_header)
}

fn columns(wish: Option<&str>) -> CliResult<Vec<(&'static str, &'static str)>> {
    match wish {
        None => Ok(named(&SHOWN)),
        Some("all") => Ok(COLUMNS.to_vec()),
        Some(list) => list.split(',').map(|name| column(name.trim())).collect(),
    }
}

fn named(names: &[&str]) -> Vec<(&'static str, &'static str)> {
    names.iter().filter_map(|name| column(name).ok()).collect()
}

fn column(name: &str) -> CliResult<(&'static str, &'static str)> {
    let found = COLUMNS.iter().find(|(known, _)| *known == name).copied();
    found.ok_or_else(|| {
        let known: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        CliError::usage(
            format!("column {name}: is not known"),
            format!("Known: {}.", known.join(", ")),
        )
    })
}

/// One snapshot, as an answer of the server holds it.
pub fn one(global: &Global, body: &hyper::body::Bytes) -> CliResult<()> {
    let found: Value = data(body)?;
    if global.json { output::json(&found) } else { show(&[found], &named(&CHANGED), true) }
}

fn show(found: &[Value], columns: &[(&'static str, &'static str)], heads: bool) -> CliResult<()> {
    let aligned: Vec<_> = columns.iter().map(|(name, _)| (*name, Align::Left)).collect();
    let mut table = Table::new(&aligned);
    for snapshot in found {
        table.row(columns.iter().map(|(_, member)| cell(snapshot, member)));
    }
    let text = table.render();
    let rows = text.split_once('\n').map_or("", |(_, rows)| rows);
    output::print(if heads { text.as_bytes() } else { rows.as_bytes() })
}

fn cell(snapshot: &Value, member: &str) -> String {
    // An empty pointer would mean all of it.
    let found = Some(member).filter(|member| !member.is_empty());
    match found.and_then(|member| snapshot.pointer(member)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => if *flag { "True" } else { "False" }.to_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_the_manual() {
        assert_eq!(columns(None).unwrap().len(), SHOWN.len());
        assert_eq!(columns(Some("all")).unwrap().len(), 20);
        assert_eq!(columns(Some("uid, name")).unwrap(), [("uid", "/uid"), ("name", "/name")]);
        assert!(columns(Some("size")).is_err());
        assert_eq!(named(&CHANGED).len(), CHANGED.len());
    }
}
