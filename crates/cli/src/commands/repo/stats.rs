//! `tintype repo stats`: how much lies in the repository.

use tintype_model::ByteSize;
use tintype_repo::{BlobKind, FileKind, RepoError};

use super::Place;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Counts and bytes, by kind.
pub fn run(global: &Global, place: &Place) -> CliResult<()> {
    let repo = place.open()?;
    let mut facts = Vec::new();
    let mut json = serde_json::Map::new();
    for kind in FileKind::MANY {
        let files = repo.backend().list(kind).map_err(RepoError::from)?;
        let bytes: u64 = files.iter().map(|(_, len)| len).sum();
        json.insert(
            kind.folder().to_owned(),
            serde_json::json!({ "count": files.len(), "bytes": bytes }),
        );
        facts.push((kind.folder(), format!("{} files, {}", files.len(), ByteSize(bytes))));
    }
    let index = repo.index()?;
    for (kind, name) in [(BlobKind::Data, "data blobs"), (BlobKind::Tree, "tree blobs")] {
        let (mut plain, mut stored) = (0u64, 0u64);
        for found in index.iter(kind) {
            plain += u64::from(found.blob.plain_length());
            stored += u64::from(found.blob.length);
        }
        let count = index.len(kind);
        json.insert(
            name.replace(' ', "_"),
            serde_json::json!({ "count": count, "bytes": plain, "stored_bytes": stored }),
        );
        facts.push((
            name,
            format!("{count}, {} plain, {} stored", ByteSize(plain), ByteSize(stored)),
        ));
    }
    if global.json { output::json(&json) } else { output::facts(&facts) }
}
