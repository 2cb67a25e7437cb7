//! What differs between two trees, entry by entry.
//!
//! Both are walked side by side in the order of names; a directory that is the same tree in both is not read, so the cost is that of
//! what changed. The way down is a list, not recursion. Access times, change times of inodes and their numbers are no difference; an entry
//! that became another kind of thing was removed and another one added.

use crate::error::Result;
use crate::id::BlobId;
use crate::index::Index;
use crate::lookup::{join, read_tree};
use crate::repository::Repository;
use crate::tree::{Node, NodeKind};

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Deleted,
    /// The content of a file differs; attributes may, too.
    Modified,
    /// Only mode, owner, time of change, target of a symlink, device or extended attributes differ.
    Attributes,
}

/// One difference.
#[derive(Debug)]
pub struct Difference<'d> {
    /// The path below the trees.
    pub path: &'d [u8],
    /// What happened.
    pub change: NodeChange,
    /// The entry in the second tree; in the first when it was deleted.
    pub node: &'d Node,
}

/// A directory on the way down: what is left of it in both trees, the next at the end.
struct Pair {
    path: Vec<u8>,
    old: Vec<Node>,
    new: Vec<Node>,
}

/// Tells `see` every difference from the tree `old` to the tree `new`: a directory before its entries, names in order.
///
/// # Errors
/// Missing or damaged trees, and what `see` says.
pub fn diff_trees(
    repo: &Repository,
    index: &Index,
    old: BlobId,
    new: BlobId,
    mut see: impl FnMut(&Difference<'_>) -> Result<()>,
) -> Result<()> {
    let entries = |tree: Option<BlobId>| -> Result<Vec<Node>> {
        let mut nodes = tree.map_or(Ok(vec![]), |tree| read_tree(repo, index, tree))?;
        // Trees of others may lack the order that the comparison needs.
        nodes.sort_by(|a, b| b.name.cmp(&a.name));
        Ok(nodes)
    };
    let pair = |path: Vec<u8>, old: Option<BlobId>, new: Option<BlobId>| -> Result<Option<Pair>> {
        if old == new {
            return Ok(None);
        }
        Ok(Some(Pair { path, old: entries(old)?, new: entries(new)? }))
    };
    let mut open: Vec<Pair> = pair(vec![], Some(old), Some(new))?.into_iter().collect();
    while let Some(at) = open.last_mut() {
        let (old, new) = at.next();
        let Some(name) = new.as_ref().or(old.as_ref()).map(|node| &node.name) else {
            open.pop();
            continue;
        };
        let path = join(&at.path, name);
        let same_kind = matches!((&old, &new), (Some(old), Some(new)) if old.kind == new.kind);
        if let (Some(old), Some(new), true) = (&old, &new, same_kind) {
            if let Some(change) = change(old, new) {
                see(&Difference { path: &path, change, node: new })?;
            }
            open.extend(pair(path, subtree(old), subtree(new))?);
            continue;
        }
        // At most one of the two is a directory.
        for (node, change) in [(&old, NodeChange::Deleted), (&new, NodeChange::Added)] {
            let Some(node) = node else { continue };
            see(&Difference { path: &path, change, node })?;
            let tree = subtree(node);
            let (before, after) =
                if change == NodeChange::Deleted { (tree, None) } else { (None, tree) };
            open.extend(pair(path.clone(), before, after)?);
        }
    }
    Ok(())
}

impl Pair {
    /// The entries of the next name in both trees.
    fn next(&mut self) -> (Option<Node>, Option<Node>) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (self.old.last(), self.new.last()) {
            (Some(old), Some(new)) => old.name.cmp(&new.name),
            (Some(_), None) => Less,
            (None, _) => Greater,
        };
        match order {
            Less => (self.old.pop(), None),
            Greater => (None, self.new.pop()),
            Equal => (self.old.pop(), self.new.pop()),
        }
    }
}

fn subtree(node: &Node) -> Option<BlobId> {
    node.subtree.filter(|_| node.kind == NodeKind::Dir)
}

fn change(old: &Node, new: &Node) -> Option<NodeChange> {
    let plain = |node: &Node| {
        let time = (node.mtime.seconds, node.mtime.nanos);
        (node.mode, node.uid, node.gid, time, node.device)
    };
    let names = |node: &Node| (node.user.clone(), node.group.clone());
    let sorted = |node: &Node| {
        let mut list = node.extended_attributes.clone();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    };
    if new.kind == NodeKind::File && (old.content != new.content || old.size != new.size) {
        return Some(NodeChange::Modified);
    }
    let same = plain(old) == plain(new)
        && names(old) == names(new)
        && old.linktarget == new.linktarget
        && sorted(old) == sorted(new);
    (!same).then_some(NodeChange::Attributes)
}
