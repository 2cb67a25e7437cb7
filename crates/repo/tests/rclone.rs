//! Places that rclone reaches: its life, its failures, and that restic reads what we write there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod programs;
mod sharing;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tintype_repo::{
    Access, Backend, BackendError, FileKind, Id, Patience, PlaceOptions, Secret, open_location,
};

fn access(options: &[&str]) -> Access {
    let options = PlaceOptions::parse(options.iter().copied()).unwrap();
    Access { patience: Patience::NONE, options, ..Access::default() }
}

fn open(remote: &str, options: &[&str]) -> Result<Arc<dyn Backend>, BackendError> {
    open_location(&format!("rclone:{remote}").parse().unwrap(), &access(options))
}

/// A place in a folder, when rclone is there.
fn place(folder: &Path) -> Option<(String, String)> {
    let program = programs::find("rclone")?;
    Some((format!(":local:{}", folder.display()), format!("rclone.program={}", program.display())))
}

/// Processes that have a text among their words.
fn processes_with(word: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()));
    pids.filter(|pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(word)
    })
    .collect()
}

#[test]
fn it_ends_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let Some((remote, program)) = place(folder.path()) else { return };
    let word = folder.path().to_str().unwrap();
    let backend = open(&remote, &[&program]).unwrap();
    assert!(processes_with(word).is_empty(), "it starts with the first call");
    backend.create().unwrap();
    assert!(!processes_with(word).is_empty());
    drop(backend);
    let until = Instant::now() + Duration::from_secs(20);
    while !processes_with(word).is_empty() {
        assert!(Instant::now() < until, "rclone is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_starts_again_when_somebody_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some((remote, program)) = place(folder.path()) else { return };
    let options = PlaceOptions::parse([&*program]).unwrap();
    let access = Access { options, ..Access::default() };
    let backend = open_location(&format!("rclone:{remote}").parse().unwrap(), &access).unwrap();
    backend.create().unwrap();
    let id = Id::of(b"data");
    backend.write(FileKind::Pack, id, b"data").unwrap();
    for pid in processes_with(folder.path().to_str().unwrap()) {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        // The shell beside it may have ended by then.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    assert_eq!(backend.read(FileKind::Pack, id).unwrap(), b"data");
}

#[test]
fn others_need_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let Some((remote, program)) = place(folder.path()) else { return };
    let backend = open(&remote, &[&program]).unwrap();
    backend.create().unwrap();
    let pid = processes_with(folder.path().to_str().unwrap())[0];
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let password = environment.split('\0').find_map(|v| v.strip_prefix("RCLONE_PASS=")).unwrap();
    assert_eq!(password.len(), 64);
    assert!(!words.contains(password), "others can read the words of a program");
    assert!(!format!("{:?}", Secret::new(password)).contains(password));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let e = open("x:y", &["rclone.program=/nowhere/rclone"]).unwrap().create().unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
    let text = e.to_string();
    assert!(text.contains("rclone:x:y") && text.contains("no program `/nowhere/rclone`"), "{text}");
    let e = open("x:y", &["rclone.args=serve 'restic"]).err().unwrap();
    assert!(e.is_permanent() && e.to_string().contains("rclone.args"), "{e}");
    let Some((_, program)) = place(folder.path()) else { return };
    let e = open("no-such-remote:x", &[&program]).unwrap().create().unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
    assert!(e.to_string().contains("no-such-remote"), "{e}");
}

#[test]
fn words_in_the_manner_of_restic() {
    let folder = tempfile::tempdir().unwrap();
    let Some((remote, program)) = place(folder.path()) else { return };
    let args = "rclone.args=serve restic --stdio --append-only";
    let backend = open(&remote, &[&program, args]).unwrap();
    backend.create().unwrap();
    let id = Id::of(b"data");
    backend.write(FileKind::Pack, id, b"data").unwrap();
    assert!(backend.remove(FileKind::Pack, id).is_err(), "nothing but appending was asked for");
}

#[test]
fn restic_reads_what_we_save() {
    let folder = tempfile::tempdir().unwrap();
    let Some((remote, program)) = place(&folder.path().join("repo")) else { return };
    sharing::with_restic(&format!("rclone:{remote}"), &access(&[&program]), &["-o", &program]);
}
