//! Failures of what mends a repository at each of its changes and at many reads, and running it again.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use tintype_repo::{
    BlobId, BlobKind, BlobOptions, BlobWriter, MemoryBackend, Node, NodeKind, Repository, Result,
    Scratch, SnapshotFile, decode_tree, encode_tree,
};

use tintype_testkit::faulty::{Fault, Round, Side, everywhere};

use crate::support::{Expected, check_all, read_back};

pub fn open(backend: &MemoryBackend) -> Repository {
    Repository::open(Arc::new(backend.clone()), b"secret").unwrap()
}

/// Every one of these snapshots that is still there, or a version of it, holds what it must.
pub fn readable(repo: &Repository, expected: &Expected, when: &str) {
    let index = repo.index().unwrap();
    let snapshots = repo.snapshots().unwrap();
    for (id, model) in expected {
        let of_it = |s: &&SnapshotFile| s.id == *id || s.original == Some(*id);
        let version = snapshots.iter().find(of_it);
        let version = version.unwrap_or_else(|| panic!("{when}: snapshot {id} is gone"));
        assert_eq!(&read_back(repo, &index, version), model, "{when}: {id}");
    }
}

/// Reads that are met of each run.
const READS: u64 = 30;

/// Runs `run` on copies of `base` with a failure at each of its changes - one that fails, one whose answer is lost, an end for good - and at many
/// reads; `look` looks at what is left. Then it runs again, and afterwards everything is sound and `look` looks again.
pub fn end_at_every_change<T>(
    base: &MemoryBackend,
    name: &str,
    run: impl Fn(&Repository) -> Result<T>,
    look: impl Fn(&Repository, &str, bool),
) {
    let base = base.copy();
    tintype_repo::hostile::weak_key(&open(&base), b"secret");
    let meet = |round: &Round| {
        let ended = Repository::open(round.faulty.clone(), b"secret").and_then(|repo| run(&repo));
        let when = format!("{name}, {}", round.when);
        assert!(ended.is_ok() || !round.calm, "{when}: {:?}", ended.err());
        let repo = open(&round.real);
        look(&repo, &when, round.calm);
        let when = format!("{when}, run again");
        run(&repo).map(drop).unwrap_or_else(|error| panic!("{when}: {error}"));
        let report = check_all(&repo);
        assert!(report.is_sound(), "{when}: {:?}", report.findings);
        look(&repo, &when, true);
    };
    let changes = [Fault::Once, Fault::Unheard, Fault::Gone];
    let count = everywhere(&base, Side::Changes, &changes, u64::MAX, meet);
    assert!(count > 0, "{name}: changes nothing");
    everywhere(&base, Side::Reads, &[Fault::Once, Fault::Gone], READS, meet);
}

/// Stores trees, also such that our encoder would refuse.
pub struct Trees {
    writer: BlobWriter,
    scratch: Scratch,
}

impl Trees {
    pub fn new(repo: &Repository) -> Self {
        let index = Arc::new(repo.index().unwrap());
        Self {
            writer: BlobWriter::new(repo.clone(), index, BlobOptions::default()),
            scratch: Scratch::default(),
        }
    }

    pub fn put(&mut self, kind: BlobKind, bytes: &[u8]) -> BlobId {
        let id = BlobId::of(bytes);
        self.writer.add(&mut self.scratch, kind, id, bytes).unwrap();
        id
    }

    /// A folder with `leaf` below 3,000 others, and in 2^`doublings` places.
    pub fn put_deep_and_wide(&mut self, leaf: &Node, doublings: u32) -> BlobId {
        let dir = |name: &str, tree| Node {
            name: name.into(),
            kind: NodeKind::Dir,
            subtree: Some(tree),
            ..Node::default()
        };
        let mut folder = |nodes: &[Node]| self.put(BlobKind::Tree, &encode_tree(nodes).unwrap());
        let start = folder(std::slice::from_ref(leaf));
        let deep = (0..3000).fold(start, |below, _| folder(&[dir("d", below)]));
        let wide = (0..doublings).fold(start, |tree, _| folder(&[dir("a", tree), dir("b", tree)]));
        folder(&[dir("deep", deep), dir("wide", wide)])
    }

    pub fn done(self, repo: &Repository, root: BlobId) -> SnapshotFile {
        self.writer.finish().unwrap();
        let mut snapshot = SnapshotFile::new("2026-01-01".parse().unwrap(), root);
        repo.save_snapshot(&mut snapshot).unwrap();
        snapshot
    }
}

/// Names in a tree, each with a `/` behind a folder's.
pub fn names(repo: &Repository, tree: BlobId) -> Vec<String> {
    let bytes = repo.blob(&repo.index().unwrap(), BlobKind::Tree, tree).unwrap();
    let nodes = decode_tree(&bytes).unwrap();
    let end = |folder| if folder { "/" } else { "" };
    let name = |n: tintype_repo::Node| {
        format!("{}{}", String::from_utf8_lossy(&n.name), end(n.subtree.is_some()))
    };
    nodes.into_iter().map(name).collect()
}
