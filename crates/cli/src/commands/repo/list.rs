//! `tintype repo list KIND`: ids, one in a line.

use clap::ValueEnum;
use tintype_repo::{BlobKind, FileKind, Id, RepoError};

use super::Place;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `repo list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to list
    kind: Kind,
    #[command(flatten)]
    place: Place,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Kind {
    Blobs,
    Packs,
    Index,
    Snapshots,
    Keys,
    Locks,
}

impl Kind {
    fn file(self) -> Option<FileKind> {
        match self {
            Self::Blobs => None,
            Self::Packs => Some(FileKind::Pack),
            Self::Index => Some(FileKind::Index),
            Self::Snapshots => Some(FileKind::Snapshot),
            Self::Keys => Some(FileKind::Key),
            Self::Locks => Some(FileKind::Lock),
        }
    }
}

/// What the command calls files of a kind; the config is not listed.
pub fn word(kind: FileKind) -> String {
    let all = Kind::value_variants().iter().filter(|word| word.file() == Some(kind));
    let names = all.filter_map(|word| word.to_possible_value());
    names.map(|word| word.get_name().to_owned()).next().unwrap_or_default()
}

/// Lists ids in order.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let repo = args.place.open()?;
    let Some(kind) = args.kind.file() else {
        let index = repo.index()?;
        let of = |kind, word| {
            index.iter(kind).map(move |found| (found.blob.id.0, word)).collect::<Vec<_>>()
        };
        let mut blobs = of(BlobKind::Data, "data");
        blobs.extend(of(BlobKind::Tree, "tree"));
        blobs.dedup();
        return print(global, blobs.into_iter().map(|(id, word)| (id, format!("{word} {id}"))));
    };
    let mut files = repo.backend().list(kind).map_err(RepoError::from)?;
    files.sort_unstable();
    print(global, files.into_iter().map(|(id, _)| (id, id.to_string())))
}

fn print(global: &Global, ids: impl Iterator<Item = (Id, String)>) -> CliResult<()> {
    if global.json {
        return output::json(&ids.map(|(id, _)| id).collect::<Vec<_>>());
    }
    output::print(ids.map(|(_, line)| line + "\n").collect::<String>().as_bytes())
}
