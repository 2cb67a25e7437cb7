//! The repository's commands as people use them, with restic as the other side where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A repository, and a folder with some files.
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fixture.source().join("sub/dir")).unwrap();
        fs::write(fixture.source().join("a.txt"), "one\n").unwrap();
        fs::write(fixture.source().join("sub/dir/b.log"), "two\n").unwrap();
        fs::write(fixture.source().join("sub/empty"), "").unwrap();
        fixture.ok(&["repo", "init"]);
        fixture
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("TINTYPE_REPOSITORY", self.place())
            .env("RESTIC_REPOSITORY", self.place())
            .env("RESTIC_PASSWORD", "secret")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_tintype")).args(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        text(self.run(args), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    fn backup(&self, more: &[&str]) -> Value {
        let source = self.source();
        let args: Vec<&str> =
            ["backup", source.to_str().unwrap()].iter().chain(more).copied().collect();
        self.json(&args)
    }

    fn restic(&self, args: &[&str]) -> String {
        text(self.command("restic").arg("--no-cache").args(args).output().unwrap(), args)
    }
}

fn text(output: Output, args: &[&str]) -> String {
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

fn has_restic() -> bool {
    let there = Command::new("restic").arg("version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: restic is not installed");
    }
    there
}

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
        (&serde_json::json!(["x", "y"]), &serde_json::json!("Never"))
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
fn failures_have_restics_exit_statuses() {
    let fixture = Fixture::new();
    let code = |args: &[&str]| fixture.run(args).status.code().unwrap();
    assert_eq!(code(&["repo", "config", "--repo", "/nowhere/at/all"]), 10);
    assert_eq!(code(&["repo", "config", "--password", "wrong"]), 12);
    assert_eq!(code(&["repo", "init"]), 1);
    assert_eq!(code(&["backup", "/nowhere/at/all"]), 2);
    assert_eq!(code(&["ls", "latest"]), 1);
    assert_eq!(code(&["repo", "config", "--repo", "nothing:known"]), 10);
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
