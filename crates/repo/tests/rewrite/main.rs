//! Rewriting, merging and recovering in memory: against naive models, and with a failure at every change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod changes;
#[path = "../support/mend.rs"]
mod mend;
mod merges;
mod models;
mod recoveries;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mend::{Trees, end_at_every_change, names, open, readable};
use models::{Entry, Folder, with_snapshots};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::{Chance, Expected, Model, at, check_all, new_repository, save, verify};
use tintype_repo::{
    Backend, BlobId, BlobKind, DeleteOption, Excludes, FileKind, GoTime, MemoryBackend,
    MendProgress, MergeOptions, Merged, Node, NodeKind, PruneOptions, Recovered, RepoError,
    Repository, Result, RewriteOptions, RewriteReport, SnapshotFile, SnapshotId,
    SnapshotModification, SnapshotSummary, Version, decode_tree, encode_tree, merge_snapshots,
    plan_prune, prune, recover, remove_snapshots, rewrite_snapshots,
};

const NOW: &str = "2026-01-01T00:00:00Z";

fn rewrite(repo: &Repository, options: &RewriteOptions) -> Result<RewriteReport> {
    let all = repo.snapshots()?;
    rewrite_snapshots(repo, &all, &all, options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn without(patterns: &[&str], forget: bool) -> RewriteOptions {
    let excludes = Excludes::new(patterns.iter().copied(), ["d"]).unwrap();
    RewriteOptions { excludes, forget, ..RewriteOptions::default() }
}

fn merge(repo: &Repository, delete: bool) -> Result<Merged> {
    let options = MergeOptions { delete, ..MergeOptions::default() };
    let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
    let all = repo.snapshots()?;
    merge_snapshots(repo, &all, base, &options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn recovery(repo: &Repository) -> Result<Recovered> {
    let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
    recover(repo, base, at(NOW), &MendProgress::default(), &|| Ok(()))
}

/// Three backups of a changing model.
fn three() -> (MemoryBackend, Repository, Expected) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    let (mut chance, mut model, mut expected) = (Chance(5), Model::new(), Expected::new());
    for day in 1..=3 {
        (0..5).for_each(|_| chance.change(&mut model));
        let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
    (backend, repo, expected)
}

#[test]
fn protected_snapshots_are_not_merged_away_nor_rewritten_away() {
    let file = |time| Folder::from([("a".to_owned(), Entry::File(time, vec![1]))]);
    let (backend, repo) = with_snapshots(&[file(1), file(2)]);
    let mut kept = repo.snapshots().unwrap().remove(0);
    remove_snapshots(&repo, &[kept.id]).unwrap();
    kept.delete = DeleteOption::After("2027-01-01".parse().unwrap());
    repo.save_snapshot(&mut kept).unwrap();
    let before = backend.changes();
    assert!(
        matches!(merge(&repo, true), Err(RepoError::Refused { detail }) if detail.contains(&kept.id.to_string()))
    );
    assert_eq!(backend.changes(), before);
    let report = rewrite(&repo, &without(&["a"], true)).unwrap();
    assert_eq!((report.protected, report.rewritten.len()), (vec![kept.id], 1));
    assert!(repo.snapshots().unwrap().contains(&kept));
    let report = rewrite(&repo, &without(&["a"], false)).unwrap();
    assert_eq!(report.rewritten.len(), 1);
}

fn trees_of(repo: &Repository, nodes: &[Node]) -> BlobId {
    let mut trees = Trees::new(repo);
    let root = trees.put(BlobKind::Tree, &encode_tree(nodes).unwrap());
    let saved = trees.done(repo, root);
    remove_snapshots(repo, &[saved.id]).unwrap();
    root
}
