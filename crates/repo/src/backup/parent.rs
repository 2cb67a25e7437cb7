//! What earlier snapshots say about a directory: so that unchanged files are not read again.

use crate::backup::IgnoreChange;
use crate::id::BlobId;
use crate::index::Index;
use crate::lookup::read_tree;
use crate::repository::Repository;
use crate::tree::{Node, NodeKind};

/// One directory in all parent snapshots: its entries in each, by name.
#[derive(Debug, Default)]
pub(super) struct Known {
    trees: Vec<Vec<Node>>,
}

impl Known {
    /// Reads the trees. One that is missing or damaged counts as unknown: its files are read again, which mends the repository.
    pub(super) fn load(repo: &Repository, index: &Index, trees: &[BlobId]) -> Self {
        let load = |tree: &BlobId| read_tree(repo, index, *tree).ok();
        Self { trees: trees.iter().filter_map(load).collect() }
    }

    /// The entries of this name, one per parent that has it.
    fn named<'k>(&'k self, name: &'k [u8]) -> impl Iterator<Item = &'k Node> {
        let find = move |tree: &'k Vec<Node>| {
            let at = tree.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?;
            tree.get(at)
        };
        self.trees.iter().filter_map(find)
    }

    /// Is there an entry of this name and kind?
    pub(super) fn has(&self, node: &Node) -> bool {
        self.named(&node.name).any(|old| old.kind == node.kind)
    }

    /// The trees of a subdirectory, each once.
    pub(super) fn subtrees(&self, name: &[u8]) -> Vec<BlobId> {
        let mut trees = Vec::new();
        for node in self.named(name).filter(|node| node.kind == NodeKind::Dir) {
            if let Some(tree) = node.subtree.filter(|tree| !trees.contains(tree)) {
                trees.push(tree);
            }
        }
        trees
    }

    /// An entry that shows that the file has not changed since.
    pub(super) fn unchanged(&self, node: &Node, ignore: IgnoreChange) -> Option<&Node> {
        self.trees.iter().find_map(|tree| {
            let at = tree.binary_search_by(|old| old.name.cmp(&node.name)).ok()?;
            tree.get(at).filter(|old| is_same(old, node, ignore))
        })
    }
}

/// restic's rule: type, size and time of change; change of the inode and its number unless ignored or not known.
fn is_same(old: &Node, new: &Node, ignore: IgnoreChange) -> bool {
    let same_time =
        |a: &crate::GoTime, b: &crate::GoTime| (a.seconds, a.nanos) == (b.seconds, b.nanos);
    old.kind == NodeKind::File
        && new.kind == NodeKind::File
        && old.content.is_some()
        && old.size == new.size
        && same_time(&old.mtime, &new.mtime)
        && (ignore.ctime || same_time(&old.ctime, &new.ctime))
        && (ignore.inode || old.inode == 0 || old.inode == new.inode)
}
