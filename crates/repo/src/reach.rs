//! Everything that snapshots reach: each tree is read once, by several threads, and each blob that is met gets a mark.
//!
//! Marks are one bit for each entry of the index, so that this costs little memory beside the index. What is found on the way is told
//! to a callback, which may end the walk: `check` goes on, `prune` does not. The trees still to read are a common stack.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::pack::BlobKind;
use crate::repository::Repository;
pub(crate) use crate::threads::threads;
use crate::tree::{Damage, Node, NodeKind, TreeDecoder, TreeProblem};

/// Marks on the blobs of an index.
pub(crate) struct Marks {
    data: Vec<AtomicU64>,
    trees: Vec<AtomicU64>,
}

impl Marks {
    /// None set.
    pub(crate) fn new(index: &Index) -> Self {
        let bits = |kind| {
            let mut words = Vec::new();
            words.resize_with(index.len(kind).div_ceil(64), AtomicU64::default);
            words
        };
        Self { data: bits(BlobKind::Data), trees: bits(BlobKind::Tree) }
    }

    /// Sets a mark; true when it was not set.
    pub(crate) fn set(&self, kind: BlobKind, position: usize) -> bool {
        let bit = 1 << (position % 64);
        let word = self.words(kind).get(position / 64);
        word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// Is the mark set?
    pub(crate) fn get(&self, kind: BlobKind, position: usize) -> bool {
        let word = self.words(kind).get(position / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (position % 64) & 1 == 1)
    }

    fn words(&self, kind: BlobKind) -> &[AtomicU64] {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }
}

/// What the walk tells.
pub(crate) enum Seen<'n> {
    /// A tree was read.
    Tree,
    /// A tree that no index knows.
    NoTree(BlobId),
    /// A tree that cannot be read, or not to its end.
    BadTree(BlobId, RepoError),
    /// A wrong name in a tree, or a wrong order.
    Problem(BlobId, &'n TreeProblem),
    /// A node that lacks something.
    Damage(BlobId, &'n Node, Damage),
    /// A chunk of a file that no index knows.
    NoData(BlobId, &'n Node, BlobId),
    /// A file whose chunks, all there, have another length than the file.
    Size(BlobId, &'n Node, u64),
}

/// A callback's way to end the walk.
pub(crate) type See<'s> = dyn Fn(Seen<'_>) -> Result<()> + Sync + 's;

/// Trees still to read, and how many threads are at one.
#[derive(Default)]
struct Todo {
    trees: Vec<BlobId>,
    busy: usize,
    failed: bool,
}

struct Walk<'w> {
    repo: &'w Repository,
    index: &'w Index,
    marks: &'w Marks,
    see: &'w See<'w>,
    todo: Mutex<Todo>,
    more: Condvar,
}

/// Walks through all trees below `roots`.
///
/// # Errors
/// What the callback returns, the first time.
pub(crate) fn reach(
    repo: &Repository,
    index: &Index,
    roots: &[BlobId],
    marks: &Marks,
    threads: usize,
    see: &See<'_>,
) -> Result<()> {
    let (todo, more) = (Mutex::default(), Condvar::new());
    let walk = Walk { repo, index, marks, see, todo, more };
    for root in roots {
        walk.meet(*root)?;
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| walk.work())).collect();
        let broken =
            || RepoError::Refused { detail: "a thread that reads trees broke off".to_owned() };
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(broken())))
            .collect();
        results.into_iter().collect()
    })
}

impl Walk<'_> {
    fn work(&self) -> Result<()> {
        while let Some(id) = self.take() {
            let done = self.tree(id);
            let mut todo = self.todo.lock();
            todo.busy -= 1;
            todo.failed |= done.is_err();
            if todo.failed || (todo.busy == 0 && todo.trees.is_empty()) {
                self.more.notify_all();
            }
            drop(todo);
            done?;
        }
        Ok(())
    }

    /// The next tree; waits while others may still find some.
    fn take(&self) -> Option<BlobId> {
        let mut todo = self.todo.lock();
        loop {
            if todo.failed {
                return None;
            }
            if let Some(next) = todo.trees.pop() {
                todo.busy += 1;
                return Some(next);
            }
            if todo.busy == 0 {
                return None;
            }
            self.more.wait(&mut todo);
        }
    }

    /// A tree is referred to: it is read unless it was met before.
    fn meet(&self, id: BlobId) -> Result<()> {
        match self.index.position(BlobKind::Tree, id) {
            None => (self.see)(Seen::NoTree(id)),
            Some((position, _)) => {
                if self.marks.set(BlobKind::Tree, position) {
                    self.todo.lock().trees.push(id);
                    self.more.notify_one();
                }
                Ok(())
            }
        }
    }

    fn tree(&self, id: BlobId) -> Result<()> {
        let bytes = match self.repo.blob(self.index, BlobKind::Tree, id) {
            Ok(bytes) => bytes,
            Err(error) => return (self.see)(Seen::BadTree(id, error)),
        };
        (self.see)(Seen::Tree)?;
        let mut nodes = TreeDecoder::tolerant(&bytes);
        for node in &mut nodes {
            match node {
                Ok(node) => self.node(id, &node)?,
                Err(source) => {
                    (self.see)(Seen::BadTree(id, RepoError::Tree { id, source }))?;
                }
            }
        }
        nodes.problems().iter().try_for_each(|problem| (self.see)(Seen::Problem(id, problem)))
    }

    fn node(&self, tree: BlobId, node: &Node) -> Result<()> {
        if let Some(damage) = node.damage() {
            (self.see)(Seen::Damage(tree, node, damage))?;
        }
        if let Some(subtree) = node.subtree
            && subtree != BlobId::default()
        {
            self.meet(subtree)?;
        }
        let Some(content) = &node.content else { return Ok(()) };
        let (mut size, mut whole) = (0, true);
        for id in content.iter().filter(|id| **id != BlobId::default()) {
            match self.index.position(BlobKind::Data, *id) {
                Some((position, found)) => {
                    self.marks.set(BlobKind::Data, position);
                    size += u64::from(found.blob.plain_length());
                }
                None => {
                    whole = false;
                    (self.see)(Seen::NoData(tree, node, *id))?;
                }
            }
        }
        if whole && node.kind == NodeKind::File && node.damage().is_none() && size != node.size {
            (self.see)(Seen::Size(tree, node, size))?;
        }
        Ok(())
    }
}
