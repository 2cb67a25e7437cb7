//! A path inside of a tree.

use std::path::{Component, Path};

use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::tree::{Node, NodeKind, TreeDecoder};

/// Where a restore begins.
pub(super) enum Start {
    /// With the entries of this tree.
    Tree(BlobId),
    /// With this entry, which is no directory.
    Entry(Box<Node>),
}

/// What the path leads to. Symlinks in the snapshot are not followed.
///
/// # Errors
/// Nothing is there, or a tree on the way cannot be read.
pub(super) fn find(repo: &Repository, index: &Index, tree: BlobId, path: &Path) -> Result<Start> {
    let mut at = Start::Tree(tree);
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name.as_encoded_bytes(),
            Component::ParentDir => return Err(nothing(path)),
            _ => continue,
        };
        let Start::Tree(tree) = at else { return Err(nothing(path)) };
        let bytes = repo.blob(index, BlobKind::Tree, tree)?;
        let node = named(&bytes, name)
            .map_err(|source| RepoError::Tree { id: tree, source })?
            .ok_or_else(|| nothing(path))?;
        at = match (&node.kind, node.subtree) {
            (NodeKind::Dir, Some(subtree)) => Start::Tree(subtree),
            (NodeKind::Dir, None) => return Err(nothing(path)),
            _ => Start::Entry(Box::new(node)),
        };
    }
    Ok(at)
}

fn named(tree: &[u8], name: &[u8]) -> std::result::Result<Option<Node>, crate::tree::TreeError> {
    for node in TreeDecoder::tolerant(tree) {
        let node = node?;
        if node.name == name {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

fn nothing(path: &Path) -> RepoError {
    let detail = format!("there is no {} in the snapshot", path.display());
    RepoError::Refused { detail }
}
