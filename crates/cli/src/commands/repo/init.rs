//! `tintype repo init`.

use tintype_repo::{Polynomial, Repository, Version};

use super::{FromPlace, Place, actor, now};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `repo init`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Version of the format: 2 compresses
    #[arg(long, value_name = "1|2", default_value_t = 2)]
    repository_version: u32,
    /// Cut files as another repository does: its `chunker polynomial` from `tintype repo config`
    #[arg(long, value_name = "POLYNOMIAL")]
    chunker_polynomial: Option<Polynomial>,
    /// Cut files as --from-repo does: copies then share their content with later backups
    #[arg(long, conflicts_with = "chunker_polynomial")]
    copy_chunker_params: bool,
    #[command(flatten)]
    from: FromPlace,
}

/// Makes a repository with one key.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let version = Version::try_from(args.repository_version)
        .map_err(|e| CliError::usage(format!("--repository-version: {e}"), "Known are 1 and 2."))?;
    if args.from.is_named() && !args.copy_chunker_params {
        return Err(CliError::usage(
            "--from-repo: nothing is taken from it",
            "Add --copy-chunker-params, or leave it out.",
        ));
    }
    let polynomial = match args.copy_chunker_params {
        true => Some(args.from.place(&args.place).open()?.config().chunker_polynomial),
        false => args.chunker_polynomial,
    };
    let backend = args.place.backend()?;
    let password = args.place.password(true)?;
    let repo =
        Repository::init(backend, password.as_bytes(), version, polynomial, &actor(), now())?;
    let (id, location) = (repo.config().id, repo.backend().location());
    if global.json {
        return output::json(&serde_json::json!({ "repository": location, "id": id }));
    }
    output::line(&format!("made repository {} at {location}", id.short()))?;
    output::line("Keep the password: without it nobody can read what is saved here.")
}
