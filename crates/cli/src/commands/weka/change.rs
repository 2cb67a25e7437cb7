//! `tintype weka fs snapshot add|copy|update|remove|restore`.

use std::io::{IsTerminal, Write};

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{API, filesystem, list, snapshot};
use crate::client::Client;
use crate::error::{CliError, CliResult};
use crate::options::Global;

/// Options of `weka fs snapshot add`.
#[derive(clap::Args, Debug)]
pub struct AddArgs {
    /// The filesystem
    filesystem: String,
    /// The name of the snapshot
    name: String,
    /// Its directory under .snapshots
    #[arg(long)]
    access_point: Option<String>,
    /// A snapshot of this snapshot instead of the live filesystem
    #[arg(long, alias = "source-snap")]
    source_snapshot: Option<String>,
    /// It can be written to
    #[arg(long, alias = "is-writable")]
    writable: bool,
}

/// What becomes of what is overwritten.
#[derive(clap::Args, Debug)]
struct Preserve {
    /// Keep what is overwritten as a snapshot of this name
    #[arg(long, value_name = "NAME")]
    preserved_overwritten_snapshot_name: Option<String>,
    /// Its directory under .snapshots; its name when absent
    #[arg(long, value_name = "NAME", requires = "preserved_overwritten_snapshot_name")]
    preserved_overwritten_snapshot_access_point: Option<String>,
}

impl Preserve {
    fn members(&self) -> Map<String, Value> {
        members(&[
            ("preserved_overwritten_snapshot_name", &self.preserved_overwritten_snapshot_name),
            (
                "preserved_overwritten_snapshot_access_point",
                &self.preserved_overwritten_snapshot_access_point,
            ),
        ])
    }
}

/// Options of `weka fs snapshot copy`.
#[derive(clap::Args, Debug)]
pub struct CopyArgs {
    /// The filesystem
    filesystem: String,
    /// The snapshot that is copied
    source_name: String,
    /// The snapshot that is overwritten
    destination_name: String,
    #[command(flatten)]
    preserve: Preserve,
}

/// Options of `weka fs snapshot update`.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    /// The filesystem
    filesystem: String,
    /// The snapshot
    name: String,
    /// A new directory under .snapshots
    #[arg(long, group = "change")]
    access_point: Option<String>,
    /// A new name
    #[arg(long, group = "change")]
    new_name: Option<String>,
}

/// Options of `weka fs snapshot remove`.
#[derive(clap::Args, Debug)]
pub struct RemoveArgs {
    /// The filesystem
    filesystem: String,
    /// The snapshot
    name: String,
    /// Without being asked
    #[arg(short, long)]
    force: bool,
}

/// Options of `weka fs restore`.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// The filesystem
    filesystem: String,
    /// The snapshot that it becomes
    source_name: String,
    #[command(flatten)]
    preserve: Preserve,
    /// Without being asked
    #[arg(short, long)]
    force: bool,
}

fn members(pairs: &[(&str, &Option<String>)]) -> Map<String, Value> {
    let given = pairs.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| ((*name).to_owned(), Value::String(value.clone())))
    });
    given.collect()
}

/// Makes a snapshot.
pub fn add(global: &Global, client: &Client, args: &AddArgs) -> CliResult<()> {
    let mut body = members(&[("access_point", &args.access_point)]);
    body.insert("fs_uid".to_owned(), json!(filesystem(client, &args.filesystem)?));
    body.insert("name".to_owned(), json!(args.name));
    body.insert("is_writable".to_owned(), json!(args.writable));
    if let Some(source) = &args.source_snapshot {
        let uid = snapshot(client, &args.filesystem, source)?;
        body.insert("source_snap_uid".to_owned(), json!(uid));
    }
    list::one(global, &client.post(&format!("{API}/snapshots"), &body)?)
}

/// Copies a snapshot over another.
pub fn copy(global: &Global, client: &Client, args: &CopyArgs) -> CliResult<()> {
    let source = snapshot(client, &args.filesystem, &args.source_name)?;
    let mut body = args.preserve.members();
    body.insert("destination_name".to_owned(), json!(args.destination_name));
    list::one(global, &client.post(&format!("{API}/snapshots/{source}/copy"), &body)?)
}

/// Changes name or access point.
pub fn update(global: &Global, client: &Client, args: &UpdateArgs) -> CliResult<()> {
    let uid = snapshot(client, &args.filesystem, &args.name)?;
    let body = members(&[("access_point", &args.access_point), ("new_name", &args.new_name)]);
    list::one(global, &client.call(Method::PUT, &format!("{API}/snapshots/{uid}"), &body)?)
}

/// Removes a snapshot.
pub fn remove(global: &Global, client: &Client, args: &RemoveArgs) -> CliResult<()> {
    let uid = snapshot(client, &args.filesystem, &args.name)?;
    let what = format!("remove the snapshot {}@{}", args.filesystem, args.name);
    confirm(args.force, &what)?;
    let body = client.delete(&format!("{API}/snapshots/{uid}"))?;
    if global.json { crate::output::raw_json(&body) } else { Ok(()) }
}

/// Restores a filesystem.
pub fn restore(global: &Global, client: &Client, args: &RestoreArgs) -> CliResult<()> {
    let of = filesystem(client, &args.filesystem)?;
    let uid = snapshot(client, &args.filesystem, &args.source_name)?;
    let what = format!("restore {} to what it was at {}", args.filesystem, args.source_name);
    let keeps = args.preserve.preserved_overwritten_snapshot_name.is_some();
    confirm(args.force || keeps, &what)?;
    let path = format!("{API}/snapshots/{of}/{uid}/restore");
    list::one(global, &client.post(&path, &args.preserve.members())?)
}

/// Asks before what cannot be undone.
fn confirm(force: bool, what: &str) -> CliResult<()> {
    if force {
        return Ok(());
    }
    let refused =
        |detail: &str| CliError::usage(format!("{what}: {detail}"), "Answer yes, or use --force.");
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(refused("cannot be undone, and nobody can be asked"));
    }
    let question = format!(
        "Warning: You are about to {what}. This cannot be undone.\n\
         Are you sure you want to continue (yes/no)? "
    );
    let mut out = std::io::stderr();
    drop(out.write_all(question.as_bytes()).and_then(|()| out.flush()));
    let mut answer = String::new();
    drop(input.read_line(&mut answer));
    if ["yes", "y"].contains(&answer.trim()) { Ok(()) } else { Err(refused("was not confirmed")) }
}
