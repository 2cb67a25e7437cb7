//! The repository's commands as people use them, with restic as the other side where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use repository::{Fixture, damage, has_restic};
use serde_json::Value;

/// The path of the source below the root of a snapshot.
fn below(fixture: &Fixture, rest: &str) -> String {
    format!("{}/{rest}", fixture.source().display())
}

#[test]
fn what_is_saved_can_be_looked_at() {
    let fixture = Fixture::new();
    let first =
        fixture.backup(&["--tag", "x,y", "--label", "l", "--description", "d", "--delete-never"]);
    assert_eq!(first["failures"], 0);
    assert_eq!(first["summary"]["total_files_processed"], 3);
    let again = fixture.backup(&[]);
    assert_eq!(again["summary"]["files_unmodified"], 3);
    let place = fixture.place();
    let place = place.to_str().unwrap();
    let list = fixture.json(&["snapshot", "list", "--repo", place]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(
        (&list[0]["tags"], &list[0]["delete"]),
        (&serde_json::json!(["x", "y"]), &serde_json::json!("never"))
    );
    assert_eq!(
        fixture
            .json(&["snapshot", "list", "--repo", place, "--tag", "x"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let shown = fixture.json(&["snapshot", "show", "latest~1", "--repo", place]);
    assert_eq!(
        (&shown["label"], &shown["description"]),
        (&serde_json::json!("l"), &serde_json::json!("d"))
    );
    assert_eq!(list[1]["parent"], list[0]["id"]);
    let tree = fixture.ok(&["ls", "latest"]);
    assert!(tree.contains(&below(&fixture, "sub/dir/b.log")), "{tree}");
    assert_eq!(fixture.ok(&["dump", &format!("latest:{}", below(&fixture, "a.txt"))]), "one\n");
    let found = fixture.ok(&["find", "*.log"]);
    assert_eq!(found.lines().count(), 2);
    assert!(fixture.ok(&["repo", "stats"]).contains("tree blobs"));
}

#[test]
fn what_is_left_out_is_not_there() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.source().join("cache")).unwrap();
    fs::write(
        fixture.source().join("cache/CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n",
    )
    .unwrap();
    fs::write(fixture.source().join("cache/junk"), "x").unwrap();
    fs::write(fixture.source().join("large"), vec![0; 5000]).unwrap();
    fixture.backup(&["--exclude", "*.log", "--exclude-caches", "--exclude-larger-than", "4K"]);
    let tree = fixture.ok(&["ls", "latest"]);
    assert!(tree.contains("a.txt") && tree.contains("sub/dir"));
    for gone in ["b.log", "junk", "large"] {
        assert!(!tree.contains(gone), "{gone} in {tree}");
    }
}

#[test]
fn streams_are_saved_and_failed_commands_are_not() {
    let fixture = Fixture::new();
    let mut child = fixture
        .command(env!("CARGO_BIN_EXE_tintype"))
        .args(["backup", "--stdin", "--stdin-filename", "in.txt"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from standard input").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fixture.ok(&["dump", "latest:in.txt"]), "from standard input");
    fixture.ok(&[
        "backup",
        "--stdin-command",
        "--stdin-filename",
        "out",
        "--",
        "echo",
        "-n",
        "hello",
    ]);
    assert_eq!(fixture.ok(&["dump", "latest:/out"]), "hello");
    assert!(
        !fixture
            .run(&["backup", "--stdin-command", "--", "sh", "-c", "echo half; exit 3"])
            .status
            .success()
    );
    let place = fixture.place();
    assert_eq!(
        fixture
            .json(&["snapshot", "list", "--repo", place.to_str().unwrap()])
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_stream_can_lie_in_folders() {
    let fixture = Fixture::new();
    let save = |name: &str| {
        fixture.said(&[
            "backup",
            "--stdin-command",
            "--stdin-filename",
            name,
            "--",
            "echo",
            "hello",
        ])
    };
    assert_eq!(save("/dumps/today/all.sql").0, Some(0));
    assert_eq!(fixture.ok(&["dump", "latest:dumps/today/all.sql"]), "hello\n");
    assert_eq!(fixture.snapshots(&[])[0]["paths"][0], "/dumps/today/all.sql");
    if has_restic() {
        assert_eq!(fixture.restic(&["dump", "latest", "dumps/today/all.sql"]), "hello\n");
    }
    for bad in ["a/../b", "/", "."] {
        let (code, why) = save(bad);
        assert!(code == Some(1) && why.contains("names no file"), "{bad}: {why}");
    }
    fixture.clean();
}

#[test]
fn a_path_that_is_missing_among_others_costs_only_itself() {
    let fixture = Fixture::new();
    let source = fixture.source();
    let (source, gone) = (source.to_str().unwrap(), fixture.path("gone/deep"));
    let (gone, also) = (gone.to_str().unwrap(), fixture.path("x"));
    let (code, why) = fixture.said(&["backup", source, gone, also.to_str().unwrap()]);
    assert!(code == Some(3) && why.contains("gone") && why.contains("/x: not saved"), "{why}");
    assert!(fixture.ok(&["ls", "latest"]).contains("b.log"));
    assert_eq!(fixture.said(&["backup", gone]).0, Some(2));
    assert_eq!(fixture.snapshots(&[]).len(), 1);
}

#[test]
fn what_a_prune_says_stands_in_lines_of_its_own() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let said = fixture.ok(&["prune", "--dry-run"]);
    assert_eq!(said.lines().last(), Some("nothing was changed: --dry-run"));
}

#[test]
fn places_that_cannot_be_written_to_are_read_without_a_lock() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let target = fixture.path("target");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o777)).unwrap();
    let run = |args: &[&str]| {
        let mut command = fixture.by_somebody(env!("CARGO_BIN_EXE_tintype"));
        fs::set_permissions(fixture.place().join("locks"), fs::Permissions::from_mode(0o555))
            .unwrap();
        let output = command.args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let restore =
        ["restore", "latest", "--ownership", "none", "--target", target.to_str().unwrap()];
    for args in [restore.as_slice(), &["check"]] {
        let (code, why) = run(args);
        assert!(code == Some(1) && why.contains("--no-lock"), "{why}");
        let (code, why) = run(&[args, &["--no-lock"]].concat());
        assert!(code == Some(0), "{why}");
    }
    assert!(fs::read_dir(fixture.place().join("locks")).unwrap().next().is_none());
}

#[test]
fn damage_is_named_once_with_what_helps() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let only = |folder: &str| {
        let entry = fs::read_dir(fixture.place().join(folder)).unwrap().next().unwrap();
        entry.unwrap().path()
    };
    let snapshot = only("snapshots");
    damage(&snapshot, 20, 1 << 20);
    let said = fixture.said(&["check"]).1;
    let id = snapshot.file_name().unwrap().to_str().unwrap();
    assert_eq!(said.matches(id).count(), 1, "{said}");
    for (path, name, helps) in [
        (fixture.place().join("config"), "config is damaged", "copy"),
        (only("keys"), "key ", "copy"),
    ] {
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let (code, why) = fixture.said(&["check"]);
        assert!(code == Some(1) && why.contains(name) && why.contains(helps), "{why}");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn failures_have_restics_exit_statuses() {
    let fixture = Fixture::new();
    let code = |args: &[&str]| fixture.run(args).status.code().unwrap();
    assert_eq!(code(&["repo", "config", "--repo", "/nowhere/at/all"]), 10);
    assert_eq!(code(&["repo", "config", "--password", "wrong"]), 12);
    assert_eq!(code(&["repo", "init"]), 1);
    assert_eq!(code(&["backup", "/nowhere/at/all"]), 2);
    assert_eq!(code(&["ls", "latest"]), 1);
    assert_eq!(code(&["repo", "config", "--repo", "nothing:known"]), 2);
    assert_eq!(code(&["repo", "config", "--repo", "/nowhere:x"]), 10);
}

#[test]
fn passwords_change_and_locks_hold() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("new");
    fs::write(&file, "other\nsecond line\n").unwrap();
    let file = file.to_str().unwrap();
    fixture.ok(&["repo", "key", "add", "--new-password-file", file]);
    assert_eq!(
        fixture.json(&["repo", "key", "list", "--password", "other"]).as_array().unwrap().len(),
        2
    );
    fs::write(file, "third").unwrap();
    fixture.ok(&["repo", "key", "passwd", "--new-password-file", file]);
    assert_eq!(fixture.run(&["repo", "config"]).status.code(), Some(12));
    fixture.ok(&["repo", "config", "--password-file", file]);
    assert_eq!(fixture.ok(&["repo", "list", "locks", "--password", "third"]), "");
}

#[test]
fn restic_and_we_share_one_repository() {
    if !has_restic() {
        return;
    }
    let fixture = Fixture::new();
    fixture.backup(&[]);
    fixture.restic(&["backup", fixture.source().to_str().unwrap()]);
    // restic's snapshot is our parent: nothing is read again.
    let third = fixture.backup(&[]);
    assert_eq!(third["summary"]["files_unmodified"], 3);
    fixture.restic(&["check", "--read-data"]);
    fixture.restic(&["forget", "--keep-last", "1", "--prune"]);
    assert_eq!(fixture.ok(&["dump", &format!("latest:{}", below(&fixture, "a.txt"))]), "one\n");
    fixture.restic(&["tag", "--add", "seen", "latest"]);
    let place = fixture.place();
    let list = fixture.json(&["snapshot", "list", "--repo", place.to_str().unwrap()]);
    assert_eq!(list[0]["tags"], serde_json::json!(["seen"]));
    let restored = fixture.folder.path().join("restored");
    fixture.restic(&["restore", "latest", "--target", restored.to_str().unwrap()]);
    let copy = restored.join(fixture.source().strip_prefix("/").unwrap());
    assert_eq!(fs::read(copy.join("sub/dir/b.log")).unwrap(), b"two\n");
    assert!(Path::new(&copy).join("sub/empty").exists());
}

/// Do two folders hold the same?
fn same(a: &Path, b: &Path) -> bool {
    Command::new("diff").args(["-r", "--no-dereference"]).arg(a).arg(b).status().unwrap().success()
}

#[test]
fn what_is_saved_comes_back() {
    let fixture = Fixture::new();
    std::os::unix::fs::symlink("a.txt", fixture.source().join("link")).unwrap();
    fixture.backup(&[]);
    let target = fixture.folder.path().join("target");
    let target_text = target.to_str().unwrap();
    let part = format!("latest:{}", fixture.source().display());
    let report = fixture.json(&["restore", &part, "--target", target_text]);
    assert_eq!(
        (&report["complete"], &report["files"]),
        (&Value::Bool(true), &serde_json::json!(3))
    );
    assert!(same(&fixture.source(), &target));
    // What is there and right is not written again; what is wrong is; what is too much goes on request.
    fs::write(target.join("a.txt"), "bad\n").unwrap();
    fs::write(target.join("more"), "x").unwrap();
    let report = fixture.json(&["restore", &part, "--target", target_text, "--delete"]);
    assert_eq!(
        (&report["bytes_written"], &report["deleted"]),
        (&serde_json::json!(4), &serde_json::json!(1))
    );
    assert!(same(&fixture.source(), &target));
}

#[test]
fn checks_find_damage_and_restores_say_what_is_missing() {
    let fixture = Fixture::new();
    fs::write(
        fixture.source().join("large"),
        (0..3_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>(),
    )
    .unwrap();
    fixture.backup(&[]);
    assert!(fixture.ok(&["check", "--read-data"]).contains("0 errors"));
    damage(&fixture.largest_pack(), 1000, usize::MAX);
    assert!(fixture.ok(&["check"]).contains("0 errors"));
    assert_eq!(fixture.run(&["check", "--read-data"]).status.code(), Some(1));
    let target = fixture.folder.path().join("target");
    let output = fixture.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("missing in"));
}

#[test]
fn forgetting_and_pruning_leave_what_is_kept() {
    let fixture = Fixture::new();
    for round in 0..4 {
        fs::write(fixture.source().join("changing"), vec![round; 100_000]).unwrap();
        fixture.backup(&["--time", &format!("2026-01-0{}T12:00:00Z", round + 1)]);
    }
    fixture.backup(&["--time", "2026-02-01T12:00:00Z", "--delete-never"]);
    let place = fixture.place();
    let count = || {
        fixture
            .json(&["snapshot", "list", "--repo", place.to_str().unwrap()])
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(fixture.run(&["forget"]).status.code(), Some(2));
    fixture.ok(&["forget", "--keep-last", "2", "--dry-run"]);
    assert_eq!(count(), 5);
    fixture.ok(&["forget", "--keep-last", "2"]);
    assert_eq!(count(), 3, "two, and the protected one");
    assert_eq!(fixture.run(&["forget", "latest"]).status.code(), Some(1), "it is protected");
    let before = fixture.json(&["repo", "stats"])["data_blobs"]["count"].as_u64().unwrap();
    fixture.ok(&["prune", "--instant-delete", "--max-unused", "0%"]);
    let after = fixture.json(&["repo", "stats"])["data_blobs"]["count"].as_u64().unwrap();
    assert!(after < before, "{after} of {before}");
    assert!(fixture.ok(&["check", "--read-data"]).contains("0 errors"));
    if has_restic() {
        fixture.restic(&["check", "--read-data"]);
    }
}
