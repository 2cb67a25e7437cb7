//! `tintype repo key ...`: several passwords for one repository.

use std::path::PathBuf;

use clap::Subcommand;
use tintype_repo::{FileKind, KeyId, LockMode};

use super::{Place, actor, now, one_id};
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::{self, Table};

/// Options of `repo key`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List the keys
    List(Place),
    /// Add a key for another password
    Add(NewPassword),
    /// Change the password: add a key, then remove the one in use
    Passwd(NewPassword),
    /// Remove a key
    Remove(Remove),
}

#[derive(clap::Args, Debug)]
struct NewPassword {
    #[command(flatten)]
    place: Place,
    /// File whose first line is the new password
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Remove {
    #[command(flatten)]
    place: Place,
    /// The key's id, or its first digits
    id: String,
}

/// Runs the verb.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    match args.verb {
        Verb::List(place) => list(global, &place),
        Verb::Add(args) => add(global, &args, false),
        Verb::Passwd(args) => add(global, &args, true),
        Verb::Remove(args) => remove(global, &args),
    }
}

fn list(global: &Global, place: &Place) -> CliResult<()> {
    let repo = place.open()?;
    let keys = repo.keys()?;
    if global.json {
        let rows = keys.iter().map(|(id, file)| {
            serde_json::json!({ "id": id, "current": *id == repo.key_id(), "user": file.username, "host": file.hostname, "created": file.created })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        ("ID", Left),
        ("IN USE", Left),
        ("USER", Left),
        ("HOST", Left),
        ("CREATED", Left),
    ]);
    for (id, file) in keys {
        let current = if id == repo.key_id() { "yes" } else { "" };
        table.row([id.0.short(), current.to_owned(), file.username, file.hostname, file.created]);
    }
    table.print()
}

fn add(global: &Global, args: &NewPassword, replace: bool) -> CliResult<()> {
    let mode = if replace { LockMode::Exclusive } else { LockMode::Shared };
    let (repo, lock) = args.place.open_locked(mode)?;
    let password = super::new_password(args.new_password_file.as_ref())?;
    let id = repo.add_key(password.as_bytes(), &actor(), now())?;
    if replace {
        lock.check()?;
        let old = repo.key_id();
        // The new key must open before the old one goes.
        tintype_repo::Repository::open(args.place.backend()?, password.as_bytes())?
            .remove_key(old)?;
    }
    if global.json {
        return output::json(&serde_json::json!({ "id": id }));
    }
    output::line(&format!("added key {}", id.0.short()))
}

fn remove(global: &Global, args: &Remove) -> CliResult<()> {
    let (repo, lock) = args.place.open_locked(LockMode::Exclusive)?;
    let keys = repo.keys()?;
    let id = KeyId(one_id(FileKind::Key, &args.id, keys.iter().map(|(id, _)| id.0))?);
    lock.check()?;
    repo.remove_key(id)?;
    if global.json {
        return output::json(&serde_json::json!({ "removed": id }));
    }
    output::line(&format!("removed key {}", id.0.short()))
}
