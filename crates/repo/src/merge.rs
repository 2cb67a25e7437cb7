//! Merging: one snapshot out of several, with all that is in any of them.
//!
//! Folders of the same path become one. Of anything else the one that changed last counts, of several such the one of the newest snapshot.
//! Names of hard links that belong to different files in different snapshots are told apart: programs that know links by their inode alone would
//! otherwise restore one file in place of the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{RepoError, Result};
use crate::forget::remove_snapshots;
use crate::id::{BlobId, SnapshotId};
use crate::index::Index;
use crate::progress::MendProgress;
use crate::repository::Repository;
use crate::restore::Inode;
use crate::rewriter::{Rewriter, Rules, Source, Verdict, read_strictly};
use crate::snapshot::{SnapshotFile, SnapshotModification, SnapshotSummary};
use crate::tree::Node;
use crate::writer::{BlobOptions, BlobWriter};

/// How is merged.
#[derive(Clone, Debug, Default)]
pub struct MergeOptions {
    /// What the new snapshot says otherwise than it would by itself.
    pub change: SnapshotModification,
    /// The merged snapshots go.
    pub delete: bool,
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The new snapshot.
    pub snapshot: SnapshotFile,
    /// Snapshots that were removed.
    pub deleted: Vec<SnapshotId>,
}

/// Merges snapshots into a new one. `base` says who makes it: its host, user and program; its paths, time, parents, tree, and what all snapshots have
/// in common are filled in here. `guard` says before each change whether the lock is still held. The caller holds a shared lock, with
/// `delete` an exclusive one.
///
/// # Errors
/// [`RepoError::Refused`] for fewer than two snapshots, and for protected ones that are to be deleted: nothing is done then. Damaged or missing trees;
/// failures of the place; what `guard` says.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tintype_repo::{
///     Actor, BlobId, BlobKind, BlobOptions, BlobWriter, MemoryBackend, MendProgress, MergeOptions, Node, Repository,
///     Scratch, SnapshotFile, Version, encode_tree, merge_snapshots,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-01-03T00:00:00Z".parse()?;
/// let repo = Repository::init(Arc::new(MemoryBackend::new()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let tree = |name: &str| encode_tree(&[Node { name: name.into(), content: Some(vec![]), ..Node::default() }]);
/// let writer = BlobWriter::new(repo.clone(), Arc::new(repo.index()?), BlobOptions::default());
/// for name in ["a", "b"] {
///     let tree = tree(name)?;
///     writer.add(&mut Scratch::default(), BlobKind::Tree, BlobId::of(&tree), &tree)?;
/// }
/// writer.finish()?;
/// repo.save_snapshot(&mut SnapshotFile::new("2026-01-01".parse()?, BlobId::of(&tree("a")?)))?;
/// repo.save_snapshot(&mut SnapshotFile::new("2026-01-02".parse()?, BlobId::of(&tree("b")?)))?;
///
/// let base = SnapshotFile::new("2026-01-03".parse()?, BlobId::default());
/// let progress = MendProgress::default();
/// let merged = merge_snapshots(&repo, &repo.snapshots()?, base, &MergeOptions::default(), now, &progress, &|| Ok(()))?;
/// assert_eq!(merged.snapshot.all_parents().len(), 2);
/// assert_eq!(merged.snapshot.summary.map(|summary| summary.total_files_processed), Some(2));
/// # Ok(())
/// # }
/// ```
pub fn merge_snapshots(
    repo: &Repository,
    snapshots: &[SnapshotFile],
    base: SnapshotFile,
    options: &MergeOptions,
    now: Timestamp,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Merged> {
    let newest_first = in_order(snapshots)?;
    if let Some(kept) = newest_first.iter().find(|s| options.delete && s.must_keep(now)) {
        let detail = format!("snapshot {} is protected and cannot be deleted", kept.id);
        return Err(RepoError::Refused { detail });
    }
    let mut merged = describe(&newest_first, base);
    options.change.apply(&mut merged);
    let index = repo.index()?;
    let writer =
        BlobWriter::new(repo.clone(), Arc::new(repo.index_in_use()?), BlobOptions::default());
    let rules = KeepApart::default();
    let mut rewriter = Rewriter::new(repo, &index, Some(&writer), progress, rules);
    let mut roots: Vec<BlobId> = Vec::new();
    for snapshot in &newest_first {
        if !roots.contains(&snapshot.tree) {
            roots.push(snapshot.tree);
        }
    }
    let tree = rewriter.rewrite(&roots);
    drop(rewriter);
    let (tree, written) = writer.finish_after(tree)?;
    merged.tree = tree.tree;
    let mut summary = SnapshotSummary {
        data_blobs: written.blobs[0],
        tree_blobs: written.blobs[1],
        data_added: written.plain.iter().sum(),
        data_added_packed: written.stored.iter().sum(),
        data_added_trees: written.plain[1],
        data_added_trees_packed: written.stored[1],
        ..SnapshotSummary::default()
    };
    tree.totals.put_into(&mut summary);
    merged.summary = Some(summary);
    guard()?;
    repo.save_snapshot(&mut merged)?;
    let deleted: Vec<_> = match options.delete {
        true => newest_first.iter().map(|old| old.id).filter(|id| *id != merged.id).collect(),
        false => vec![],
    };
    if !deleted.is_empty() {
        guard()?;
        remove_snapshots(repo, &deleted)?;
    }
    Ok(Merged { snapshot: merged, deleted })
}

/// From the newest to the oldest, each once.
fn in_order(snapshots: &[SnapshotFile]) -> Result<Vec<&SnapshotFile>> {
    let mut order: Vec<_> = snapshots.iter().collect();
    order.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.id)));
    order.dedup_by_key(|snapshot| snapshot.id);
    if order.len() < 2 {
        let detail = "a merge needs at least two different snapshots".to_owned();
        return Err(RepoError::Refused { detail });
    }
    Ok(order)
}

/// All that the new snapshot says beside its tree.
fn describe(newest_first: &[&SnapshotFile], base: SnapshotFile) -> SnapshotFile {
    let mut merged = base;
    if let Some(newest) = newest_first.first() {
        merged.time = newest.time;
        let common = |of: fn(&SnapshotFile) -> &String| {
            let text = of(newest);
            newest_first.iter().all(|other| of(other) == text).then(|| text.clone())
        };
        merged.hostname = common(|s| &s.hostname).unwrap_or(merged.hostname);
        merged.label = common(|s| &s.label).unwrap_or(merged.label);
    }
    merged.paths = join_paths(newest_first.iter().flat_map(|snapshot| &snapshot.paths));
    for tag in newest_first.iter().rev().flat_map(|snapshot| &snapshot.tags) {
        if !merged.tags.contains(tag) {
            merged.tags.push(tag.clone());
        }
    }
    merged.set_parents(newest_first.iter().rev().map(|snapshot| snapshot.id).collect());
    merged
}

/// All paths in order, without those that lie below another one.
fn join_paths<'p>(paths: impl Iterator<Item = &'p String>) -> Vec<String> {
    let all: std::collections::BTreeSet<_> = paths.collect();
    let above = |path: &str| {
        let mut rest = path.trim_end_matches('/');
        while let Some(at) = rest.rfind('/') {
            rest = rest.get(..at).unwrap_or_default();
            let parent = if rest.is_empty() && path != "/" { "/" } else { rest };
            if all.iter().any(|other| other.as_str() == parent && !parent.is_empty()) {
                return true;
            }
        }
        false
    };
    all.iter().filter(|path| !above(path)).map(|path| (*path).clone()).collect()
}

/// The rules of a merge: everything stays, and no two files share an inode.
#[derive(Default)]
struct KeepApart {
    links: HashMap<(u64, u64), Inode>,
}

impl Rules for KeepApart {
    fn read(&mut self, repo: &Repository, index: &Index, _: &[u8], id: BlobId) -> Result<Source> {
        read_strictly(repo, index, id)
    }

    fn node(&mut self, _: &[u8], node: &mut Node) -> Result<Verdict> {
        let (Some(key), Some(inode)) = (node.hard_link(), Inode::of(node)) else {
            return Ok(Verdict::Same);
        };
        match self.links.entry(key) {
            Entry::Occupied(other) if *other.get() != inode => {
                // Without its number it is a file of its own.
                node.inode = 0;
                Ok(Verdict::Changed)
            }
            entry => {
                entry.or_insert(inode);
                Ok(Verdict::Same)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_others_are_not_named() {
        let join = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            join_paths(paths.iter())
        };
        assert_eq!(join(&["/b", "/a/x", "/a", "/ab", "/a/x/y"]), ["/a", "/ab", "/b"]);
        assert_eq!(join(&["/", "/a"]), ["/"]);
        assert_eq!(join(&["a", "a/b", "a"]), ["a"]);
        assert_eq!(join(&["/a/b/c", "/a/b/d"]), ["/a/b/c", "/a/b/d"]);
    }
}
