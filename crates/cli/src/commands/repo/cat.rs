//! `tintype repo cat KIND [ID]`: a file or blob of the repository, in plain form.

use clap::ValueEnum;
use tintype_repo::{BlobId, BlobKind, FileKind, Id, RepoError};

use super::{Place, one_id};
use crate::error::{CliError, CliResult};
use crate::output;

/// Options of `repo cat`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What kind of thing
    kind: Kind,
    /// Its id; the first digits do, except for blobs and packs
    id: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Kind {
    Config,
    Masterkey,
    Key,
    Snapshot,
    Index,
    Lock,
    Blob,
    Pack,
}

/// Prints it as bytes.
pub fn run(args: &Args) -> CliResult<()> {
    let repo = args.place.open()?;
    let whole = || -> CliResult<Id> {
        let text = args.id.as_deref().unwrap_or_default();
        text.parse().map_err(|e| CliError::usage(format!("{e}"), "Give the whole id."))
    };
    let file = |kind: FileKind| -> CliResult<Id> {
        let typed = args
            .id
            .as_deref()
            .ok_or_else(|| CliError::usage(format!("which {kind}?"), "Give its id."))?;
        let ids = repo.backend().list(kind).map_err(RepoError::from)?;
        one_id(kind, typed, ids.into_iter().map(|(id, _)| id))
    };
    let bytes = match args.kind {
        Kind::Config => repo.config().to_json(),
        Kind::Masterkey => repo.master_key_json().into_bytes(),
        Kind::Key => {
            repo.backend().read(FileKind::Key, file(FileKind::Key)?).map_err(RepoError::from)?
        }
        Kind::Snapshot => repo.load(FileKind::Snapshot, file(FileKind::Snapshot)?)?,
        Kind::Index => repo.load(FileKind::Index, file(FileKind::Index)?)?,
        Kind::Lock => repo.load(FileKind::Lock, file(FileKind::Lock)?)?,
        Kind::Pack => repo.backend().read(FileKind::Pack, whole()?).map_err(RepoError::from)?,
        Kind::Blob => blob(&repo, BlobId(whole()?))?,
    };
    output::print(&bytes)?;
    if matches!(args.kind, Kind::Blob | Kind::Pack) { Ok(()) } else { output::print(b"\n") }
}

/// Data or tree, whichever has the id.
fn blob(repo: &tintype_repo::Repository, id: BlobId) -> CliResult<Vec<u8>> {
    let index = repo.index()?;
    let kind = if index.has(BlobKind::Tree, id) { BlobKind::Tree } else { BlobKind::Data };
    Ok(repo.blob(&index, kind, id)?)
}
