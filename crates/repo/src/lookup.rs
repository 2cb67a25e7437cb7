//! Looking into snapshots: the node at a path, and everything below a tree.
//!
//! The way through a tree is a list, not recursion: depth costs memory, not stack. These walks go in the order of paths and come to a
//! tree as often as it is named; `reach` reads each tree once, in any order, and cannot tell paths.

use std::sync::Arc;

use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::tree::{Damage, Node, NodeKind, TreeDecoder, TreeError, decode_tree};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The root of the snapshot: it has no node.
    Root(BlobId),
    /// Anything else.
    Node(Box<Node>),
}

impl Place {
    /// Its tree, when it is a directory.
    pub fn tree(&self) -> Option<BlobId> {
        match self {
            Self::Root(tree) => Some(*tree),
            Self::Node(node) => node.subtree.filter(|_| node.kind == NodeKind::Dir),
        }
    }
}

/// The nodes of a tree.
///
/// # Errors
/// The tree is missing or damaged.
pub fn read_tree(repo: &Repository, index: &Index, id: BlobId) -> Result<Vec<Node>> {
    let bytes = repo.blob(index, BlobKind::Tree, id)?;
    decode_tree(&bytes).map_err(|source| RepoError::Tree { id, source })
}

/// What `path` leads to; empty parts and `.` do not count, so `/a//./b` is `a/b`. Symlinks in the snapshot are not followed. Of trees on the
/// way only what stands before the name has to be readable.
///
/// # Errors
/// [`RepoError::NoPath`] when there is no such entry, or it is a directory without a tree; damaged trees on the way.
pub fn look_up(repo: &Repository, index: &Index, root: BlobId, path: &[u8]) -> Result<Place> {
    let missing = || RepoError::NoPath { path: String::from_utf8_lossy(path).into_owned() };
    let mut place = Place::Root(root);
    for name in path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        let id = place.tree().ok_or_else(missing)?;
        let bytes = repo.blob(index, BlobKind::Tree, id)?;
        let node = named(&bytes, name).map_err(|source| RepoError::Tree { id, source })?;
        let whole = |node: &Node| node.damage() != Some(Damage::NoSubtree);
        place = Place::Node(Box::new(node.filter(whole).ok_or_else(missing)?));
    }
    Ok(place)
}

/// The first node of this name.
fn named(tree: &[u8], name: &[u8]) -> Result<Option<Node>, TreeError> {
    for node in TreeDecoder::tolerant(tree) {
        let node = node?;
        if node.name == name {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

/// Calls `visit` for everything below a tree, a directory before its entries, with the path from there. `visit` says whether to go into a
/// directory.
///
/// # Errors
/// Missing or damaged trees, and what `visit` says.
pub fn walk(
    repo: &Repository,
    index: &Index,
    root: BlobId,
    mut visit: impl FnMut(&[u8], &Node) -> Result<bool>,
) -> Result<()> {
    let empty: Arc<[u8]> = Arc::from([]);
    let mut open = vec![(empty, read_tree(repo, index, root)?.into_iter())];
    while let Some((above, left)) = open.last_mut() {
        let Some(node) = left.next() else {
            open.pop();
            continue;
        };
        let path = join(above, &node.name);
        let wanted = visit(&path, &node)?;
        if let Some(tree) = node.subtree.filter(|_| wanted && node.kind == NodeKind::Dir) {
            open.push((path.into(), read_tree(repo, index, tree)?.into_iter()));
        }
    }
    Ok(())
}

/// A path and a name below it.
pub(crate) fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(above.len() + 1 + name.len());
    path.extend_from_slice(above);
    if !above.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
