//! Recovery: one snapshot of all trees that nothing leads to any more.
//!
//! These are the roots of snapshots that were removed, or whose files are damaged, as long as no prune has removed their blobs. The new snapshot has a
//! folder for each, named by the first digits of the tree's id, as with restic. What a tree lacks is dropped and told, as repairs do it,
//! so the snapshot is whole. Packs that wait for deletion and that it needs are put back into use before it is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::backend::{BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::{BlobId, IndexId, PackId, SnapshotId};
use crate::index::{Found, IndexSaver, IndexedPack};
use crate::json::GoTime;
use crate::pack::BlobKind;
use crate::parallel::in_parallel;
use crate::progress::MendProgress;
use crate::reach::{Marks, reach, threads};
use crate::repair::{KeepWhole, Loss, Stock, readable_snapshots};
use crate::repository::Repository;
use crate::rewriter::Rewriter;
use crate::snapshot::SnapshotFile;
use crate::tree::{GoMode, Node, NodeKind, TreeDecoder, encode_tree};
use crate::writer::{BlobOptions, BlobWriter, Scratch};

/// What the new snapshot says it has saved.
const PATH: &str = "/recover";
/// Its tag.
const TAG: &str = "recovered";

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The snapshot, unless there was nothing to recover.
    pub snapshot: Option<SnapshotFile>,
    /// Its folders: each name, and the tree that was found.
    pub folders: Vec<(String, BlobId)>,
    /// What the trees lacked, at most 10,000 of it.
    pub losses: Vec<Loss>,
    /// How much they lacked, also what is not listed.
    pub lost: u64,
    /// Trees that cannot be read, and why.
    pub unreadable: Vec<(BlobId, String)>,
    /// Packs that waited for deletion and are in use again.
    pub taken_back: Vec<PackId>,
}

/// Makes a snapshot of all trees that neither a snapshot nor another tree names. `base` says who makes it. `guard` says before each change whether
/// the exclusive lock is still held.
///
/// # Errors
/// [`RepoError::Damaged`] for an index file that cannot be read: the index is to be repaired first. Failures of the place; what `guard` says.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tintype_repo::{
///     Actor, BlobId, BlobKind, BlobOptions, BlobWriter, MemoryBackend, MendProgress, Node, Repository, Scratch,
///     SnapshotFile, Version, encode_tree, recover,
/// };
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let repo = Repository::init(Arc::new(MemoryBackend::new()), b"p", Version::V2, None, &Actor::default(), now)?;
/// let tree = encode_tree(&[Node { name: b"a".to_vec(), content: Some(vec![]), ..Node::default() }])?;
/// let writer = BlobWriter::new(repo.clone(), Arc::new(repo.index()?), BlobOptions::default());
/// writer.add(&mut Scratch::default(), BlobKind::Tree, BlobId::of(&tree), &tree)?;
/// writer.finish()?; // and the snapshot was never written, or is gone
///
/// let base = SnapshotFile::new("2026-01-01".parse()?, BlobId::default());
/// let found = recover(&repo, base.clone(), now, &MendProgress::default(), &|| Ok(()))?;
/// assert_eq!(found.folders[0].1, BlobId::of(&tree));
/// assert_eq!(repo.snapshots()?.len(), 1);
/// let again = recover(&repo, base, now, &MendProgress::default(), &|| Ok(()))?;
/// assert_eq!(again.snapshot, None);
/// # Ok(())
/// # }
/// ```
pub fn recover(
    repo: &Repository,
    base: SnapshotFile,
    now: Timestamp,
    progress: &MendProgress,
    guard: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Recovered> {
    let mut found = Recovered::default();
    let (there, _) = readable_snapshots(repo)?;
    let stock = Stock::read(repo)?;
    let search = Search { repo, stock: &stock, named: Marks::new(&stock.index), progress };
    for snapshot in &there {
        search.mark(snapshot.tree);
    }
    let readable = search.read_trees(&mut found)?;
    let roots: Vec<BlobId> = readable.into_iter().filter(|tree| !search.is_marked(*tree)).collect();
    let writer =
        BlobWriter::new(repo.clone(), Arc::new(repo.index_in_use()?), BlobOptions::default());
    let top = search.top(&roots, &writer, now, &mut found);
    let (top, _) = writer.finish_after(top)?;
    let Some(top) = top else { return Ok(found) };
    guard()?;
    let needed: Vec<_> = found.folders.iter().map(|(_, tree)| *tree).collect();
    found.taken_back = take_back(repo, &stock, &needed)?;
    let mut snapshot = base;
    snapshot.tree = top;
    snapshot.paths = vec![PATH.to_owned()];
    if !snapshot.tags.iter().any(|tag| tag == TAG) {
        snapshot.tags.push(TAG.to_owned());
    }
    guard()?;
    repo.save_snapshot(&mut snapshot)?;
    found.snapshot = Some(snapshot);
    Ok(found)
}

/// What a search for trees works with.
struct Search<'s> {
    repo: &'s Repository,
    stock: &'s Stock,
    /// Trees that a snapshot or another tree names.
    named: Marks,
    progress: &'s MendProgress,
}

impl Search<'_> {
    fn mark(&self, tree: BlobId) {
        if let Some((position, _)) = self.stock.index.position(BlobKind::Tree, tree) {
            self.named.set(BlobKind::Tree, position);
        }
    }

    fn is_marked(&self, tree: BlobId) -> bool {
        let place = self.stock.index.position(BlobKind::Tree, tree);
        place.is_some_and(|(position, _)| self.named.get(BlobKind::Tree, position))
    }

    /// Reads all trees that are there and marks those that others name; gives those that can be read, in order.
    fn read_trees(&self, found: &mut Recovered) -> Result<BTreeSet<BlobId>> {
        let trees = self.stock.index.iter(BlobKind::Tree);
        let mut all: Vec<BlobId> = trees.map(|found| found.blob.id).collect();
        all.dedup();
        let (readable, unreadable) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
        in_parallel(&all, threads(0), |id| {
            match self.stock.blob(self.repo, BlobKind::Tree, *id)? {
                Ok(bytes) => {
                    // Behind damage there is nothing to see, and what was seen counts.
                    for node in TreeDecoder::tolerant(&bytes).map_while(Result::ok) {
                        if let Some(tree) = node.subtree.filter(|_| node.kind == NodeKind::Dir) {
                            self.mark(tree);
                        }
                    }
                    readable.lock().insert(*id);
                }
                Err(detail) => unreadable.lock().push((*id, detail)),
            }
            self.progress.tree()
        })?;
        found.unreadable = unreadable.into_inner();
        found.unreadable.sort_unstable();
        Ok(readable.into_inner())
    }

    /// Writes the new root with a folder for each tree that was found; `None`: there is none.
    fn top(
        &self,
        roots: &[BlobId],
        writer: &BlobWriter,
        now: Timestamp,
        found: &mut Recovered,
    ) -> Result<Option<BlobId>> {
        let index = &self.stock.index;
        let rules = KeepWhole::new(self.stock);
        let mut rewriter = Rewriter::new(self.repo, index, Some(writer), self.progress, rules);
        let nothing = BlobId::of(&encode_tree(&[]).unwrap_or_default());
        let mut folders: BTreeMap<String, Node> = BTreeMap::new();
        let mut taken = HashSet::new();
        for root in roots {
            let short = root.0.short();
            let name = if folders.contains_key(&short) { root.to_string() } else { short };
            rewriter.rules.begin(SnapshotId::default(), format!("/{name}"));
            let before = rewriter.rules.told_so_far();
            let tree = rewriter.rewrite(&[*root])?.tree;
            // What an earlier recovery has mended is in use by now, and nothing is no find.
            let known = tree != *root && self.is_marked(tree);
            if known || tree == nothing || !taken.insert(tree) {
                rewriter.rules.untell(before);
                continue;
            }
            found.folders.push((name.clone(), *root));
            folders.insert(name.clone(), folder(name, tree, now));
        }
        (found.losses, found.lost) = rewriter.rules.into_losses();
        if folders.is_empty() {
            return Ok(None);
        }
        let wrong = |source| RepoError::Tree { id: BlobId::default(), source };
        let bytes = encode_tree(folders.values()).map_err(wrong)?;
        let id = BlobId::of(&bytes);
        writer.add(&mut Scratch::default(), BlobKind::Tree, id, &bytes)?;
        Ok(Some(id))
    }
}

fn folder(name: String, tree: BlobId, now: Timestamp) -> Node {
    let time = GoTime::utc(now.as_second(), u32::try_from(now.subsec_nanosecond()).unwrap_or(0));
    Node {
        name: name.into_bytes(),
        kind: NodeKind::Dir,
        mode: GoMode::from_st_mode(0o040_755),
        mtime: time,
        atime: time,
        ctime: time,
        subtree: Some(tree),
        ..Node::default()
    }
}

/// Puts packs back into use that wait for deletion and have what these trees need.
fn take_back(repo: &Repository, stock: &Stock, roots: &[BlobId]) -> Result<Vec<PackId>> {
    let (needed, mut packs) = (Marks::new(&stock.index), BTreeSet::new());
    reach(repo, &stock.index, roots, &needed, threads(0), &|_| Ok(()))?;
    for kind in [BlobKind::Tree, BlobKind::Data] {
        let mut entries = stock.index.iter(kind).enumerate().peekable();
        while let Some((position, first)) = entries.next() {
            let waits = |found: &Found| stock.waiting.contains(&found.pack);
            let mut everywhere = waits(&first);
            while let Some((_, next)) = entries.next_if(|(_, n)| n.blob.id == first.blob.id) {
                everywhere &= waits(&next);
            }
            if everywhere && needed.get(kind, position) {
                packs.insert(first.pack);
            }
        }
    }
    if packs.is_empty() {
        return Ok(vec![]);
    }
    let (mut saver, mut done) = (IndexSaver::new(repo), HashSet::new());
    for (id, _) in repo.backend().list(FileKind::Index)? {
        let file = match repo.index_file(IndexId(id)) {
            Err(RepoError::Backend(BackendError::NotFound { .. })) => continue,
            file => file?,
        };
        let wanted = file.packs_to_delete.into_iter().filter(|pack| packs.contains(&pack.id));
        let wanted = wanted.filter(|pack| !pack.blobs.is_empty());
        for pack in wanted.filter(|pack| done.insert(pack.id)).collect::<Vec<_>>() {
            saver.keep(IndexedPack { time: None, ..pack })?;
        }
    }
    saver.flush()?;
    Ok(packs.into_iter().collect())
}
