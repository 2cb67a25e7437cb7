//! What is really there: the index without what it promises and the packs do not have.

use std::collections::{HashMap, HashSet};

use super::is_damage;
use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{BlobId, IndexId, PackId};
use crate::index::{Index, IndexBuilder, IndexedPack};
use crate::pack::BlobKind;
use crate::repository::Repository;

/// Blobs that are there, as far as it can be told without reading them.
pub(crate) struct Stock {
    /// Blobs in packs that are listed and long enough; those in packs that wait for deletion count.
    pub index: Index,
    /// Packs that wait for deletion and that no index file has in use.
    pub waiting: HashSet<PackId>,
    /// Packs that no index names, with their lengths in bytes.
    pub unknown: Vec<(PackId, u64)>,
}

/// Blobs that are missing or damaged everywhere.
pub(super) type Missing = HashSet<(BlobKind, BlobId)>;

/// All packs with their lengths in bytes.
pub(super) fn list_packs(repo: &Repository) -> Result<HashMap<PackId, u64>> {
    let listed = repo.backend().list(FileKind::Pack)?;
    Ok(listed.into_iter().map(|(id, length)| (PackId(id), length)).collect())
}

/// Refuses when the index names packs and not one is there: then their folder is not in place, and nothing is lost.
pub(super) fn refuse_emptiness(
    repo: &Repository,
    named: usize,
    listed: &HashMap<PackId, u64>,
) -> Result<()> {
    if named == 0 || !listed.is_empty() {
        return Ok(());
    }
    let location = repo.backend().location();
    let detail = format!(
        "the index names {named} packs and none is in {location}: see whether its folder `data` is in place"
    );
    Err(RepoError::Refused { detail })
}

impl Stock {
    /// Reads the index, then lists packs: a pack is there before an index names it.
    ///
    /// # Errors
    /// Also for an index file that cannot be read: what it names would count as missing. [`RepoError::Refused`] when no pack is there at all.
    pub(crate) fn read(repo: &Repository) -> Result<Self> {
        let mut files = Vec::new();
        for (id, _) in repo.backend().list(FileKind::Index)? {
            match repo.index_file(IndexId(id)) {
                Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
                file => files.push(file?),
            }
        }
        let listed = list_packs(repo)?;
        let (mut used, mut waiting, mut builder) =
            (HashSet::new(), HashSet::new(), IndexBuilder::default());
        for mut file in files {
            used.extend(file.packs.iter().map(|pack| pack.id));
            waiting.extend(file.packs_to_delete.iter().map(|pack| pack.id));
            for pack in file.packs.iter_mut().chain(&mut file.packs_to_delete) {
                clip(pack, listed.get(&pack.id).copied().unwrap_or_default());
            }
            builder.add(&file, true);
        }
        refuse_emptiness(repo, used.len(), &listed)?;
        waiting.retain(|pack| !used.contains(pack));
        let unknown = listed.into_iter();
        let mut unknown: Vec<_> =
            unknown.filter(|(id, _)| !used.contains(id) && !waiting.contains(id)).collect();
        unknown.sort_unstable();
        Ok(Self { index: builder.build(), waiting, unknown })
    }

    /// A blob's plain bytes, from any pack that has it whole; the inner error says why there is none.
    ///
    /// # Errors
    /// A failure that may pass, in one of the packs that have the blob.
    pub(crate) fn blob(
        &self,
        repo: &Repository,
        kind: BlobKind,
        id: BlobId,
    ) -> Result<Result<Vec<u8>, String>> {
        let (mut passing, mut damage) = (None, "it is in no index".to_owned());
        for found in self.index.find_all(kind, id) {
            match repo.blob_at(&found) {
                Ok(plain) => return Ok(Ok(plain)),
                Err(error) if is_damage(&error) => damage = error.to_string(),
                Err(error) => passing = Some(error),
            }
        }
        passing.map_or(Ok(Err(damage)), Err)
    }

    /// Refuses when a pack that no index names says that it holds something that is missing: it could be taken into the index.
    ///
    /// # Errors
    /// [`RepoError::Refused`], and failures that may pass.
    pub(super) fn refuse_unknown(&self, repo: &Repository, missing: &Missing) -> Result<()> {
        let packs = if missing.is_empty() { &[] } else { self.unknown.as_slice() };
        for (id, length) in packs {
            match repo.pack_header(*id, *length) {
                Ok(blobs) if blobs.iter().any(|blob| missing.contains(&(blob.kind, blob.id))) => {
                    let detail = format!(
                        "pack {id} is in no index and holds some of what is missing: mend the index first (`tintype repair index`)"
                    );
                    return Err(RepoError::Refused { detail });
                }
                Ok(_) => {}
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Leaves out the blobs that end behind the pack.
pub(super) fn clip(pack: &mut IndexedPack, length: u64) {
    pack.blobs.retain(|blob| u64::from(blob.offset) + u64::from(blob.length) <= length);
}
