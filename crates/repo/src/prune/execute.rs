//! Carrying out a plan: new packs with their index, then the other index files anew, then old index files go, then packs.
//!
//! Sealed blobs are copied as they are, after their authentication code was checked; only those that are to be compressed are
//! opened. A pack that is in the index as in use and marked as well counts as in use: that is what an interrupted run leaves.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::gather::marked_since;
use super::plan::{Decision, PrunePlan};
use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{IndexId, PackId};
use crate::index::{Found, Index, IndexFile, IndexSaver, IndexedPack};
use crate::pack::PackedBlob;
use crate::reach::threads;
use crate::repository::Repository;
use crate::writer::{BlobWriter, Scratch, Written};
use tintype_model::moment::Moment;

/// Needed blobs with less than this between them are read together, in bytes.
const GAP: u64 = 256 << 10;
/// What is read at once, unless a blob is longer, in bytes.
const READ: u64 = 16 << 20;

/// What a prune did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneDone {
    /// What was rewritten.
    pub written: Written,
    /// Index files removed.
    pub index_files: u64,
    /// Packs deleted.
    pub packs: u64,
}

/// Carries out a plan. `guard` is asked before anything is removed, and ends the run by its error: whether the lock is still held.
///
/// # Errors
/// Failures of the place, damaged blobs, what `guard` says. The repository is sound after any of them.
pub fn prune(
    repo: &Repository,
    plan: &PrunePlan,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<PruneDone> {
    let mut done = PruneDone::default();
    if plan.is_empty() {
        return Ok(done);
    }
    done.written = repack(repo, plan, guard)?;
    guard()?;
    let old = rewrite_index(repo, plan)?;
    guard()?;
    for id in &old {
        repo.backend().remove(FileKind::Index, id.0)?;
        done.index_files += 1;
    }
    let mut going: Vec<_> = plan.decisions.iter().filter(|(_, d)| plan.deletes(**d)).collect();
    going.sort_unstable();
    for (id, _) in going {
        guard()?;
        repo.backend().remove(FileKind::Pack, id.0)?;
        done.packs += 1;
    }
    Ok(done)
}

/// Writes what is needed of packs that go into new packs, and their index.
fn repack(
    repo: &Repository,
    plan: &PrunePlan,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Written> {
    if plan.repack.is_empty() {
        return Ok(Written::default());
    }
    // The writer knows of no blob, so that it writes those that are there.
    let writer = BlobWriter::new(repo.clone(), Arc::new(Index::default()), plan.options.blobs);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut copier = Copier::new(repo, plan, &writer);
        while let Some((id, blobs)) = plan.repack.get(next.fetch_add(1, Ordering::Relaxed)) {
            guard()?;
            copier.pack(*id, blobs)?;
        }
        Ok(())
    };
    let count = threads(plan.options.threads).min(plan.repack.len());
    let copied: Result<()> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let broken =
            || RepoError::Refused { detail: "a thread that rewrites packs broke off".to_owned() };
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(broken())))
            .collect();
        results.into_iter().collect()
    });
    Ok(writer.finish_after(copied)?.1)
}

/// A thread's tools.
struct Copier<'c> {
    repo: &'c Repository,
    writer: &'c BlobWriter,
    plan: &'c PrunePlan,
    scratch: Scratch,
    sealed: Vec<u8>,
    open: Vec<u8>,
}

impl<'c> Copier<'c> {
    fn new(repo: &'c Repository, plan: &'c PrunePlan, writer: &'c BlobWriter) -> Self {
        let scratch = Scratch::default();
        Self { repo, writer, plan, scratch, sealed: Vec::new(), open: Vec::new() }
    }

    fn pack(&mut self, id: PackId, mut blobs: &[PackedBlob]) -> Result<()> {
        while let Some(first) = blobs.first() {
            let (together, rest) = blobs.split_at(run_length(blobs));
            let from = u64::from(first.offset);
            let end = together.last().map_or(from, end_of);
            let length = (end - from) as usize;
            let mut bytes = std::mem::take(&mut self.sealed);
            let backend = self.repo.backend();
            backend.read_part_into(FileKind::Pack, id.0, from, length, &mut bytes)?;
            for blob in together {
                let at = (u64::from(blob.offset) - from) as usize;
                let sealed = bytes.get(at..at + blob.length as usize).unwrap_or_default();
                self.blob(id, blob, sealed)?;
            }
            self.sealed = bytes;
            blobs = rest;
        }
        Ok(())
    }

    fn blob(&mut self, pack: PackId, blob: &PackedBlob, sealed: &[u8]) -> Result<()> {
        if self.plan.options.repack_uncompressed && blob.plain.is_none() {
            self.open.clear();
            self.open.extend_from_slice(sealed);
            let found = Found { pack, blob: *blob };
            let plain = self.repo.open_blob(&found, &mut self.open)?;
            self.writer.add(&mut self.scratch, blob.kind, blob.id, &plain)?;
        } else {
            self.repo.key().check(sealed).map_err(|e| RepoError::DamagedBlob {
                id: blob.id,
                pack: pack.0,
                detail: e.to_string(),
            })?;
            self.writer.add_sealed(blob.kind, blob.id, sealed, blob.plain)?;
        }
        Ok(())
    }
}

fn end_of(blob: &PackedBlob) -> u64 {
    u64::from(blob.offset) + u64::from(blob.length)
}

/// How many of the first blobs are read together.
fn run_length(blobs: &[PackedBlob]) -> usize {
    let (Some(first), mut end) = (blobs.first(), 0) else { return 0 };
    let start = u64::from(first.offset);
    let together = blobs.iter().enumerate().take_while(|(number, blob)| {
        let near = u64::from(blob.offset) <= end + GAP && end_of(blob) <= start + READ;
        end = end_of(blob);
        *number == 0 || near
    });
    together.count()
}

/// Writes anew what changes of the index; gives the files that are then of no use.
fn rewrite_index(repo: &Repository, plan: &PrunePlan) -> Result<Vec<IndexId>> {
    let mut output = Output { plan, saver: IndexSaver::new(repo), done: HashSet::new() };
    let mut old = Vec::new();
    for id in &plan.files {
        let file = match repo.index_file(*id) {
            // Whoever removed it has written what it said elsewhere.
            Err(RepoError::Backend(BackendError::NotFound { .. })) => continue,
            file => file?,
        };
        if plan.merge.contains(id) || changes(plan, &file) {
            output.take(file)?;
            old.push(*id);
        }
    }
    if !plan.options.instant_delete {
        for (id, length) in &plan.unknown {
            let pack = IndexedPack { id: *id, blobs: vec![], time: None, size: Some(*length) };
            output.mark(pack)?;
        }
    }
    output.saver.flush()?;
    Ok(old)
}

/// Does anything that the file says change?
fn changes(plan: &PrunePlan, file: &IndexFile) -> bool {
    let used = file.packs.iter().any(|pack| plan.decision(pack.id) != Decision::Keep);
    let marked = file.packs_to_delete.iter().any(|pack| {
        plan.stray.contains(&pack.id)
            || plan.decision(pack.id) != Decision::Wait
            || pack.time.is_none()
    });
    used || marked
}

/// New index files.
struct Output<'o> {
    plan: &'o PrunePlan,
    saver: IndexSaver<'o>,
    /// Packs that were put into a new file.
    done: HashSet<PackId>,
}

impl Output<'_> {
    fn take(&mut self, file: IndexFile) -> Result<()> {
        for pack in file.packs {
            let decision = self.plan.decision(pack.id);
            match decision {
                Decision::Keep => self.keep(pack)?,
                Decision::Repack | Decision::Unneeded if !self.plan.deletes(decision) => {
                    self.mark(IndexedPack { time: None, ..pack })?;
                }
                _ => {}
            }
        }
        for pack in file.packs_to_delete {
            match self.plan.decision(pack.id) {
                _ if self.plan.stray.contains(&pack.id) => {}
                Decision::Wait => {
                    let since = marked_since(&pack, self.plan.now);
                    self.mark(IndexedPack { time: Some(Moment::utc(since).to_string()), ..pack })?;
                }
                Decision::Recover => self.keep(IndexedPack { time: None, ..pack })?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A pack in use.
    fn keep(&mut self, pack: IndexedPack) -> Result<()> {
        if self.done.insert(pack.id) { self.saver.keep(pack) } else { Ok(()) }
    }

    /// A marked pack; since now unless it says otherwise.
    fn mark(&mut self, mut pack: IndexedPack) -> Result<()> {
        pack.time.get_or_insert_with(|| Moment::utc(self.plan.now).to_string());
        if self.done.insert(pack.id) { self.saver.mark(pack) } else { Ok(()) }
    }
}
