//! Checks find each kind of damage, all of it, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use support::{Chance, Model, check_all, new_repository, save};
use tintype_repo::{
    Backend, BlobId, BlobKind, BlobOptions, BlobWriter, CheckOptions, CheckProgress, FileKind,
    Finding, Id, MemoryBackend, Node, NodeKind, PackId, Report, Repository, Scratch, Severity,
    SnapshotFile, Version, check, encode_tree,
};

fn repository() -> (MemoryBackend, Repository) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    let (mut chance, mut model) = (Chance(3), Model::new());
    for day in 1..=3 {
        for _ in 0..4 {
            chance.change(&mut model);
        }
        save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
    }
    (backend, repo)
}

fn errors(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity() == Severity::Error).collect()
}

#[test]
fn a_sound_repository_has_no_findings() {
    let (_, repo) = repository();
    let report = check_all(&repo);
    assert_eq!(report.findings, []);
    assert_eq!((report.snapshots, report.packs, report.packs_read), (3, 6, 6));
    assert!(report.trees >= 6 && report.bytes_read > 1000);
}

#[test]
fn every_flipped_byte_of_every_file_is_found() {
    let (backend, repo) = repository();
    for kind in [FileKind::Pack, FileKind::Index, FileKind::Snapshot] {
        for (id, length) in backend.list(kind).unwrap() {
            let whole = backend.read(kind, id).unwrap();
            let step = (length / 23).max(1) as usize;
            for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
                let mut bad = whole.clone();
                bad[at] ^= 1 << (at % 8);
                backend.tamper(kind, id, Some(bad));
                assert!(!check_all(&repo).is_sound(), "{kind} {id} at {at}");
            }
            backend.tamper(kind, id, Some(whole[..whole.len() - 1].to_vec()));
            assert!(!check_all(&repo).is_sound(), "{kind} {id} cut off");
            backend.tamper(kind, id, Some(whole));
        }
    }
    assert!(check_all(&repo).is_sound());
}

#[test]
fn missing_and_unknown_files_are_told_apart() {
    let (backend, repo) = repository();
    for (id, _) in backend.list(FileKind::Pack).unwrap() {
        let whole = backend.read(FileKind::Pack, id).unwrap();
        backend.tamper(FileKind::Pack, id, None);
        let report = check_all(&repo);
        let missing = Finding::MissingPack { id: PackId(id), marked: false };
        assert!(report.findings.contains(&missing));
        backend.tamper(FileKind::Pack, id, Some(whole));
    }
    for (id, _) in backend.list(FileKind::Index).unwrap() {
        let whole = backend.read(FileKind::Index, id).unwrap();
        backend.tamper(FileKind::Index, id, None);
        let report = check_all(&repo);
        assert!(!report.is_sound());
        assert!(report.findings.iter().any(|f| matches!(f, Finding::UnknownPack { .. })));
        backend.tamper(FileKind::Index, id, Some(whole));
    }
    let id = Id::of(b"x");
    backend.tamper(FileKind::Pack, id, Some(b"x".to_vec()));
    let report = check_all(&repo);
    assert_eq!(report.findings, [Finding::UnknownPack { id: PackId(id), bytes: 1 }]);
    assert!(report.is_sound() && report.warnings == 1);
}

#[test]
fn forgotten_blobs_and_double_index_files_are_warnings() {
    let (backend, repo) = repository();
    let (id, _) = backend.list(FileKind::Index).unwrap()[0];
    let plain = repo.load(FileKind::Index, id).unwrap();
    repo.save(FileKind::Index, &plain).unwrap();
    let report = check_all(&repo);
    assert!(report.is_sound());
    assert!(report.findings.iter().any(|f| matches!(f, Finding::DuplicatePack { files: 2, .. })));
    let (id, _) = backend.list(FileKind::Snapshot).unwrap()[0];
    backend.remove(FileKind::Snapshot, id).unwrap();
    let report = check_all(&repo);
    assert!(report.is_sound());
    assert!(report.findings.iter().any(|f| matches!(f, Finding::UnusedBlobs { blobs: 1.., .. })));
}

/// Stores a root with these nodes.
fn root(repo: &Repository, nodes: &[Node]) {
    let writer =
        BlobWriter::new(repo.clone(), Arc::new(repo.index().unwrap()), BlobOptions::default());
    let bytes = encode_tree(nodes).unwrap();
    let (mut scratch, id) = (Scratch::default(), BlobId::of(&bytes));
    writer.add(&mut scratch, BlobKind::Tree, id, &bytes).unwrap();
    writer.add(&mut scratch, BlobKind::Data, BlobId::of(b"12345"), b"12345").unwrap();
    writer.finish().unwrap();
    repo.save_snapshot(&mut SnapshotFile::new("2026-01-01".parse().unwrap(), id)).unwrap();
}

#[test]
fn nodes_that_lie_are_found_and_the_walk_goes_on() {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    let file = |name: &str, content: Option<Vec<BlobId>>, size| Node {
        name: name.into(),
        content,
        size,
        ..Node::default()
    };
    let there = BlobId::of(b"12345");
    let missing = BlobId::of(b"missing");
    let dir = |name: &str, subtree| Node {
        name: name.into(),
        kind: NodeKind::Dir,
        subtree,
        ..Node::default()
    };
    root(
        &repo,
        &[
            file("a", Some(vec![there]), 0),
            file("b", None, 3),
            file("c", Some(vec![missing, there]), 12),
            dir("d", None),
            dir("e", Some(missing)),
            file("f", Some(vec![there, there]), 10),
        ],
    );
    let report = check_all(&repo);
    let text: Vec<_> = errors(&report).iter().map(|finding| finding.to_string()).collect();
    assert_eq!(report.errors, 5, "{text:?}");
    let sizes = |f: &&Finding| matches!(f, Finding::FileSize { name, said: 0, chunks: 5, .. } if name == "a");
    assert_eq!(report.findings.iter().filter(sizes).count(), 1);
    assert!(
        report
            .findings
            .iter()
            .any(|f| matches!(f, Finding::MissingData { blob, .. } if *blob == missing))
    );
    assert!(report.findings.contains(&Finding::MissingTree { id: missing }));
    assert_eq!(report.findings.iter().filter(|f| matches!(f, Finding::Node { .. })).count(), 2);
}

#[test]
fn parts_read_every_pack_once() {
    let (_, repo) = repository();
    let mut read = 0;
    for part in 1..=3 {
        let options = CheckOptions { read_data: format!("{part}/3").parse().unwrap(), threads: 1 };
        read += check(&repo, &options, &CheckProgress::default()).unwrap().packs_read;
    }
    assert_eq!(read, 6);
    let quick = check(&repo, &CheckOptions::default(), &CheckProgress::default()).unwrap();
    assert_eq!((quick.packs_read, quick.packs), (0, 6));
}
