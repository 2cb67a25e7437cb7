//! The index against the list of packs.

use std::collections::HashMap;

use super::Packs;
use super::finding::{Finding, Findings, is_gone};
use crate::backend::FileKind;
use crate::config::Version;
use crate::error::Result;
use crate::id::{IndexId, PackId};
use crate::index::{Index, IndexBuilder, IndexFile, IndexedPack};
use crate::pack::BlobKind;
use crate::repository::Repository;

/// What is known of a pack.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PackState {
    /// Its length as listed; `None`: it is not there.
    pub there: Option<u64>,
    /// Its length by the index.
    pub indexed: u64,
    /// Number of its blobs by the index.
    pub blobs: usize,
    /// Index files that name it as being in use.
    pub used_in: u32,
    /// It waits for deletion in some index file.
    pub marked: bool,
}

/// Reads all index files and lists all packs; the index holds only blobs of packs that are there.
pub(super) fn indexed_packs(repo: &Repository, findings: &Findings) -> Result<(Index, Packs)> {
    let mut packs = Packs::new();
    let mut ids = Vec::new();
    for (id, _) in repo.backend().list(FileKind::Index)? {
        ids.push(IndexId(id));
    }
    // Listed behind the index files: a pack is there before an index names it.
    let listed: HashMap<PackId, u64> = repo
        .backend()
        .list(FileKind::Pack)?
        .into_iter()
        .map(|(id, length)| (PackId(id), length))
        .collect();
    let mut builder = IndexBuilder::default();
    for id in ids {
        match repo.index_file(id) {
            Ok(mut file) => {
                note(repo, id, &file, &mut packs, findings);
                let there = |pack: &IndexedPack| listed.contains_key(&pack.id);
                file.packs.retain(there);
                file.packs_to_delete.retain(there);
                builder.add(&file, true);
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => findings.add(Finding::Index { id, detail: error.detail() }),
        }
    }
    for (id, length) in &listed {
        match packs.get_mut(id) {
            Some(pack) => pack.there = Some(*length),
            None => findings.add(Finding::UnknownPack { id: *id, bytes: *length }),
        }
    }
    compare(&packs, findings);
    Ok((builder.build(), packs))
}

/// Takes in what an index file says about packs.
fn note(repo: &Repository, id: IndexId, file: &IndexFile, packs: &mut Packs, findings: &Findings) {
    for pack in &file.packs {
        let state = packs.entry(pack.id).or_default();
        state.used_in += 1;
        (state.indexed, state.blobs) = (pack.length(), pack.blobs.len());
        look_at(repo, id, pack, findings);
    }
    for pack in &file.packs_to_delete {
        let state = packs.entry(pack.id).or_default();
        state.marked = true;
        if state.used_in == 0 {
            (state.indexed, state.blobs) = (pack.length(), pack.blobs.len());
        }
    }
}

/// One entry by itself.
fn look_at(repo: &Repository, id: IndexId, pack: &IndexedPack, findings: &Findings) {
    let trees = pack.blobs.iter().filter(|blob| blob.kind == BlobKind::Tree).count();
    if trees > 0 && trees < pack.blobs.len() {
        findings.add(Finding::MixedPack { id: pack.id });
    }
    let compressed = pack.blobs.iter().any(|blob| blob.uncompressed_length.is_some());
    if compressed && repo.config().version == Version::V1 {
        let detail = format!("pack {} has compressed blobs, which version 1 has not", pack.id);
        findings.add(Finding::Index { id, detail });
    }
}

fn compare(packs: &Packs, findings: &Findings) {
    for (id, pack) in packs {
        let marked = pack.used_in == 0;
        match pack.there {
            None => findings.add(Finding::MissingPack { id: *id, marked }),
            Some(there) if there != pack.indexed => {
                findings.add(Finding::PackSize { id: *id, indexed: pack.indexed, there });
            }
            Some(_) => {}
        }
        if pack.used_in > 1 {
            findings.add(Finding::DuplicatePack { id: *id, files: pack.used_in });
        }
    }
}
