//! One repository for us and for restic at any place: each reads what the other wrote.

#![allow(dead_code)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use tintype_repo::{
    Access, Actor, Backend, BackupOptions, BackupProgress, Index, Moment, Repository, SnapshotFile,
    Version, absolute_paths, backup, open_location,
};

use crate::programs;

/// Saves a folder at `place`, then has restic check and restore it from there and add a snapshot that we read. `args`: what restic needs
/// besides.
pub fn with_restic(place: &str, access: &Access, args: &[&str]) {
    with_restic_in(place, access, args, &[]);
}

/// The same with variables for restic.
pub fn with_restic_in(place: &str, access: &Access, args: &[&str], env: &[(&str, &str)]) {
    with_restic_at(place, access, place, args, env);
}

/// The same where restic has another name for the place.
pub fn with_restic_at(
    place: &str,
    access: &Access,
    for_restic: &str,
    args: &[&str],
    env: &[(&str, &str)],
) {
    let Some(program) = programs::find("restic") else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir_all(source.join("deep")).unwrap();
    std::fs::write(source.join("deep/file"), vec![7; 3 << 20]).unwrap();
    for i in 0..50 {
        std::fs::write(source.join(format!("{i}")), format!("file {i}")).unwrap();
    }
    let backend = open_location(&place.parse().unwrap(), access).unwrap();
    save(&backend, &source);
    let restic = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--no-cache", "-r", for_restic]).args(args).args(words);
        command.env("RESTIC_PASSWORD", "secret").envs(env.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    restic(&["check", "--read-data"]);
    let target = folder.path().join("restored");
    restic(&["restore", "latest", "--target", target.to_str().unwrap()]);
    let restored = target.join(source.strip_prefix("/").unwrap());
    let same = Command::new("diff").arg("-r").arg(&source).arg(&restored).status().unwrap();
    assert!(same.success());
    restic(&["backup", source.to_str().unwrap()]);
    let again = Repository::open(backend, b"secret").unwrap();
    assert_eq!(again.snapshots().unwrap().len(), 2);
}

fn save(backend: &Arc<dyn Backend>, source: &Path) {
    let actor = Actor { username: "u".into(), hostname: "h".into() };
    let now = Timestamp::now();
    let repo =
        Repository::init(Arc::clone(backend), b"secret", Version::V2, None, &actor, now).unwrap();
    let index: Arc<Index> = Arc::new(repo.index().unwrap());
    let options = BackupOptions { paths: vec![source.to_owned()], ..BackupOptions::default() };
    let saved = backup(&repo, index, &[], &options, &BackupProgress::default()).unwrap();
    let mut snapshot = SnapshotFile::new(Moment::utc(now), saved.tree);
    snapshot.paths = absolute_paths(Path::new("/"), &options.paths);
    repo.save_snapshot(&mut snapshot).unwrap();
}
