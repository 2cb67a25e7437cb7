//! Ending what mends a repository at each of its changes, and running it again.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use tintype_repo::{
    BlobId, BlobKind, BlobOptions, BlobWriter, MemoryBackend, Repository, Result, Scratch,
    SnapshotFile, Trouble, decode_tree,
};

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

/// Runs `run` on copies of `base`, ended by a full disk or a kill at each of its changes; `look` looks at what is left. Then it runs again, and
/// afterwards everything is sound and `look` looks again.
pub fn end_at_every_change<T>(
    base: &MemoryBackend,
    name: &str,
    run: impl Fn(&Repository) -> Result<T>,
    look: impl Fn(&Repository, &str, bool),
) {
    for changes in 0.. {
        let backend = base.copy();
        let repo = open(&backend);
        backend.set_trouble(Trouble::FailAfter(changes));
        let ended = run(&repo);
        backend.set_trouble(Trouble::None);
        let when = format!("{name} ended after {changes}");
        look(&repo, &when, false);
        let when = format!("{when}, run again");
        run(&repo).map(drop).unwrap_or_else(|error| panic!("{when}: {error}"));
        let report = check_all(&repo);
        assert!(report.is_sound(), "{when}: {:?}", report.findings);
        look(&repo, &when, true);
        if ended.is_ok() {
            assert!(changes > 0, "{name}: changes nothing");
            return;
        }
    }
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
