//! Mending snapshots: each gets a version that has all that is left of it.
//!
//! Chunks count as missing when no index has them in a pack that is there; whether their bytes are whole only reading tells, so damaged packs are repaired
//! first (`packs`). A snapshot whose root cannot be read has nothing left. Files of snapshots that cannot be read are told,
//! and removed only on request, with a copy of each left behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::is_damage;
use super::keep::keep_copy;
use super::stock::Stock;
use super::trees::{KeepWhole, Loss};
use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::forget::remove_snapshots;
use crate::id::SnapshotId;
use crate::pack::BlobKind;
use crate::progress::MendProgress;
use crate::repository::Repository;
use crate::rewrite::replace::{Replacing, with_tree};
use crate::rewriter::Rewriter;
use crate::snapshot::SnapshotFile;
use crate::writer::{BlobOptions, BlobWriter, Written};

/// The tag of mended snapshots beside their old versions.
const TAG: &str = "repaired";

/// How snapshots are mended.
#[derive(Clone, Debug, Default)]
pub struct SnapshotRepairOptions {
    /// Only these. Empty: all.
    pub snapshots: Vec<SnapshotId>,
    /// The damaged versions go. Otherwise they stay and the new ones get the tag `repaired`.
    pub forget: bool,
    /// Files of snapshots that cannot be read go, and this local folder gets a copy of each, as `snapshot-ID`.
    pub forget_unreadable: Option<PathBuf>,
    /// Nothing is changed; it is only found out what would be.
    pub dry_run: bool,
}

/// What a repair of snapshots did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRepair {
    /// Damaged and, unless it was a dry run, mended version of each.
    pub repaired: Vec<(SnapshotId, Option<SnapshotId>)>,
    /// Snapshots that lack nothing.
    pub sound: Vec<SnapshotId>,
    /// Snapshots of which nothing is left, as their root cannot be read. With `forget` they are removed.
    pub empty: Vec<SnapshotId>,
    /// Damaged snapshots whose own rule keeps them, so that nothing was done with them: only with `forget`.
    pub protected: Vec<SnapshotId>,
    /// Files of snapshots that cannot be read, and why.
    pub unreadable: Unreadable,
    /// Those of them that were removed, and their copies.
    pub removed: Vec<(SnapshotId, PathBuf)>,
    /// What is lost in which snapshot, at most 10,000 of it.
    pub losses: Vec<Loss>,
    /// How much is lost, also what is not listed.
    pub lost: u64,
    /// Trees that were written.
    pub written: Written,
}

/// Mends snapshots. `guard` says before each change whether the exclusive lock is still held.
///
/// # Errors
/// [`RepoError::Local`] when a copy cannot be written, [`RepoError::Damaged`] for an index file that cannot be read, [`RepoError::Refused`] when something is missing that may be in a pack that no index names:
/// the index is to be repaired first. Failures of the place; what `guard` says. Nothing that could be read is lost after any of them.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use tintype_repo::{Actor, MemoryBackend, Repository, Version};
/// use tintype_repo::{MendProgress, SnapshotRepairOptions, repair_snapshots};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let now = "2026-01-01T00:00:00Z".parse()?;
/// # let repo = Repository::init(Arc::new(MemoryBackend::new()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let options = SnapshotRepairOptions { forget: true, ..SnapshotRepairOptions::default() };
/// let report = repair_snapshots(&repo, &options, now, &MendProgress::default(), &|| Ok(()))?;
/// for loss in &report.losses {
///     println!("{} {}: {}", loss.snapshot, loss.path.display(), loss.kind);
/// }
/// assert_eq!(report.lost, 0);
/// # Ok(())
/// # }
/// ```
pub fn repair_snapshots(
    repo: &Repository,
    options: &SnapshotRepairOptions,
    now: Timestamp,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<SnapshotRepair> {
    let (there, unreadable) = readable_snapshots(repo)?;
    let mut report = SnapshotRepair { unreadable, ..SnapshotRepair::default() };
    let stock = Stock::read(repo)?;
    let writer = (!options.dry_run)
        .then(|| {
            Ok::<_, RepoError>(BlobWriter::new(
                repo.clone(),
                Arc::new(repo.index_in_use()?),
                BlobOptions::default(),
            ))
        })
        .transpose()?;
    let mended = mend(repo, &stock, &there, options, writer.as_ref(), progress, &mut report);
    let changes = match writer {
        Some(writer) => {
            let (changes, written) = writer.finish_after(mended)?;
            report.written = written;
            changes
        }
        None => mended?,
    };
    let replacing = Replacing { repo, forget: options.forget, tag: TAG, now };
    let refused = |id: &SnapshotId| there.iter().any(|s| s.id == *id && replacing.refuses(s));
    let (kept, changes): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(old, _)| refused(&old.id));
    report.protected = kept.iter().map(|(old, _)| old.id).collect();
    report.protected.extend(report.empty.iter().filter(|id| refused(id)));
    if options.dry_run {
        report.repaired = changes.iter().map(|(old, _)| (old.id, None)).collect();
        return Ok(report);
    }
    let done = replacing.carry_out(&there, changes, guard)?;
    report.repaired = done.into_iter().map(|(old, new)| (old, Some(new))).collect();
    if options.forget && !report.empty.is_empty() {
        guard()?;
        let going: Vec<_> = report.empty.iter().copied().filter(|id| !refused(id)).collect();
        remove_snapshots(repo, &going)?;
    }
    if let Some(copies) = &options.forget_unreadable {
        report.removed = remove_unreadable(repo, &report.unreadable, copies, guard)?;
    }
    Ok(report)
}

/// Removes files of snapshots that cannot be read; their bytes are kept in a local folder.
fn remove_unreadable(
    repo: &Repository,
    unreadable: &Unreadable,
    copies: &Path,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<(SnapshotId, PathBuf)>> {
    let mut removed = Vec::new();
    for (id, _) in unreadable {
        let bytes = repo.backend().read(FileKind::Snapshot, id.0)?;
        let copy = keep_copy(copies, &format!("snapshot-{id}"), &bytes)?;
        guard()?;
        remove_snapshots(repo, &[*id])?;
        removed.push((*id, copy));
    }
    Ok(removed)
}

/// Mends the trees; gives the snapshots that change with their new versions.
fn mend(
    repo: &Repository,
    stock: &Stock,
    there: &[SnapshotFile],
    options: &SnapshotRepairOptions,
    writer: Option<&BlobWriter>,
    progress: &MendProgress,
    report: &mut SnapshotRepair,
) -> Result<Vec<(SnapshotFile, SnapshotFile)>> {
    let mut changes = Vec::new();
    let mut rewriter = Rewriter::new(repo, &stock.index, writer, progress, KeepWhole::new(stock));
    let wanted = |id| options.snapshots.is_empty() || options.snapshots.contains(&id);
    for old in there.iter().filter(|snapshot| wanted(snapshot.id)) {
        if stock.blob(repo, BlobKind::Tree, old.tree)?.is_err() {
            rewriter.rules.missing().insert((BlobKind::Tree, old.tree));
            report.empty.push(old.id);
            continue;
        }
        rewriter.rules.begin(old.id, String::new());
        let tree = rewriter.rewrite(&[old.tree])?;
        match tree.tree == old.tree {
            true => report.sound.push(old.id),
            false => changes.push((old.clone(), with_tree(old, tree))),
        }
    }
    stock.refuse_unknown(repo, rewriter.rules.missing())?;
    (report.losses, report.lost) = rewriter.rules.into_losses();
    Ok(changes)
}

/// Files of snapshots that cannot be read, and why.
pub type Unreadable = Vec<(SnapshotId, String)>;

/// All snapshots that can be read, oldest first, and why others cannot.
///
/// # Errors
/// Failures that may pass.
pub fn readable_snapshots(repo: &Repository) -> Result<(Vec<SnapshotFile>, Unreadable)> {
    let (mut there, mut unreadable) = (Vec::new(), Vec::new());
    for (id, _) in repo.backend().list(FileKind::Snapshot)? {
        match repo.snapshot(SnapshotId(id)) {
            Ok(snapshot) => there.push(snapshot),
            Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
            Err(error) if is_damage(&error) => {
                unreadable.push((SnapshotId(id), error.detail()));
            }
            Err(error) => return Err(error),
        }
    }
    there.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
    Ok((there, unreadable))
}
