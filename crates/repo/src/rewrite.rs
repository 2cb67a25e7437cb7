//! Rewriting: snapshots without what patterns leave out, or with another host or time.
//!
//! The language of patterns is that of backups (`exclude`); they are matched on the path of each entry in the snapshot, with a slash in front. A folder that is left out is not
//! read. Trees in which nothing changes keep their ids, whatever they look like. A tree that changes must be one that comes out byte for byte as it was
//! when it is written without a change: otherwise something that another program put there might be lost, and the run refuses.

pub(crate) mod replace;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{RepoError, Result};
use crate::exclude::Excludes;
use crate::id::{BlobId, SnapshotId};
use crate::index::Index;
use crate::progress::MendProgress;
use crate::repository::Repository;
use crate::rewriter::{Rewriter, Rules, Source, Verdict, read_strictly};
use crate::snapshot::{SnapshotFile, SnapshotModification};
use crate::tree::Node;
use crate::writer::{BlobOptions, BlobWriter, Written};

use replace::{Replacing, with_tree};

/// The tag of rewritten snapshots beside their old versions.
const TAG: &str = "rewrite";

/// What is rewritten, and how.
#[derive(Clone, Debug, Default)]
pub struct RewriteOptions {
    /// What is left out.
    pub excludes: Excludes,
    /// Changes of metadata: a host, a time.
    pub change: SnapshotModification,
    /// Every tree is written in restic's form, also where another program's form differs.
    pub all_trees: bool,
    /// The old versions go. Otherwise they stay and the new ones get the tag `rewrite`.
    pub forget: bool,
    /// Nothing is changed; it is only found out what would be.
    pub dry_run: bool,
}

/// What a rewrite did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteReport {
    /// Old version and, unless it was a dry run, new version of each snapshot that changed.
    pub rewritten: Vec<(SnapshotId, Option<SnapshotId>)>,
    /// Snapshots in which nothing changes.
    pub unchanged: Vec<SnapshotId>,
    /// Snapshots whose own rule keeps them, so that nothing was done with them: only with `forget`.
    pub protected: Vec<SnapshotId>,
    /// Trees that were written.
    pub written: Written,
}

/// Rewrites `chosen` out of all snapshots that are `there`. `guard` says before each change whether the lock is still held. The caller holds a shared lock,
/// with `forget` an exclusive one, and has read the snapshots under it.
///
/// # Errors
/// Damaged or missing trees; [`RepoError::Refused`] for a tree that would not come out as it was; failures of the place; what `guard` says. What
/// was there before is there after each of them, with `forget` in one version or both.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tintype_repo::{
///     Actor, BlobId, BlobKind, BlobOptions, BlobWriter, Excludes, MemoryBackend, MendProgress, Node, Repository,
///     RewriteOptions, Scratch, SnapshotFile, Version, encode_tree, rewrite_snapshots,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let repo = Repository::init(Arc::new(MemoryBackend::new()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let file = |name: &str| Node { name: name.into(), content: Some(vec![]), ..Node::default() };
/// let tree = encode_tree(&[file("a.txt"), file("core")])?;
/// let writer = BlobWriter::new(repo.clone(), Arc::new(repo.index()?), BlobOptions::default());
/// writer.add(&mut Scratch::default(), BlobKind::Tree, BlobId::of(&tree), &tree)?;
/// writer.finish()?;
/// repo.save_snapshot(&mut SnapshotFile::new("2026-01-01".parse()?, BlobId::of(&tree)))?;
///
/// let options = RewriteOptions { excludes: Excludes::new(["core"], [])?, forget: true, ..RewriteOptions::default() };
/// let all = repo.snapshots()?;
/// let report = rewrite_snapshots(&repo, &all, &all, &options, now, &MendProgress::default(), &|| Ok(()))?;
/// assert_eq!(report.rewritten.len(), 1);
/// let now = repo.snapshots()?;
/// assert_eq!((now.len(), now[0].tree), (1, BlobId::of(&encode_tree(&[file("a.txt")])?)));
/// # Ok(())
/// # }
/// ```
pub fn rewrite_snapshots(
    repo: &Repository,
    there: &[SnapshotFile],
    chosen: &[SnapshotFile],
    options: &RewriteOptions,
    now: Timestamp,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<RewriteReport> {
    let mut report = RewriteReport::default();
    let index = repo.index()?;
    let writer = (!options.dry_run)
        .then(|| {
            Ok::<_, RepoError>(BlobWriter::new(
                repo.clone(),
                Arc::new(repo.index_in_use()?),
                BlobOptions::default(),
            ))
        })
        .transpose()?;
    let replacing = Replacing { repo, forget: options.forget, tag: TAG, now };
    let changes = find_changes(repo, &index, chosen, options, writer.as_ref(), progress);
    let changes = match writer {
        Some(writer) => {
            let (changes, written) = writer.finish_after(changes)?;
            report.written = written;
            changes
        }
        None => changes?,
    };
    let mut wanted = Vec::new();
    for (old, new) in changes {
        match new {
            None => report.unchanged.push(old.id),
            Some(_) if replacing.refuses(old) => report.protected.push(old.id),
            Some(new) => wanted.push((old.clone(), new)),
        }
    }
    if options.dry_run {
        report.rewritten = wanted.iter().map(|(old, _)| (old.id, None)).collect();
        return Ok(report);
    }
    let done = replacing.carry_out(there, wanted, guard)?;
    report.rewritten = done.into_iter().map(|(old, new)| (old, Some(new))).collect();
    Ok(report)
}

/// A snapshot and its new version, if it changes.
type Change<'s> = (&'s SnapshotFile, Option<SnapshotFile>);

fn find_changes<'s>(
    repo: &Repository,
    index: &Index,
    chosen: &'s [SnapshotFile],
    options: &RewriteOptions,
    writer: Option<&BlobWriter>,
    progress: &MendProgress,
) -> Result<Vec<Change<'s>>> {
    let rules = LeaveOut { options, by_path: !options.excludes.by_name(), absolute: vec![] };
    let mut rewriter = Rewriter::new(repo, index, writer, progress, rules);
    // Where only metadata change no tree is read.
    let trees = options.all_trees || !options.excludes.is_empty();
    let each = chosen.iter().map(|old| {
        let mut new = old.clone();
        if trees {
            let tree = rewriter.rewrite(&[old.tree])?;
            if tree.tree != old.tree {
                new = with_tree(old, tree);
            }
        }
        let changed = options.change.apply(&mut new) || new.tree != old.tree;
        Ok((old, changed.then_some(new)))
    });
    each.collect()
}

/// The rules of a rewrite.
struct LeaveOut<'o> {
    options: &'o RewriteOptions,
    by_path: bool,
    /// The path that was looked at last, with a slash in front.
    absolute: Vec<u8>,
}

impl Rules for LeaveOut<'_> {
    fn read(&mut self, repo: &Repository, index: &Index, _: &[u8], id: BlobId) -> Result<Source> {
        let source = read_strictly(repo, index, id)?;
        let changed = self.options.all_trees && !source.exact;
        Ok(Source { changed, ..source })
    }

    fn node(&mut self, path: &[u8], _: &mut Node) -> Result<Verdict> {
        self.absolute.clear();
        self.absolute.push(b'/');
        self.absolute.extend_from_slice(path);
        let out = self.options.excludes.excludes(Path::new(OsStr::from_bytes(&self.absolute)));
        Ok(if out { Verdict::Drop } else { Verdict::Same })
    }

    fn by_path(&self) -> bool {
        self.by_path
    }

    fn inexact(&mut self, path: &[u8], id: BlobId) -> Result<()> {
        if self.options.all_trees {
            return Ok(());
        }
        let detail = format!(
            "tree {id} (/{}) would not come out as it was: another program wrote it in a form of its own (`--all-trees` writes it in restic's)",
            String::from_utf8_lossy(path)
        );
        Err(RepoError::Refused { detail })
    }
}
