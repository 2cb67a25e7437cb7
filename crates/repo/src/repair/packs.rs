//! Damaged packs: every blob that is whole goes into new packs, then the index forgets the damaged one, then it goes.
//!
//! What a pack holds is taken from its header and from the index: either may be damaged. Before a pack is removed a copy of its bytes as they are is
//! made in a local folder, for those who want to try more. The order is copy, new packs with their index, the rest of the index, removal: an end in between leaves
//! blobs twice, and never fewer.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::keep::keep_copy;
use crate::backend::{BackendError, FileKind};
use crate::check::damaged_packs;
use crate::error::{RepoError, Result};
use crate::id::{BlobId, Id, IndexId, PackId};
use crate::index::{Found, Index, IndexSaver, IndexedPack};
use crate::pack::{BlobKind, PackedBlob, read_whole};
use crate::progress::MendProgress;
use crate::reach::threads;
use crate::repository::Repository;
use crate::writer::{BlobOptions, BlobWriter, Written};

/// How packs are repaired.
#[derive(Clone, Debug)]
pub struct PackRepairOptions {
    /// Which packs. Empty: all packs of the index are read, and those that are damaged are repaired.
    pub packs: Vec<PackId>,
    /// The local folder that gets copies of the damaged packs, as `pack-ID`.
    pub copies: PathBuf,
    /// Threads; 0: as many as processors.
    pub threads: usize,
}

/// What a repair of packs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackRepair {
    /// Each pack that was looked at because it was named or damaged.
    pub packs: Vec<PackOutcome>,
    /// What was written into new packs.
    pub written: Written,
    /// Old index files that were replaced.
    pub index_files: u64,
}

/// What became of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOutcome {
    /// Which.
    pub id: PackId,
    /// It is whole; nothing was done with it.
    pub sound: bool,
    /// Blobs of it that are whole.
    pub salvaged: u64,
    /// Blobs of it that are not, and that no other pack has.
    pub lost: Vec<(BlobKind, BlobId)>,
    /// Where its bytes are kept.
    pub copy: Option<PathBuf>,
}

/// Repairs damaged packs. `guard` says before each change whether the exclusive lock is still held.
///
/// # Errors
/// [`RepoError::Refused`] for a named pack that is not there; [`RepoError::Damaged`] for an index file that cannot be read: the index is to be repaired first;
/// [`RepoError::Local`] when the copy cannot be written; failures of the place; what `guard` says. Blobs that could be read before can be read after any of
/// them.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use tintype_repo::{Actor, MemoryBackend, Repository, Version};
/// use tintype_repo::{MendProgress, PackRepairOptions, repair_packs};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let now = "2026-01-01T00:00:00Z".parse()?;
/// # let repo = Repository::init(Arc::new(MemoryBackend::new()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let options = PackRepairOptions { packs: vec![], copies: ".".into(), threads: 0 };
/// let report = repair_packs(&repo, &options, &MendProgress::default(), &|| Ok(()))?;
/// assert!(report.packs.is_empty(), "all packs are whole");
/// # Ok(())
/// # }
/// ```
pub fn repair_packs(
    repo: &Repository,
    options: &PackRepairOptions,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<PackRepair> {
    let index = repo.index()?;
    let packs = match options.packs.is_empty() {
        true => damaged_packs(repo, threads(options.threads), progress)?,
        false => options.packs.clone(),
    };
    let mut report = PackRepair::default();
    // The writer knows of no blob, so that it writes those that are there.
    let writer = BlobWriter::new(repo.clone(), Arc::default(), BlobOptions::default());
    let mut salvage = || -> Result<Vec<Lost>> {
        let mut lost = Vec::new();
        let indexed = indexed_blobs(&index, &packs);
        let salvage = Salvage { repo, indexed, writer: &writer, options };
        let mut seen = HashSet::new();
        for id in packs.iter().filter(|id| seen.insert(**id)) {
            let (outcome, bad) = salvage.pack(*id)?;
            report.packs.push(outcome);
            lost.push(bad);
            progress.pack()?;
        }
        Ok(lost)
    };
    let lost = salvage();
    let lost = lost.map(|lost| only_there(&index, &writer, &mut report, lost));
    let ((), written) = writer.finish_after(lost)?;
    report.written = written;
    let going: HashSet<PackId> =
        report.packs.iter().filter(|pack| !pack.sound).map(|pack| pack.id).collect();
    if going.is_empty() {
        return Ok(report);
    }
    guard()?;
    let old = forget_packs(repo, &going)?;
    guard()?;
    for id in &old {
        repo.backend().remove(FileKind::Index, id.0)?;
        report.index_files += 1;
    }
    for pack in report.packs.iter().filter(|pack| !pack.sound) {
        guard()?;
        repo.backend().remove(FileKind::Pack, pack.id.0)?;
    }
    Ok(report)
}

/// Blobs of a pack that are not whole.
type Lost = Vec<(BlobKind, BlobId)>;

/// Notes of each pack what is lost with it: what neither another pack has nor any of these gave.
fn only_there(index: &Index, writer: &BlobWriter, report: &mut PackRepair, lost: Vec<Lost>) {
    let bad: HashSet<PackId> =
        report.packs.iter().filter(|pack| !pack.sound).map(|pack| pack.id).collect();
    for (outcome, mut lost) in report.packs.iter_mut().zip(lost) {
        lost.retain(|(kind, id)| {
            let elsewhere = index.find_all(*kind, *id).any(|found| !bad.contains(&found.pack));
            !elsewhere && !writer.has(*kind, *id)
        });
        outcome.lost = lost;
    }
}

/// Writes anew the index files that name these packs, without them; gives the files that are then of no use.
fn forget_packs(repo: &Repository, going: &HashSet<PackId>) -> Result<Vec<IndexId>> {
    let (mut saver, mut old) = (IndexSaver::new(repo), Vec::new());
    for (id, _) in repo.backend().list(FileKind::Index)? {
        let file = match repo.index_file(IndexId(id)) {
            Err(RepoError::Backend(BackendError::NotFound { .. })) => continue,
            file => file?,
        };
        let goes = |pack: &IndexedPack| going.contains(&pack.id);
        if !file.packs.iter().chain(&file.packs_to_delete).any(goes) {
            continue;
        }
        old.push(IndexId(id));
        let stay = |pack: &IndexedPack| !goes(pack);
        file.packs.into_iter().filter(stay).try_for_each(|pack| saver.keep(pack))?;
        let marked = file.packs_to_delete.into_iter().filter(stay);
        marked.into_iter().try_for_each(|pack| saver.mark(pack))?;
    }
    saver.flush()?;
    Ok(old)
}

/// All blobs that the index has in these packs.
fn indexed_blobs(index: &Index, packs: &[PackId]) -> HashMap<PackId, Vec<PackedBlob>> {
    let mut blobs: HashMap<_, _> = packs.iter().map(|id| (*id, Vec::new())).collect();
    for found in [BlobKind::Data, BlobKind::Tree].into_iter().flat_map(|kind| index.iter(kind)) {
        if let Some(list) = blobs.get_mut(&found.pack) {
            list.push(found.blob);
        }
    }
    blobs
}

/// Tools for one pack after another.
struct Salvage<'s> {
    repo: &'s Repository,
    /// What the index has in the packs that are looked at.
    indexed: HashMap<PackId, Vec<PackedBlob>>,
    writer: &'s BlobWriter,
    options: &'s PackRepairOptions,
}

impl Salvage<'_> {
    /// Brings what is whole of a pack into safety.
    fn pack(&self, id: PackId) -> Result<(PackOutcome, Lost)> {
        let bytes = match self.repo.backend().read(FileKind::Pack, id.0) {
            Err(BackendError::NotFound { .. }) => {
                let detail = format!(
                    "pack {id} is not there: what is named and missing leaves the index by `tintype repair index`"
                );
                return Err(RepoError::Refused { detail });
            }
            bytes => bytes?,
        };
        let header = read_whole(self.repo.key(), &bytes);
        let named_right = Id::of(&bytes) == id.0 && header.is_ok();
        let mut blobs = header.unwrap_or_default();
        let whole_before = blobs.iter().all(|blob| self.is_whole(id, blob, &bytes));
        let mut outcome = PackOutcome { id, sound: false, salvaged: 0, lost: vec![], copy: None };
        // What the index says of a pack that is whole is not the pack's fault.
        if named_right && whole_before {
            (outcome.sound, outcome.salvaged) = (true, blobs.len() as u64);
            return Ok((outcome, vec![]));
        }
        blobs.extend(self.indexed.get(&id).into_iter().flatten());
        blobs.sort_unstable_by_key(|b| (b.offset, b.id, b.length, b.kind, b.plain));
        blobs.dedup();
        let (whole, bad): (Vec<PackedBlob>, Vec<PackedBlob>) =
            blobs.into_iter().partition(|blob| self.is_whole(id, blob, &bytes));
        let mut lost: Lost = bad.into_iter().map(|blob| (blob.kind, blob.id)).collect();
        outcome.salvaged = whole.len() as u64;
        outcome.copy = Some(keep_copy(&self.options.copies, &format!("pack-{id}"), &bytes)?);
        for blob in whole {
            let sealed = part(&bytes, &blob).unwrap_or_default();
            self.writer.add_sealed(blob.kind, blob.id, sealed, blob.plain)?;
        }
        lost.sort_unstable();
        lost.dedup();
        Ok((outcome, lost))
    }

    fn is_whole(&self, pack: PackId, blob: &PackedBlob, bytes: &[u8]) -> bool {
        let found = Found { pack, blob: *blob };
        part(bytes, blob)
            .is_some_and(|sealed| self.repo.open_blob(&found, &mut sealed.to_vec()).is_ok())
    }
}

/// A blob's sealed bytes, if the pack goes so far.
fn part<'p>(pack: &'p [u8], blob: &PackedBlob) -> Option<&'p [u8]> {
    let from = blob.offset as usize;
    pack.get(from..from.checked_add(blob.length as usize)?)
}
