//! Trees written anew from the bottom up: what `rewrite`, `merge`, `recover` and `repair snapshots` have in common.
//!
//! One walk goes down into one tree, or into several at once whose folders of the same name become one. [`Rules`] say how a tree is read
//! and what becomes of each node; a folder whose entries stay the same keeps its tree and is not written. Trees are remembered by id, so that what
//! many snapshots share is looked at once.
//!
//! The way down is a list, not recursion: depth costs memory, not stack, and the path is one buffer. What is remembered is bounded.

use std::collections::HashMap;

use crate::error::{RepoError, Result};
use crate::id::{BlobId, Id};
use crate::index::Index;
use crate::pack::BlobKind;
use crate::progress::MendProgress;
use crate::repository::Repository;
use crate::snapshot::SnapshotSummary;
use crate::tree::{Node, NodeKind, decode_tree, encode_tree};
use crate::writer::{BlobWriter, Scratch};

/// Trees that are remembered at most: about 400 MiB. What comes then is looked at each time.
const MEMO_MAX: usize = 4 << 20;

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it was.
    Same,
    /// The rules have changed it.
    Changed,
    /// It is left out.
    Drop,
}

/// A tree as the rules read it.
pub(crate) struct Source {
    /// Its nodes, sorted by name, each name once.
    pub nodes: Vec<Node>,
    /// Length of its bytes.
    pub bytes: u64,
    /// The nodes are not all that the tree holds, so it is written anew.
    pub changed: bool,
    /// Written anew without a change it would be the same bytes.
    pub exact: bool,
}

/// How trees are read and what becomes of their nodes. Paths are relative to the root, without a slash in front.
pub(crate) trait Rules {
    /// Reads a tree.
    fn read(&mut self, repo: &Repository, index: &Index, path: &[u8], id: BlobId)
    -> Result<Source>;

    /// Decides on a node, and may change it. A folder that stays and names a tree is gone into.
    fn node(&mut self, path: &[u8], node: &mut Node) -> Result<Verdict>;

    /// Does it matter where a tree stands? Then trees are remembered by place too.
    fn by_path(&self) -> bool {
        false
    }

    /// A tree is to be written anew whose bytes would differ by more than what the rules changed.
    fn inexact(&mut self, _path: &[u8], _id: BlobId) -> Result<()> {
        Ok(())
    }

    /// Number of things told so far. A tree in which something was told is gone through again at each other place, so that it is told with
    /// each path; until [`Rules::is_full`].
    fn told(&self) -> u64 {
        0
    }

    /// Nothing more will be told.
    fn is_full(&self) -> bool {
        false
    }
}

/// Totals of all that is below a tree. They stop at the largest number: a hostile tree can hold the same folder very often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeTotals {
    pub files: u64,
    /// Sizes of these files, in bytes.
    pub bytes: u64,
    /// Folders, without the root.
    pub dirs: u64,
    /// Lengths of their trees, in bytes.
    pub dir_bytes: u64,
}

impl TreeTotals {
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.dirs = self.dirs.saturating_add(other.dirs);
        self.dir_bytes = self.dir_bytes.saturating_add(other.dir_bytes);
    }

    /// Puts the totals into a snapshot's summary.
    pub(crate) fn put_into(self, summary: &mut SnapshotSummary) {
        summary.total_files_processed = self.files;
        summary.total_bytes_processed = self.bytes;
        summary.total_dirs_processed = self.dirs;
        summary.total_dirsize_processed = self.dir_bytes;
    }
}

/// What became of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewritten {
    /// The tree that stands for it now.
    pub tree: BlobId,
    /// What is below it.
    pub totals: TreeTotals,
    bytes: u64,
    told: bool,
}

/// Writes trees anew.
pub(crate) struct Rewriter<'r, R> {
    repo: &'r Repository,
    index: &'r Index,
    /// Where new trees go; `None`: nowhere, it is only found out what they would be.
    writer: Option<&'r BlobWriter>,
    progress: &'r MendProgress,
    pub rules: R,
    memo: HashMap<Id, Rewritten>,
    scratch: Scratch,
}

/// A folder on the way down.
struct Frame {
    /// The trees that become one.
    trees: Vec<BlobId>,
    left: Vec<std::iter::Peekable<std::vec::IntoIter<Node>>>,
    out: Vec<Node>,
    totals: TreeTotals,
    bytes: u64,
    changed: bool,
    exact: bool,
    /// The node of the folder below that is being written.
    waiting: Option<Node>,
    /// Length of its path in the buffer.
    path: usize,
    /// What its path is, as far as that matters.
    place: Id,
    /// Under which it is remembered.
    key: Id,
    told: u64,
}

impl<'r, R: Rules> Rewriter<'r, R> {
    pub(crate) fn new(
        repo: &'r Repository,
        index: &'r Index,
        writer: Option<&'r BlobWriter>,
        progress: &'r MendProgress,
        rules: R,
    ) -> Self {
        let (memo, scratch) = (HashMap::new(), Scratch::default());
        Self { repo, index, writer, progress, rules, memo, scratch }
    }

    /// Writes the tree that stands for these roots, the first of which counts first.
    ///
    /// # Errors
    /// What the rules say; [`RepoError::Stopped`] when the writer failed.
    pub(crate) fn rewrite(&mut self, roots: &[BlobId]) -> Result<Rewritten> {
        let mut path = Vec::new();
        let key = self.key(roots, Id::default());
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        let mut frames = vec![self.open(roots.to_vec(), &path, Id::default(), key)?];
        while let Some(frame) = frames.last_mut() {
            path.truncate(frame.path);
            if let Some(candidates) = frame.next() {
                let deeper = self.node(frame, candidates, &mut path)?;
                frames.extend(deeper);
                continue;
            }
            let Some(frame) = frames.pop() else { break };
            let done = self.close(frame, &path)?;
            match frames.last_mut() {
                Some(above) => above.take_folder(done),
                None => return Ok(done),
            }
        }
        Err(RepoError::Refused { detail: "a tree without an end".to_owned() })
    }

    /// Decides on all nodes of one name. A frame: the folder below is to be looked at first.
    fn node(
        &mut self,
        frame: &mut Frame,
        candidates: Vec<Node>,
        path: &mut Vec<u8>,
    ) -> Result<Option<Frame>> {
        let Some((mut node, trees)) = newest(candidates) else { return Ok(None) };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&node.name);
        match self.rules.node(path, &mut node)? {
            Verdict::Drop => {
                frame.changed = true;
                return Ok(None);
            }
            Verdict::Changed => frame.changed = true,
            Verdict::Same => {}
        }
        let Some(own) = node.subtree.filter(|_| node.kind == NodeKind::Dir) else {
            frame.take(node);
            return Ok(None);
        };
        let trees = if trees.len() > 1 { trees } else { vec![own] };
        let place = match self.rules.by_path() {
            true => Id::of(&[&frame.place.0, node.name.as_slice()].concat()),
            false => Id::default(),
        };
        let key = self.key(&trees, place);
        frame.waiting = Some(node);
        if let Some(known) = self.known(key) {
            frame.take_folder(known);
            return Ok(None);
        }
        self.open(trees, path, place, key).map(Some)
    }

    fn key(&self, trees: &[BlobId], place: Id) -> Id {
        match trees {
            [one] if !self.rules.by_path() => one.0,
            many => {
                let ids = many.iter().map(|tree| tree.0.0);
                Id::of(&ids.chain([place.0]).collect::<Vec<_>>().concat())
            }
        }
    }

    fn known(&self, key: Id) -> Option<Rewritten> {
        let known = self.memo.get(&key).copied();
        known.filter(|known| !known.told || self.rules.is_full())
    }

    fn open(&mut self, trees: Vec<BlobId>, path: &[u8], place: Id, key: Id) -> Result<Frame> {
        let told = self.rules.told();
        let mut frame = Frame {
            changed: trees.len() != 1,
            trees,
            left: Vec::new(),
            out: Vec::new(),
            totals: TreeTotals::default(),
            bytes: 0,
            exact: true,
            waiting: None,
            path: path.len(),
            place,
            key,
            told,
        };
        for tree in &frame.trees {
            self.progress.tree()?;
            let source = self.rules.read(self.repo, self.index, path, *tree)?;
            frame.left.push(source.nodes.into_iter().peekable());
            frame.bytes = source.bytes;
            frame.changed |= source.changed;
            frame.exact &= source.exact;
        }
        Ok(frame)
    }

    fn close(&mut self, frame: Frame, path: &[u8]) -> Result<Rewritten> {
        let (mut tree, mut length) =
            (frame.trees.first().copied().unwrap_or_default(), frame.bytes);
        if frame.changed {
            if !frame.exact {
                self.rules.inexact(path, tree)?;
            }
            let wrong = |source| RepoError::Tree { id: tree, source };
            let bytes = encode_tree(&frame.out).map_err(wrong)?;
            (tree, length) = (BlobId::of(&bytes), bytes.len() as u64);
            if let Some(writer) = self.writer {
                writer.add(&mut self.scratch, BlobKind::Tree, tree, &bytes)?;
            }
        }
        let told = self.rules.told() > frame.told;
        let done = Rewritten { tree, totals: frame.totals, bytes: length, told };
        if self.memo.len() < MEMO_MAX {
            self.memo.insert(frame.key, done);
        }
        Ok(done)
    }
}

impl Frame {
    /// All nodes with the next name, in the order of their trees.
    fn next(&mut self) -> Option<Vec<Node>> {
        if let [only] = self.left.as_mut_slice() {
            return only.next().map(|node| vec![node]);
        }
        let names = self.left.iter_mut().filter_map(|nodes| nodes.peek());
        let name = names.map(|node| &node.name).min()?.clone();
        let same = self.left.iter_mut().filter_map(|nodes| nodes.next_if(|n| n.name == name));
        Some(same.collect())
    }

    /// A node whose own tree, if it has one, is settled.
    fn take(&mut self, node: Node) {
        if node.kind == NodeKind::File {
            let own = TreeTotals { files: 1, bytes: node.size, ..TreeTotals::default() };
            self.totals.add(own);
        }
        self.out.push(node);
    }

    /// The folder that was waited for.
    fn take_folder(&mut self, done: Rewritten) {
        let Some(mut node) = self.waiting.take() else { return };
        self.changed |= node.subtree != Some(done.tree);
        node.subtree = Some(done.tree);
        let own = TreeTotals { dirs: 1, dir_bytes: done.bytes, ..TreeTotals::default() };
        self.totals.add(done.totals);
        self.totals.add(own);
        self.take(node);
    }
}

/// The node that changed last, of several the first; and the trees of all folders among them when it is one, its own first.
fn newest(mut candidates: Vec<Node>) -> Option<(Node, Vec<BlobId>)> {
    let mut best = 0;
    for (at, node) in candidates.iter().enumerate() {
        let so_far = candidates.get(best)?;
        if node.mtime.cmp_instant(&so_far.mtime).is_gt() {
            best = at;
        }
    }
    let folders = candidates.iter().filter(|node| node.kind == NodeKind::Dir);
    let all: Vec<_> = folders.filter_map(|node| node.subtree).collect();
    let node = (best < candidates.len()).then(|| candidates.swap_remove(best))?;
    let mut trees: Vec<BlobId> = Vec::new();
    // The order of the snapshots stays, whoever's folder is the newest: it decides between files of the same time.
    for tree in all {
        if !trees.contains(&tree) {
            trees.push(tree);
        }
    }
    Some((node, trees))
}

/// Reads a tree as it must be; damage is an error.
pub(crate) fn read_strictly(repo: &Repository, index: &Index, id: BlobId) -> Result<Source> {
    let bytes = repo.blob(index, BlobKind::Tree, id)?;
    let wrong = |source| RepoError::Tree { id, source };
    let nodes = decode_tree(&bytes).map_err(wrong)?;
    let exact = encode_tree(&nodes).map_err(wrong)? == bytes;
    Ok(Source { nodes, bytes: bytes.len() as u64, changed: false, exact })
}
