//! Figures, not a test: restores of a given folder by us and by restic, in turn. Run by hand, in release:
//! Each round has new targets: removing old ones takes the disk longer than the restore. Older ones must be removed by hand.
//! `RESTORE_SOURCE=/some/folder RESTORE_PLACE=/some/scratch cargo test --release --test restore_speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tintype_repo::{
    Actor, BackupOptions, BackupProgress, LocalFolder, Moment, Repository, RestoreOptions,
    RestoreProgress, SnapshotFile, Version, absolute_paths, backup, restore,
};

fn open(place: &Path, source: &Path) -> Repository {
    let backend = Arc::new(LocalFolder::new(place));
    if place.join("config").exists() {
        return Repository::open(backend, b"secret").unwrap();
    }
    let actor = Actor { username: "u".into(), hostname: "h".into() };
    let repo = Repository::init(backend, b"secret", Version::V2, None, &actor, Timestamp::now());
    let repo = repo.unwrap();
    let options = BackupOptions { paths: vec![source.to_owned()], ..BackupOptions::default() };
    let index = Arc::new(repo.index().unwrap());
    let saved = backup(&repo, index, &[], &options, &BackupProgress::default()).unwrap();
    let mut snapshot = SnapshotFile::new(Moment::utc(Timestamp::now()), saved.tree);
    snapshot.paths = absolute_paths(Path::new("/"), &options.paths);
    repo.save_snapshot(&mut snapshot).unwrap();
    repo
}

/// Seconds of processor time of this process and of those it waited for.
fn processor() -> [f64; 2] {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let sum = |from: usize| -> f64 {
        fields.iter().skip(from).take(2).map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
    };
    [sum(11), sum(13)]
}

#[test]
#[ignore = "prints figures"]
fn restores_in_turn() {
    let (Some(source), Some(place)) =
        (std::env::var_os("RESTORE_SOURCE"), std::env::var_os("RESTORE_PLACE"))
    else {
        return;
    };
    let (source, place) = (PathBuf::from(source), PathBuf::from(place));
    let repository = place.join("repo");
    open(&repository, &source);
    let rounds = std::env::var("RESTORE_ROUNDS").ok().and_then(|text| text.parse().ok());
    let with_restic = std::env::var_os("RESTORE_ALONE").is_none();
    for round in 0..rounds.unwrap_or(3) {
        let target = place.join(format!("ours-{round}"));
        rustix::fs::sync();
        let (start, before) = (Instant::now(), processor());
        let repo = open(&repository, &source);
        let snapshot = repo.snapshots().unwrap().pop().unwrap();
        let index = repo.index().unwrap();
        let opened = start.elapsed().as_secs_f64();
        let progress = RestoreProgress::default();
        let threads = std::env::var("RESTORE_THREADS").ok().and_then(|text| text.parse().ok());
        let threads = threads.unwrap_or_default();
        let options = RestoreOptions { threads, ..RestoreOptions::default() };
        let report = restore(&repo, &index, snapshot.tree, &target, &options, &progress).unwrap();
        let ours = start.elapsed().as_secs_f64();
        let used = processor();
        println!(
            "round {round}: ours {ours:.2} s (opened in {opened:.2}), processor {:.2} s; {} files, {} bytes, {} failures",
            used[0] - before[0],
            report.files,
            report.bytes_written,
            report.failed
        );
        if !with_restic {
            continue;
        }
        let target = place.join(format!("restic-{round}"));
        rustix::fs::sync();
        let start = Instant::now();
        let status = Command::new("restic")
            .args(["--no-cache", "-q", "-r"])
            .arg(&repository)
            .args(["restore", "latest", "--target"])
            .arg(&target)
            .env("RESTIC_PASSWORD", "secret")
            .status();
        assert!(status.unwrap().success());
        let theirs = start.elapsed().as_secs_f64();
        println!(
            "round {round}: restic {theirs:.2} s, processor {:.2} s; ratio {:.2}",
            processor()[1] - used[1],
            ours / theirs
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
