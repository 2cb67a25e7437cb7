//! The index made right: what it says of packs is compared with what is there, and packs that it does not know are asked what they hold.
//!
//! Only index files that say something wrong are written anew; those that cannot be read are replaced by what the packs say. A pack whose header
//! cannot be read keeps what the index knows of it, as far as the pack goes: its blobs may be whole all the same. Marks of packs that wait for deletion
//! stay. New files are written first, then old ones go.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::is_damage;
use super::stock::{clip, list_packs, refuse_emptiness};
use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{IndexId, PackId};
use crate::index::{IndexFile, IndexSaver, IndexedPack};
use crate::pack::{PackedBlob, pack_length};
use crate::parallel::in_parallel;
use crate::progress::MendProgress;
use crate::reach::threads;
use crate::repository::Repository;

/// How the index is repaired.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexRepairOptions {
    /// The headers of all packs are read. Otherwise only of those that the index does not know or whose length it has wrong.
    pub read_all: bool,
    /// Nothing is changed; it is only found out what would be.
    pub dry_run: bool,
    /// Threads; 0: as many as processors.
    pub threads: usize,
}

/// What a repair of the index did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexRepair {
    /// Packs that no index named and that are in it now.
    pub added: Vec<PackId>,
    /// Packs of which the index said something else than their headers.
    pub corrected: Vec<PackId>,
    /// Packs that the index named and that are not there; it names them no more.
    pub gone: Vec<PackId>,
    /// Index files that could not be read, and why.
    pub unreadable: Vec<(IndexId, String)>,
    /// Packs whose headers cannot be read, and why. What the index knows of them stays; `repair_packs` salvages it.
    pub damaged: Vec<(PackId, String)>,
    /// Old index files that were replaced, those that could not be read included.
    pub replaced: Vec<IndexId>,
}

impl IndexRepair {
    /// Was the index right?
    pub fn is_right(&self) -> bool {
        self.added.is_empty() && self.replaced.is_empty()
    }
}

/// Makes the index right. `guard` says before anything is removed whether the exclusive lock is still held.
///
/// # Errors
/// [`RepoError::Refused`] when the index names packs and not one is there; failures of the place; what `guard` says. Everything that the index named before it names after any of them.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tintype_repo::{
///     Actor, Backend, BlobId, BlobKind, BlobOptions, BlobWriter, FileKind, IndexRepairOptions, MemoryBackend,
///     MendProgress, Repository, Scratch, Version, repair_index,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let backend = MemoryBackend::new();
/// let repo = Repository::init(Arc::new(backend.clone()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let writer = BlobWriter::new(repo.clone(), Arc::new(repo.index()?), BlobOptions::default());
/// writer.add(&mut Scratch::default(), BlobKind::Data, BlobId::of(b"text"), b"text")?;
/// writer.finish()?;
/// for (id, _) in backend.list(FileKind::Index)? {
///     backend.remove(FileKind::Index, id)?;
/// }
/// let report = repair_index(&repo, &IndexRepairOptions::default(), &MendProgress::default(), &|| Ok(()))?;
/// assert_eq!(report.added.len(), 1);
/// assert!(repo.index()?.has(BlobKind::Data, BlobId::of(b"text")));
/// # Ok(())
/// # }
/// ```
pub fn repair_index(
    repo: &Repository,
    options: &IndexRepairOptions,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<IndexRepair> {
    let mut report = IndexRepair::default();
    let known = Known::read(repo, &mut report)?;
    // Listed behind the index: a pack is there before an index names it.
    let listed = list_packs(repo)?;
    refuse_emptiness(repo, known.used.len(), &listed)?;
    let mut to_read: Vec<(PackId, u64)> = listed
        .iter()
        .filter(|(id, length)| options.read_all || known.doubts(**id, **length))
        .map(|(id, length)| (*id, *length))
        .collect();
    to_read.sort_unstable();
    let headers = read_headers(repo, &to_read, threads(options.threads), progress)?;
    let saver = if options.dry_run { IndexSaver::dry() } else { IndexSaver::new(repo) };
    let settled = HashSet::new();
    let mut judge = Judge { known: &known, listed, headers, settled, saver, report };
    for id in &known.files {
        match repo.index_file(*id) {
            // Whoever removed it has written what it said elsewhere.
            Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
            file => judge.file(*id, file?)?,
        }
    }
    let mut report = judge.unknown(&to_read)?;
    report.replaced.extend(report.unreadable.iter().map(|(id, _)| *id));
    if !options.dry_run && !report.replaced.is_empty() {
        guard()?;
        for id in &report.replaced {
            repo.backend().remove(FileKind::Index, id.0)?;
        }
    }
    Ok(report)
}

/// What the index files say, as far as it is needed to decide which packs to ask.
#[derive(Default)]
struct Known {
    files: Vec<IndexId>,
    /// Packs in use with their lengths; `None`: files contradict each other.
    used: HashMap<PackId, Option<u64>>,
    /// Packs that wait for deletion, and whether their blobs are known.
    marked: HashMap<PackId, bool>,
}

impl Known {
    fn read(repo: &Repository, report: &mut IndexRepair) -> Result<Self> {
        let mut known = Self::default();
        for (id, _) in repo.backend().list(FileKind::Index)? {
            let id = IndexId(id);
            match repo.index_file(id) {
                Ok(file) => known.note(id, &file),
                Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
                Err(error) if is_damage(&error) => report.unreadable.push((id, error.detail())),
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    fn note(&mut self, id: IndexId, file: &IndexFile) {
        self.files.push(id);
        for pack in &file.packs {
            let length = said_length(pack);
            let so_far = self.used.entry(pack.id).or_insert(length);
            if *so_far != length {
                *so_far = None;
            }
        }
        for pack in &file.packs_to_delete {
            *self.marked.entry(pack.id).or_default() |= !pack.blobs.is_empty();
        }
    }

    /// Is the pack to be asked what it holds?
    fn doubts(&self, id: PackId, length: u64) -> bool {
        match (self.used.get(&id), self.marked.get(&id)) {
            (Some(indexed), _) => *indexed != Some(length),
            (None, Some(blobs_known)) => !blobs_known,
            (None, None) => true,
        }
    }
}

/// What packs say about themselves, or why they say nothing.
type Headers = HashMap<PackId, Result<Vec<PackedBlob>, String>>;

fn read_headers(
    repo: &Repository,
    packs: &[(PackId, u64)],
    count: usize,
    progress: &MendProgress,
) -> Result<Headers> {
    progress.packs_to_read(packs.len());
    let headers = Mutex::new(Headers::new());
    in_parallel(packs, count, |(id, length)| {
        let header = match repo.pack_header(*id, *length) {
            Ok(blobs) => Ok(blobs),
            Err(error) if is_damage(&error) => Err(error.detail()),
            Err(error) => return Err(error),
        };
        headers.lock().insert(*id, header);
        progress.pack()
    })?;
    Ok(headers.into_inner())
}

/// Decides file by file.
struct Judge<'j> {
    known: &'j Known,
    listed: HashMap<PackId, u64>,
    headers: Headers,
    /// Packs in use that an index file has had already.
    settled: HashSet<PackId>,
    saver: IndexSaver<'j>,
    report: IndexRepair,
}

impl Judge<'_> {
    /// Keeps a file, or collects what is right of it for a new one.
    fn file(&mut self, id: IndexId, file: IndexFile) -> Result<()> {
        let (mut changed, mut packs, mut marked) = (false, Vec::new(), Vec::new());
        for pack in file.packs {
            let before = pack.clone();
            let after = self.used(pack);
            changed |= after.as_ref() != Some(&before);
            packs.extend(after);
        }
        for pack in file.packs_to_delete {
            let before = pack.clone();
            let after = self.waiting(pack);
            changed |= after.as_ref() != Some(&before);
            marked.extend(after);
        }
        if !changed {
            return Ok(());
        }
        self.report.replaced.push(id);
        packs.into_iter().try_for_each(|pack| self.saver.keep(pack))?;
        marked.into_iter().try_for_each(|pack| self.saver.mark(pack))
    }

    /// A pack in use, as it should stand in the index; `None`: not in this file.
    fn used(&mut self, mut pack: IndexedPack) -> Option<IndexedPack> {
        let Some(length) = self.listed.get(&pack.id).copied() else {
            self.report.gone.push(pack.id);
            return None;
        };
        let header = self.headers.get(&pack.id);
        // The blobs of a pack without a header may be spread over several files.
        let alone = header.is_none_or(Result::is_ok);
        if !self.settled.insert(pack.id) && alone {
            return None;
        }
        match header {
            None => {}
            Some(Ok(blobs)) if same_blobs(&pack, blobs) && said_length(&pack) == Some(length) => {}
            Some(Ok(blobs)) => {
                self.report.corrected.push(pack.id);
                pack = IndexedPack { time: pack.time, ..IndexedPack::new(pack.id, blobs) };
            }
            Some(Err(detail)) => {
                self.report.damaged.push((pack.id, detail.clone()));
                clip(&mut pack, length);
            }
        }
        Some(pack)
    }

    /// A pack that waits for deletion.
    fn waiting(&mut self, mut pack: IndexedPack) -> Option<IndexedPack> {
        if !self.listed.contains_key(&pack.id) {
            self.report.gone.push(pack.id);
            return None;
        }
        // One that is in use as well is what an interrupted run left: it counts as in use.
        if self.known.used.contains_key(&pack.id) {
            return None;
        }
        if let (true, Some(Ok(blobs))) = (pack.blobs.is_empty(), self.headers.get(&pack.id)) {
            let IndexedPack { time, size, .. } = pack;
            pack = IndexedPack { time, size, ..IndexedPack::new(pack.id, blobs) };
        }
        Some(pack)
    }

    /// Takes in the packs that no index file names, and writes what is left; gives the report.
    fn unknown(mut self, read: &[(PackId, u64)]) -> Result<IndexRepair> {
        for (id, _) in read {
            if self.known.used.contains_key(id) || self.known.marked.contains_key(id) {
                continue;
            }
            match self.headers.get(id) {
                Some(Ok(blobs)) => {
                    self.saver.keep(IndexedPack::new(*id, blobs))?;
                    self.report.added.push(*id);
                }
                Some(Err(detail)) => self.report.damaged.push((*id, detail.clone())),
                None => {}
            }
        }
        self.saver.flush()?;
        // Index files may name a pack more than once.
        for list in [&mut self.report.gone, &mut self.report.corrected] {
            list.sort_unstable();
            list.dedup();
        }
        self.report.damaged.sort_unstable();
        self.report.damaged.dedup();
        Ok(self.report)
    }
}

/// A pack's length as its blobs make it; `None`: it is written down otherwise.
fn said_length(pack: &IndexedPack) -> Option<u64> {
    let blobs: Vec<PackedBlob> = pack.blobs.iter().copied().map(PackedBlob::from).collect();
    let length = pack_length(&blobs);
    pack.size.is_none_or(|size| size == length).then_some(length)
}

/// Does the index say what the header says?
fn same_blobs(pack: &IndexedPack, header: &[PackedBlob]) -> bool {
    let mut indexed: Vec<PackedBlob> = pack.blobs.iter().copied().map(PackedBlob::from).collect();
    indexed.sort_by_key(|blob| blob.offset);
    indexed == header
}
