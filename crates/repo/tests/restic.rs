//! Restic itself reads what we write. Skipped, loudly, where restic is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use tintype_repo::{
    Actor, BackupOptions, BackupProgress, BlobId, BlobKind, Index, LocalFolder, Moment, Repository,
    SnapshotFile, Version, absolute_paths, backup, decode_tree,
};

fn restic(repo: &Path, args: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(repo)
        .args(args)
        .env("RESTIC_PASSWORD", "secret")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "restic {args:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn installed() -> bool {
    tintype_testkit::programs::has("restic")
}

fn save(repo: &Repository, source: &Path, parents: &[SnapshotFile]) -> SnapshotFile {
    let options = BackupOptions { paths: vec![source.to_owned()], ..BackupOptions::default() };
    let index: Arc<Index> = Arc::new(repo.index().unwrap());
    let progress = BackupProgress::default();
    let saved = backup(repo, index, parents, &options, &progress).unwrap();
    assert_eq!(progress.take_failures(), []);
    let mut snapshot = SnapshotFile::new(Moment::utc(Timestamp::now()), saved.tree);
    snapshot.paths = absolute_paths(Path::new("/"), &options.paths);
    snapshot.hostname = "h".into();
    snapshot.summary = Some(saved.summary);
    repo.save_snapshot(&mut snapshot).unwrap();
    snapshot
}

fn tree(at: &Path) {
    std::fs::create_dir_all(at.join("deep/er")).unwrap();
    std::fs::create_dir(at.join("empty")).unwrap();
    std::fs::write(at.join("a.txt"), "hello").unwrap();
    std::fs::write(at.join("nothing"), "").unwrap();
    std::fs::write(at.join("deep/er/zeros"), vec![0; 3 << 20]).unwrap();
    let mut noise = vec![0u8; 5_000_000];
    let mut state = 1u64;
    for byte in &mut noise {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    std::fs::write(at.join("deep/noise"), noise).unwrap();
    std::os::unix::fs::symlink("a.txt", at.join("link")).unwrap();
    std::fs::hard_link(at.join("a.txt"), at.join("deep/hard")).unwrap();
    for i in 0..300 {
        std::fs::write(at.join(format!("deep/er/{i}")), format!("file {i}")).unwrap();
    }
}

#[test]
fn restic_checks_and_restores_what_we_save() {
    if !installed() {
        return;
    }
    for version in [Version::V1, Version::V2] {
        let folder = tempfile::tempdir().unwrap();
        let (place, source) = (folder.path().join("repo"), folder.path().join("source"));
        tree(&source);
        let actor = Actor { username: "u".into(), hostname: "h".into() };
        let backend = Arc::new(LocalFolder::new(&place));
        let repo =
            Repository::init(backend, b"secret", version, None, &actor, Timestamp::now()).unwrap();
        let first = save(&repo, &source, &[]);
        restic(&place, &["check", "--read-data"]);
        let target = folder.path().join("restored");
        restic(&place, &["restore", "latest", "--target", target.to_str().unwrap()]);
        let restored = target.join(source.strip_prefix("/").unwrap());
        let same = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .arg(&source)
            .arg(&restored)
            .status()
            .unwrap();
        assert!(same.success());
        // Nothing is read or stored anew when nothing changed.
        let again = save(&repo, &source, std::slice::from_ref(&first));
        assert_eq!(tree_of(&repo, &again, &source), tree_of(&repo, &first, &source));
        let summary = again.summary.unwrap();
        assert_eq!(
            (summary.files_new, summary.files_changed, summary.data_blobs, summary.dirs_new),
            (0, 0, 0, 0)
        );
        assert_eq!(summary.files_unmodified, 305);
        // restic goes on from there, and finds the same tree.
        let text = restic(&place, &["backup", "--json", source.to_str().unwrap()]);
        let end = text.lines().last().unwrap();
        let end: serde_json::Value = serde_json::from_str(end).unwrap();
        assert_eq!(end["data_blobs"], 0, "{end}");
        // The folders above differ: their times of change do.
        let trees: Vec<_> =
            repo.snapshots().unwrap().iter().map(|each| tree_of(&repo, each, &source)).collect();
        assert_eq!(trees, [tree_of(&repo, &first, &source); 3], "restic makes the same trees");
    }
}

/// The tree of a path in a snapshot.
fn tree_of(repo: &Repository, snapshot: &SnapshotFile, path: &Path) -> BlobId {
    let index = repo.index().unwrap();
    path.strip_prefix("/").unwrap().iter().fold(snapshot.tree, |tree, name| {
        let nodes = decode_tree(&repo.blob(&index, BlobKind::Tree, tree).unwrap()).unwrap();
        let node = nodes.iter().find(|node| node.name == name.as_encoded_bytes()).unwrap();
        node.subtree.unwrap()
    })
}
