//! Our repairs, and restic's on the same damage. Skipped, loudly, where restic is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/mend.rs"]
mod mend;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mend::names;
use support::{
    Chance, Expected, Model, at, new_repository, read_back, restic, restic_installed, save, verify,
};
use tintype_repo::{
    BlobId, BlobKind, Excludes, FileKind, Id, IndexRepairOptions, LocalFolder, MendProgress,
    MergeOptions, PackRepairOptions, Repository, RewriteOptions, SnapshotFile,
    SnapshotRepairOptions, Version, merge_snapshots, recover, remove_snapshots, repair_index,
    repair_packs, repair_snapshots, rewrite_snapshots,
};

const NOW: &str = "2026-01-01T00:00:00Z";

struct Fixture {
    folder: tempfile::TempDir,
    repo: Repository,
    expected: Expected,
}

impl Fixture {
    fn new(version: Version, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("repo");
        let repo = new_repository(Arc::new(LocalFolder::new(&place)), version);
        let (mut chance, mut model, mut expected) = (Chance(seed), Model::new(), Expected::new());
        for day in 1..=3 {
            (0..5).for_each(|_| chance.change(&mut model));
            let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
            expected.insert(saved.id, model.clone());
        }
        Self { folder, repo, expected }
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// The same once more, for the other program.
    fn twin(&self) -> (PathBuf, Repository) {
        let place = self.folder.path().join("twin");
        drop(fs::remove_dir_all(&place));
        let mut copy = Command::new("cp");
        assert!(copy.arg("-a").arg(self.place()).arg(&place).status().unwrap().success());
        let repo = Repository::open(Arc::new(LocalFolder::new(&place)), b"secret").unwrap();
        (place, repo)
    }

    fn ids(&self, kind: FileKind) -> Vec<Id> {
        self.repo.backend().list(kind).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    fn pack(&self, id: Id) -> PathBuf {
        self.place().join("data").join(&id.to_string()[..2]).join(id.to_string())
    }

    fn clean(&self, when: &str) {
        let text = restic(&self.place(), &["check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{when}: {text}");
    }

    fn mend_index(&self) {
        let progress = MendProgress::default();
        repair_index(&self.repo, &IndexRepairOptions::default(), &progress, &|| Ok(())).unwrap();
    }
}

/// All blobs of all packs that an index names.
fn blobs(repo: &Repository) -> BTreeSet<(BlobKind, BlobId, Id, u32)> {
    let index = repo.index().unwrap();
    let kinds = [BlobKind::Data, BlobKind::Tree];
    let all = kinds.iter().flat_map(|kind| index.iter(*kind));
    all.map(|found| (found.blob.kind, found.blob.id, found.pack.0, found.blob.offset)).collect()
}

fn overwrite(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_index_is_what_restic_makes_of_it() {
    if !restic_installed() {
        return;
    }
    for version in [Version::V1, Version::V2] {
        let fixture = Fixture::new(version, 3);
        // One index file is gone and one is damaged.
        let index = fixture.ids(FileKind::Index);
        fs::remove_file(fixture.place().join("index").join(index[0].to_string())).unwrap();
        overwrite(&fixture.place().join("index").join(index[1].to_string()), 50);
        let (twin, theirs) = fixture.twin();
        fixture.mend_index();
        restic(&twin, &["rebuild-index"]);
        assert_eq!(blobs(&fixture.repo), blobs(&theirs));
        verify(&fixture.repo, &fixture.expected, "ours");
        fixture.clean("index");
    }
}

#[test]
fn damaged_and_missing_packs_leave_a_clean_repository() {
    if !restic_installed() {
        return;
    }
    for (seed, version) in [(4, Version::V1), (5, Version::V2)] {
        for kind in [BlobKind::Data, BlobKind::Tree] {
            for missing in [false, true] {
                let fixture = Fixture::new(version, seed);
                let repo = &fixture.repo;
                let victim = repo.index().unwrap().iter(kind).next().unwrap();
                let path = fixture.pack(victim.pack.0);
                match missing {
                    true => fs::remove_file(&path).unwrap(),
                    false => overwrite(&path, victim.blob.offset as usize + 20),
                }
                fixture.mend_index();
                let progress = MendProgress::default();
                let copies = fixture.folder.path().into();
                let options = PackRepairOptions { packs: vec![], copies, threads: 1 };
                let report = repair_packs(repo, &options, &progress, &|| Ok(())).unwrap();
                assert_eq!(report.packs.len(), usize::from(!missing));
                let options = SnapshotRepairOptions { forget: true, ..Default::default() };
                repair_snapshots(repo, &options, at(NOW), &progress, &|| Ok(())).unwrap();
                fixture.clean(&format!("{kind:?}, missing: {missing}"));
                // What restic restores is what we read.
                let index = repo.index().unwrap();
                for snapshot in repo.snapshots().unwrap() {
                    let target = fixture.folder.path().join(snapshot.id.0.short());
                    let target_text = target.to_str().unwrap();
                    restic(
                        &fixture.place(),
                        &["restore", &snapshot.id.to_string(), "--target", target_text],
                    );
                    for (path, content) in read_back(repo, &index, &snapshot) {
                        assert_eq!(fs::read(target.join(path)).unwrap(), content);
                    }
                }
            }
        }
    }
}

#[test]
fn both_recover_the_same_trees() {
    if !restic_installed() {
        return;
    }
    let fixture = Fixture::new(Version::V2, 6);
    let old = fixture.repo.snapshots().unwrap();
    remove_snapshots(&fixture.repo, &[old[0].id, old[2].id]).unwrap();
    let (twin, theirs) = fixture.twin();
    restic(&twin, &["recover"]);
    let base = SnapshotFile::new(at(NOW).to_string().parse().unwrap(), BlobId::default());
    let progress = MendProgress::default();
    let ours = recover(&fixture.repo, base, at(NOW), &progress, &|| Ok(())).unwrap();
    let ours = ours.snapshot.unwrap();
    let theirs_all = theirs.snapshots().unwrap();
    let made = theirs_all.iter().find(|s| s.tags.contains(&"recovered".to_owned())).unwrap();
    assert_eq!(names(&fixture.repo, ours.tree), names(&theirs, made.tree));
    assert_eq!(names(&fixture.repo, ours.tree).len(), 2);
    fixture.clean("recovered");
}

#[test]
fn restic_reads_what_is_rewritten_and_merged() {
    if !restic_installed() {
        return;
    }
    for version in [Version::V1, Version::V2] {
        let fixture = Fixture::new(version, 7);
        let source = fixture.folder.path().join("source");
        fs::create_dir_all(source.join("sub")).unwrap();
        for name in ["keep.txt", "secret.key", "sub/other.key", "sub/b<>&\u{2028}.txt"] {
            fs::write(source.join(name), name).unwrap();
        }
        restic(&fixture.place(), &["backup", source.to_str().unwrap()]);
        let all = fixture.repo.snapshots().unwrap();
        let excludes = Excludes::new(["*.key", "/d1/f1"], []).unwrap();
        let options = RewriteOptions { excludes, forget: true, ..RewriteOptions::default() };
        let progress = MendProgress::default();
        let repo = &fixture.repo;
        let report =
            rewrite_snapshots(repo, &all, &all, &options, at(NOW), &progress, &|| Ok(())).unwrap();
        assert!(report.rewritten.len() >= 2);
        fixture.clean("rewritten");
        let list = restic(&fixture.place(), &["ls", "latest"]);
        assert!(list.contains("keep.txt") && !list.contains(".key"), "{list}");
        let all = repo.snapshots().unwrap();
        let base = SnapshotFile::new(at(NOW).to_string().parse().unwrap(), BlobId::default());
        let options = MergeOptions { delete: true, ..MergeOptions::default() };
        merge_snapshots(repo, &all, base, &options, at(NOW), &progress, &|| Ok(())).unwrap();
        fixture.clean("merged");
        let list = restic(&fixture.place(), &["ls", "latest"]);
        assert!(list.contains("keep.txt") && list.contains("/d0/"), "{list}");
        restic(&fixture.place(), &["prune", "--max-unused=0"]);
        fixture.clean("pruned");
    }
}
