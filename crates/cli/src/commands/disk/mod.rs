//! `tintype disk ...`: block devices with moments.

mod changes;
mod create;
mod delete;
mod export;
mod import;
mod list;
mod rename;
mod resize;
mod set;
mod show;
mod transfer;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use tintype_app::types::DiskInfo;
use tintype_model::{ByteSize, VolumeName};

use crate::client::escape;
use crate::error::CliResult;
use crate::options::Global;

/// What can be done with disks.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a disk that reads as zeroes
    Create(create::Args),
    /// List all disks
    List,
    /// Show one disk, and where NBD clients find it
    Show(show::Args),
    /// Change the size
    Resize(resize::Args),
    /// Change limits and compression
    Set(set::Args),
    /// Give it another name
    Rename(rename::Args),
    /// Delete it
    Delete(delete::Args),
    /// Make a disk of an image, or lead a disk on by a delta: raw, VHD, qcow2
    Import(import::Args),
    /// Write a disk or a snapshot as an image: raw, VHD, qcow2; or only what differs from a base
    Export(export::Args),
    /// Show which ranges differ between two moments
    Changes(changes::Args),
    /// Read everything that a moment holds, and verify its checksums
    Verify(verify::Args),
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Create(args) => create::run(global, args).map(done),
        Command::List => list::run(global).map(done),
        Command::Show(args) => show::run(global, &args).map(done),
        Command::Resize(args) => resize::run(global, &args).map(done),
        Command::Set(args) => set::run(global, &args).map(done),
        Command::Rename(args) => rename::run(global, args).map(done),
        Command::Delete(args) => delete::run(global, &args).map(done),
        Command::Import(args) => import::run(global, args).map(done),
        Command::Export(args) => export::run(global, &args).map(done),
        Command::Changes(args) => changes::run(global, &args).map(done),
        Command::Verify(args) => verify::run(global, args),
    }
}

/// The path of a disk.
fn path(name: &VolumeName) -> String {
    format!("/disks/{}", escape(name.as_str()))
}

/// A number of bytes, in words.
fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string())
}

/// The size, in words and exactly.
fn size(info: &DiskInfo) -> String {
    match info.size {
        Some(size) => format!("{} ({size} bytes)", ByteSize(size)),
        None => "cannot be read".to_owned(),
    }
}
