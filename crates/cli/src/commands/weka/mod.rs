//! `tintype weka ...`: snapshots in the words of WEKA's command line, over the API of the same shape.
//!
//! For scripts and habits that exist. Spellings of older releases (`create`, `delete`, `--file-system`, `--is-writable`) are understood too.

mod change;
mod list;
mod naming;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, escape, parse};
use crate::error::{CliError, CliResult};
use crate::options::Global;

/// Below which the API lies.
const API: &str = "/api/v2";

/// What WEKA's command line is about.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Filesystems
    #[command(subcommand)]
    Fs(FsCommand),
}

/// What can be done with filesystems.
#[derive(Subcommand, Debug)]
pub enum FsCommand {
    /// List snapshots, or make, change, copy, remove and restore them
    Snapshot(SnapshotArgs),
    /// Make a filesystem what it was at a snapshot
    Restore(change::RestoreArgs),
}

/// Options of `weka fs snapshot`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SnapshotArgs {
    #[command(flatten)]
    list: list::Args,
    #[command(subcommand)]
    command: Option<SnapshotCommand>,
}

/// What can be done with snapshots.
#[derive(Subcommand, Debug)]
pub enum SnapshotCommand {
    /// List snapshots; the same as without a command
    List(list::Args),
    /// Make a snapshot
    #[command(alias = "create")]
    Add(change::AddArgs),
    /// Copy a snapshot over another one of the same filesystem
    Copy(change::CopyArgs),
    /// Change the name or the access point of a snapshot
    Update(change::UpdateArgs),
    /// Remove a snapshot
    #[command(alias = "delete")]
    Remove(change::RemoveArgs),
    /// Make the filesystem what it was at a snapshot
    Restore(change::RestoreArgs),
    /// What access points are named after when none is given
    #[command(subcommand)]
    AccessPointNamingConvention(naming::Command),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    let Command::Fs(command) = command;
    let client = global.client()?;
    let of = match command {
        FsCommand::Restore(args) => return change::restore(global, &client, &args),
        FsCommand::Snapshot(of) => of,
    };
    match of.command {
        None => list::run(global, &client, &of.list),
        Some(SnapshotCommand::List(args)) => list::run(global, &client, &args),
        Some(SnapshotCommand::Add(args)) => change::add(global, &client, &args),
        Some(SnapshotCommand::Copy(args)) => change::copy(global, &client, &args),
        Some(SnapshotCommand::Update(args)) => change::update(global, &client, &args),
        Some(SnapshotCommand::Remove(args)) => change::remove(global, &client, &args),
        Some(SnapshotCommand::Restore(args)) => change::restore(global, &client, &args),
        Some(SnapshotCommand::AccessPointNamingConvention(command)) => {
            naming::run(global, &client, &command)
        }
    }
}

/// What is in an answer's envelope.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

fn data<T: DeserializeOwned>(body: &hyper::body::Bytes) -> CliResult<T> {
    parse::<Envelope<T>>(body).map(|envelope| envelope.data)
}

/// What is looked for by name.
#[derive(Deserialize)]
struct Named {
    uid: String,
    name: String,
}

/// The uid of a filesystem.
fn filesystem(client: &Client, name: &str) -> CliResult<String> {
    let path = format!("{API}/fileSystems?name={}", escape(name));
    let found: Vec<Named> = data(&client.get(&path)?)?;
    let found = found.into_iter().find(|found| found.name == name);
    found.map(|found| found.uid).ok_or_else(|| {
        CliError::failure(
            format!("filesystem {name}: does not exist"),
            "`tintype fs list` shows the filesystems.",
        )
    })
}

/// The uid of a snapshot.
fn snapshot(client: &Client, filesystem: &str, name: &str) -> CliResult<String> {
    let path = format!("{API}/snapshots?filesystem={}&name={}", escape(filesystem), escape(name));
    let found: Vec<Named> = data(&client.get(&path)?)?;
    let found = found.into_iter().find(|found| found.name == name);
    found.map(|found| found.uid).ok_or_else(|| {
        CliError::failure(
            format!("snapshot {filesystem}@{name}: does not exist"),
            "`tintype weka fs snapshot` shows the snapshots.",
        )
    })
}
