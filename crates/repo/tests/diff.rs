//! Differences of trees, against a comparison of plain maps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use support::{Chance, Model, new_repository, save};
use tintype_repo::{
    BlobId, BlobKind, BlobOptions, BlobWriter, ExtendedAttribute, GoMode, MemoryBackend, Node,
    NodeChange, NodeKind, Repository, Scratch, Version, diff_trees, encode_tree,
};

fn differences(repo: &Repository, old: BlobId, new: BlobId) -> BTreeMap<String, Vec<NodeChange>> {
    let mut found: BTreeMap<String, Vec<NodeChange>> = BTreeMap::new();
    let index = repo.index().unwrap();
    diff_trees(repo, &index, old, new, |difference| {
        let path = String::from_utf8(difference.path.to_vec()).unwrap();
        found.entry(path).or_default().push(difference.change);
        Ok(())
    })
    .unwrap();
    found
}

/// What must differ: files, and the folders that hold them.
fn wanted(old: &Model, new: &Model) -> BTreeMap<String, Vec<NodeChange>> {
    let with_folders = |model: &Model| {
        let mut all: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for (path, bytes) in model {
            all.insert(path.split_once('/').unwrap().0.to_owned(), None);
            all.insert(path.clone(), Some(bytes.clone()));
        }
        all
    };
    let (old, new) = (with_folders(old), with_folders(new));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |path: &&String| match (old.get(*path), new.get(*path)) {
        (None, _) => Some(NodeChange::Added),
        (_, None) => Some(NodeChange::Deleted),
        (a, b) => (a != b).then_some(NodeChange::Modified),
    };
    paths.into_iter().filter_map(|path| Some((path.clone(), vec![change(&path)?]))).collect()
}

#[test]
fn random_trees_differ_as_their_models_do() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let (mut chance, mut model) = (Chance(3), Model::new());
    let mut last = (save(&repo, &model, "2025-01-01T00:00:00Z").tree, model.clone());
    for round in 0..40 {
        chance.change(&mut model);
        let tree = save(&repo, &model, "2025-01-01T00:00:00Z").tree;
        assert_eq!(differences(&repo, last.0, tree), wanted(&last.1, &model), "round {round}");
        assert_eq!(differences(&repo, tree, last.0), wanted(&model, &last.1), "round {round}");
        last = (tree, model.clone());
    }
}

/// A tree of these nodes.
fn tree(repo: &Repository, nodes: &[Node]) -> BlobId {
    let index = Arc::new(repo.index().unwrap());
    let writer = BlobWriter::new(repo.clone(), index, BlobOptions::default());
    let bytes = encode_tree(nodes).unwrap();
    let id = BlobId::of(&bytes);
    writer.add(&mut Scratch::default(), BlobKind::Tree, id, &bytes).unwrap();
    writer.finish().unwrap();
    id
}

#[test]
fn attributes_and_kinds_count_and_access_does_not() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let base = Node { name: b"n".to_vec(), content: Some(vec![]), ..Node::default() };
    let differs = |changed: Node| {
        let (old, new) = (tree(&repo, std::slice::from_ref(&base)), tree(&repo, &[changed]));
        differences(&repo, old, new).remove("n").unwrap_or_default()
    };
    let xattr = ExtendedAttribute { name: b"user.a".to_vec(), value: Some(b"b".to_vec()) };
    let mut later = base.clone();
    later.mtime.nanos = 1;
    for changed in [
        Node { mode: GoMode(0o600), ..base.clone() },
        Node { uid: 1, ..base.clone() },
        Node { gid: 1, ..base.clone() },
        Node { user: Some("somebody".into()), ..base.clone() },
        Node { extended_attributes: vec![xattr], ..base.clone() },
        later,
    ] {
        assert_eq!(differs(changed.clone()), [NodeChange::Attributes], "{changed:?}");
    }
    let mut read = Node { inode: 5, links: 2, device_id: 7, ..base.clone() };
    (read.atime.nanos, read.ctime.nanos) = (1, 1);
    assert_eq!(differs(read), []);
    let empty = tree(&repo, &[]);
    let dir = Node { kind: NodeKind::Dir, subtree: Some(empty), content: None, ..base.clone() };
    assert_eq!(differs(dir), [NodeChange::Deleted, NodeChange::Added]);
}
