//! `tintype repo ...`: making a repository and looking after it.

mod cat;
mod choice;
pub mod environment;
mod failure;
mod init;
pub mod interrupt;
mod key;
mod list;
pub mod mending;
pub mod packing;
mod password;
mod place;
pub mod progress;
mod stats;

use clap::Subcommand;
use jiff::Timestamp;

use tintype_repo::{Config, FileKind, Version, remove_locks};

use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

pub use choice::Choice;
pub use failure::INCOMPLETE;
pub use password::new_password;
pub use place::{FromPlace, Place, Unlocked, actor};

/// What can be done with a repository as a whole.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a repository
    Init(init::Args),
    /// Show the repository's config
    Config(Place),
    /// List, add and remove keys, change the password
    Key(key::Args),
    /// List the files or blobs of a kind
    List(list::Args),
    /// Print a file or blob of the repository as it is inside
    Cat(cat::Args),
    /// Show how much lies in the repository
    Stats(Place),
    /// Remove locks whose holders are gone
    Unlock(UnlockArgs),
    /// Bring the repository to version 2 of the format
    Migrate(Place),
}

/// Options of `repo unlock`.
#[derive(clap::Args, Debug)]
pub struct UnlockArgs {
    #[command(flatten)]
    place: Place,
    /// Remove all locks, also those of programs that are at work
    #[arg(long)]
    remove_all: bool,
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Init(args) => init::run(global, &args),
        Command::Config(place) => config(global, &place),
        Command::Key(args) => key::run(global, args),
        Command::List(args) => list::run(global, &args),
        Command::Cat(args) => cat::run(&args),
        Command::Stats(place) => stats::run(global, &place),
        Command::Unlock(args) => unlock(global, &args),
        Command::Migrate(place) => migrate(global, &place),
    }
}

fn config(global: &Global, place: &Place) -> CliResult<()> {
    let repo = place.open()?;
    let config = repo.config();
    if global.json {
        return output::json(config);
    }
    let mut facts = vec![
        ("repository", repo.backend().location()),
        ("id", config.id.to_string()),
        ("version", u32::from(config.version).to_string()),
        ("chunker polynomial", config.chunker_polynomial.to_string()),
    ];
    facts.extend(config.other.iter().map(|(key, value)| (key.as_str(), value.to_string())));
    output::facts(&facts)
}

fn unlock(global: &Global, args: &UnlockArgs) -> CliResult<()> {
    let repo = args.place.open()?;
    let removed = remove_locks(&repo, &actor().hostname, args.remove_all)?;
    if global.json {
        return output::json(&serde_json::json!({ "removed": removed }));
    }
    output::line(&format!("removed {removed} locks"))
}

fn migrate(global: &Global, place: &Place) -> CliResult<()> {
    let (mut repo, lock) = place.open_locked(tintype_repo::LockMode::Exclusive)?;
    let config = repo.config().clone();
    let changed = config.version == Version::V1;
    if changed {
        lock.check()?;
        repo.set_config(Config { version: Version::V2, ..config })?;
    }
    if global.json {
        return output::json(&serde_json::json!({ "version": 2, "changed": changed }));
    }
    let how = if changed { "is now" } else { "has been" };
    output::line(&format!(
        "the repository {how} in version 2; `tintype prune --repack-uncompressed` compresses what it holds"
    ))
}

/// Now, for keys and snapshots.
fn now() -> Timestamp {
    Timestamp::now()
}

/// An id that was typed whole or in part, among those that are there.
pub fn one_id(
    kind: FileKind,
    typed: &str,
    ids: impl Iterator<Item = tintype_repo::Id>,
) -> CliResult<tintype_repo::Id> {
    let fitting: Vec<_> =
        ids.filter(|id| id.to_string().starts_with(&typed.to_lowercase())).collect();
    match fitting.as_slice() {
        [one] => Ok(*one),
        [] => Err(CliError::failure(
            format!("{kind} {typed}: there is none"),
            format!("See `tintype repo list {}`.", list::word(kind)),
        )),
        many => Err(CliError::failure(
            format!("{kind} {typed}: {} ids begin so", many.len()),
            "Give more digits.",
        )),
    }
}
