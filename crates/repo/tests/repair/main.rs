//! Repairs in memory: of the index, of packs, of snapshots; each damage in each file, with a failure at every change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod index;
#[path = "../support/mend.rs"]
mod mend;
mod packs;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use mend::{Trees, end_at_every_change, names, open, readable};
use support::{Chance, Expected, Model, at, check_all, new_repository, read_back, save, verify};
use tintype_repo::{
    Backend, BlobId, BlobKind, DeleteOption, FileKind, Finding, Id, IndexFile, IndexRepair,
    IndexRepairOptions, LossKind, MemoryBackend, Mend, MendProgress, Node, PackId, PackRepair,
    PackRepairOptions, PruneOptions, RepoError, Repository, Result, SnapshotFile, SnapshotRepair,
    SnapshotRepairOptions, Version, decode_tree, encode_tree, plan_prune, prune, remove_snapshots,
    repair_index, repair_packs, repair_snapshots,
};

const NOW: &str = "2026-01-01T00:00:00Z";

/// Four backups, one of which is forgotten, and a prune that marks and rewrites.
fn used_repository(version: Version) -> (MemoryBackend, Repository, Expected) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), version);
    let (mut chance, mut model, mut expected) = (Chance(11), Model::new(), Expected::new());
    for day in 1..=4 {
        (0..4).for_each(|_| chance.change(&mut model));
        let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
    let first = repo.snapshots().unwrap()[0].id;
    remove_snapshots(&repo, &[first]).unwrap();
    expected.remove(&first);
    let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
    prune(&repo, &plan, &|| Ok(())).unwrap();
    (backend, repo, expected)
}

fn repair_of_index(repo: &Repository, read_all: bool) -> Result<IndexRepair> {
    let options = IndexRepairOptions { read_all, threads: 2, dry_run: false };
    repair_index(repo, &options, &MendProgress::default(), &|| Ok(()))
}

fn repair_of_packs(repo: &Repository, packs: &[PackId], copies: &Path) -> Result<PackRepair> {
    let options = PackRepairOptions { packs: packs.to_vec(), copies: copies.into(), threads: 2 };
    repair_packs(repo, &options, &MendProgress::default(), &|| Ok(()))
}

fn repair_of_snapshots(repo: &Repository, forget: bool) -> Result<SnapshotRepair> {
    let options = SnapshotRepairOptions { forget, ..SnapshotRepairOptions::default() };
    repair_snapshots(repo, &options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn ids(backend: &MemoryBackend, kind: FileKind) -> Vec<Id> {
    backend.list(kind).unwrap().into_iter().map(|(id, _)| id).collect()
}

/// Packs that wait for deletion, with the times of their marks.
fn marks(repo: &Repository) -> BTreeSet<(PackId, Option<String>)> {
    let files = repo.backend().list(FileKind::Index).unwrap();
    let files = files.iter().map(|(id, _)| repo.index_file(tintype_repo::IndexId(*id)).unwrap());
    files.flat_map(|file| file.packs_to_delete).map(|pack| (pack.id, pack.time)).collect()
}

fn damage(backend: &MemoryBackend, kind: FileKind, id: Id, at: usize) {
    let mut bytes = backend.read(kind, id).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 4;
    backend.tamper(kind, id, Some(bytes));
}

#[test]
fn a_failure_that_may_pass_is_not_taken_for_damage() {
    let (base, _, _) = used_repository(Version::V2);
    let shaky = Shaky(base.copy());
    let backend = Arc::new(shaky);
    let repo = Repository::open(backend, b"secret").unwrap();
    let copies = tempfile::tempdir().unwrap();
    let io = |e: RepoError| matches!(e, RepoError::Backend(tintype_repo::BackendError::Io { .. }));
    assert!(io(repair_of_index(&repo, true).unwrap_err()));
    assert!(io(repair_of_snapshots(&repo, true).unwrap_err()));
    let any = ids(&base, FileKind::Pack)[0];
    assert!(io(repair_of_packs(&repo, &[PackId(any)], copies.path()).unwrap_err()));
    assert!(io(repair_of_packs(&repo, &[], copies.path()).unwrap_err()));
}

/// A place of which packs cannot be read for the moment.
struct Shaky(MemoryBackend);

impl Shaky {
    fn busy<T>(&self, kind: FileKind) -> Result<T, tintype_repo::BackendError> {
        Err(tintype_repo::BackendError::Io {
            doing: "read",
            object: kind.to_string(),
            location: self.location(),
            source: std::io::ErrorKind::TimedOut.into(),
        })
    }
}

impl Backend for Shaky {
    fn location(&self) -> String {
        self.0.location()
    }

    fn create(&self) -> Result<(), tintype_repo::BackendError> {
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, tintype_repo::BackendError> {
        self.0.list(kind)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, tintype_repo::BackendError> {
        if kind == FileKind::Pack { self.busy(kind) } else { self.0.read(kind, id) }
    }

    fn read_part(
        &self,
        kind: FileKind,
        _: Id,
        _: u64,
        _: usize,
    ) -> Result<Vec<u8>, tintype_repo::BackendError> {
        self.busy(kind)
    }

    fn write(&self, kind: FileKind, _: Id, _: &[u8]) -> Result<(), tintype_repo::BackendError> {
        panic!("nothing is written, and no {kind}")
    }

    fn remove(&self, kind: FileKind, _: Id) -> Result<(), tintype_repo::BackendError> {
        panic!("nothing is removed, and no {kind}")
    }
}

#[test]
fn a_lost_lock_ends_a_repair_before_it_removes() {
    let (base, repo, expected) = used_repository(Version::V2);
    let pack = repo.index_in_use().unwrap().packs()[0].0;
    drop(repo);
    let copies = tempfile::tempdir().unwrap();
    let length = base.read(FileKind::Pack, pack).unwrap().len();
    damage(&base, FileKind::Pack, pack, length - 1);
    let (file, _) = base.list(FileKind::Index).unwrap()[0];
    let lost = || Err(RepoError::LockLost { detail: "test".into() });
    let progress = MendProgress::default();
    let kept = |backend: &MemoryBackend, kind: FileKind| {
        let now = ids(backend, kind);
        assert!(ids(&base, kind).iter().all(|id| now.contains(id)), "{kind}");
    };
    let backend = base.copy();
    let options = PackRepairOptions { packs: vec![], copies: copies.path().into(), threads: 1 };
    let ended = repair_packs(&open(&backend), &options, &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    kept(&backend, FileKind::Pack);
    kept(&backend, FileKind::Index);
    let backend = base.copy();
    damage(&backend, FileKind::Index, file, 50);
    let ended = repair_index(&open(&backend), &Default::default(), &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    kept(&backend, FileKind::Index);
    let backend = base.copy();
    backend.tamper(FileKind::Pack, pack, None);
    repair_of_index(&open(&backend), false).unwrap();
    let options = SnapshotRepairOptions { forget: true, ..SnapshotRepairOptions::default() };
    let ended = repair_snapshots(&open(&backend), &options, at(NOW), &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    assert_eq!(ids(&backend, FileKind::Snapshot).len(), expected.len());
}
