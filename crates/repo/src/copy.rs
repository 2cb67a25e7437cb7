//! Copies of snapshots from one repository into another: their blobs are opened, checked, and sealed anew under the other key.
//!
//! A copy has no parents and names its first version as `original`; so a later run knows that it is there. Blobs that the other repository
//! has are not read. Files cut with another polynomial share no chunks with later backups there: [`same_cuts`] tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{RepoError, Result};
use crate::id::{BlobId, PackId, SnapshotId};
use crate::index::{Found, Index};
use crate::pack::BlobKind;
use crate::reach::{Marks, Seen, reach};
use crate::repository::Repository;
use crate::snapshot::SnapshotFile;
use crate::threads::threads;
use crate::watch::Stop;
use crate::writer::{BlobOptions, BlobWriter, Scratch, Written};

/// How is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// How blobs are written. With its `dry_run` nothing is written: neither blobs nor snapshots.
    pub blobs: BlobOptions,
    /// Threads; 0: as many as processors.
    pub threads: usize,
}

/// Counters of a running copy: read at any time, by any thread.
#[derive(Debug, Default)]
pub struct CopyProgress {
    /// Blobs to copy; 0 until that is known.
    pub blobs_total: AtomicU64,
    /// Their sealed bytes.
    pub bytes_total: AtomicU64,
    /// Blobs copied.
    pub blobs: AtomicU64,
    /// Their sealed bytes in the source.
    pub bytes: AtomicU64,
    stop: Stop,
}

impl CopyProgress {
    /// None yet; the copy ends soon when `stop` is asked for. What was copied is found by the next one.
    pub fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    fn planned(&self, todo: &[Vec<Found>]) {
        let blobs = todo.iter().flatten();
        let bytes = blobs.map(|found| u64::from(found.blob.length)).sum();
        self.bytes_total.store(bytes, Ordering::Relaxed);
        let count = todo.iter().map(|pack| pack.len() as u64).sum();
        self.blobs_total.store(count, Ordering::Relaxed);
    }

    fn copied(&self, found: &Found) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::from(found.blob.length), Ordering::Relaxed);
    }
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct Copied {
    /// Old and new id of each snapshot that was copied; no new one after a dry run.
    pub snapshots: Vec<(SnapshotId, Option<SnapshotId>)>,
    /// Snapshots that were there already.
    pub there: Vec<SnapshotId>,
    /// What was written, or would have been.
    pub written: Written,
}

/// Are files cut at the same places in both repositories? If not, copies take room of their own beside later backups.
pub fn same_cuts(from: &Repository, to: &Repository) -> bool {
    from.config().chunker_polynomial == to.config().chunker_polynomial
}

/// Copies snapshots with all that they need. The caller holds locks on both repositories; `guard` is asked whether it still does before
/// snapshots are written, and ends the run by its error.
///
/// # Errors
/// Failures of either place; something that is missing or damaged in `from`. No snapshot is written in `to` then.
pub fn copy_snapshots(
    from: &Repository,
    to: &Repository,
    snapshots: &[SnapshotFile],
    options: CopyOptions,
    progress: &CopyProgress,
    guard: &dyn Fn() -> Result<()>,
) -> Result<Copied> {
    let there = to.snapshots()?;
    let (old, new): (Vec<_>, Vec<_>) =
        snapshots.iter().partition(|snapshot| there.iter().any(|copy| is_copy(copy, snapshot)));
    let mut copied = Copied { there: old.iter().map(|old| old.id).collect(), ..Copied::default() };
    if new.is_empty() {
        return Ok(copied);
    }
    let source = from.index()?;
    let writer = BlobWriter::new(to.clone(), Arc::new(to.index_in_use()?), options.blobs);
    let todo = needed(from, &source, &writer, &new, options.threads)?;
    progress.planned(&todo);
    let done = copy_blobs(from, &source, &writer, &todo, threads(options.threads), progress);
    copied.written = writer.finish_after(done)?.1;
    guard()?;
    for snapshot in new {
        let mut copy = snapshot.clone();
        copy.set_parents(vec![]);
        copy.original = Some(snapshot.first_id());
        let id = if options.blobs.dry_run { None } else { Some(to.save_snapshot(&mut copy)?) };
        copied.snapshots.push((snapshot.id, id));
    }
    Ok(copied)
}

/// Is `copy` the same snapshot, as restic sees it? Tags may have changed since only when both say so.
fn is_copy(copy: &SnapshotFile, snapshot: &SnapshotFile) -> bool {
    let set = |list: &[String]| list.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let who = |s: &SnapshotFile| (s.hostname.clone(), s.username.clone(), s.uid, s.gid);
    let first = copy.first_id();
    (first == snapshot.id || first == snapshot.first_id())
        && copy.time.instant() == snapshot.time.instant()
        && copy.tree == snapshot.tree
        && who(copy) == who(snapshot)
        && set(&copy.paths) == set(&snapshot.paths)
        && set(&copy.excludes) == set(&snapshot.excludes)
        && set(&copy.tags) == set(&snapshot.tags)
}

/// The blobs that the other repository has not, each once, by pack, in the order in which they lie there.
fn needed(
    from: &Repository,
    source: &Index,
    writer: &BlobWriter,
    snapshots: &[&SnapshotFile],
    wanted_threads: usize,
) -> Result<Vec<Vec<Found>>> {
    let marks = Marks::new(source);
    let roots: Vec<BlobId> = snapshots.iter().map(|snapshot| snapshot.tree).collect();
    let refuse = |seen: Seen<'_>| match seen {
        Seen::NoTree(id) | Seen::NoData(_, _, id) => Err(RepoError::MissingBlob { id }),
        Seen::BadTree(_, error) => Err(error),
        _ => Ok(()),
    };
    reach(from, source, &roots, &marks, threads(wanted_threads), &refuse)?;
    let mut packs: HashMap<PackId, Vec<Found>> = HashMap::new();
    for kind in [BlobKind::Data, BlobKind::Tree] {
        for (position, found) in source.iter(kind).enumerate() {
            if marks.get(kind, position) && !writer.has(kind, found.blob.id) {
                packs.entry(found.pack).or_default().push(found);
            }
        }
    }
    let mut packs: Vec<_> = packs.into_values().collect();
    for list in &mut packs {
        list.sort_unstable_by_key(|found| found.blob.offset);
    }
    Ok(packs)
}

fn copy_blobs(
    from: &Repository,
    source: &Index,
    writer: &BlobWriter,
    todo: &[Vec<Found>],
    count: usize,
    progress: &CopyProgress,
) -> Result<()> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let one = |found: &Found, scratch: &mut Scratch| {
        progress.stop.check()?;
        let (kind, id) = (found.blob.kind, found.blob.id);
        let plain = from.blob(source, kind, id)?;
        writer.add(scratch, kind, id, &plain)?;
        progress.copied(found);
        Ok(())
    };
    let work = || {
        let mut scratch = Scratch::default();
        while let Some(list) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
            for found in list {
                if let Err(error) = one(found, &mut scratch) {
                    next.store(todo.len(), Ordering::Relaxed);
                    failure.lock().get_or_insert(error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..count.min(todo.len()) {
            scope.spawn(work);
        }
    });
    failure.into_inner().map_or(Ok(()), Err)
}
