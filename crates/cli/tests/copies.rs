//! Copies between repositories, and the verbs that change snapshots of one, as people use them; restic is the judge where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs;
use std::path::{Path, PathBuf};

use repository::{Fixture, has_restic};
use serde_json::Value;

/// Two repositories with passwords of their own; the first has two snapshots. Commands are lines.
struct Two(Fixture);

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

impl Two {
    fn new() -> Self {
        let fixture = Self(Fixture::empty());
        fs::create_dir(fixture.path("source")).unwrap();
        fs::write(fixture.path("source/a"), vec![7; 300_000]).unwrap();
        fs::write(fixture.path("other-password"), "other\n").unwrap();
        fixture.ok("repo init");
        fixture.ok("backup source --time 2026-01-01 --tag x --host one");
        fs::write(fixture.path("source/b"), "second").unwrap();
        fixture.ok("backup source --time 2026-01-02 --tag y --host two");
        fixture.ok("repo init --repo other --password-file other-password");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn ok(&self, line: &str) -> String {
        self.0.ok(&words(line))
    }

    fn json(&self, line: &str) -> Value {
        self.0.json(&words(line))
    }

    fn fails(&self, line: &str, status: i32) -> String {
        let (code, said) = self.0.said(&words(line));
        assert_eq!(code, Some(status), "{line}: {said}");
        said
    }

    fn restic_check(&self, options: &str) {
        if has_restic() {
            self.0.restic(&words(&format!("check --read-data {options}")));
        }
    }
}

const COPY: &str = "copy --from-repo repo --repo other --password-file other-password";
const OTHER: &str = "--repo other --password-file other-password";

#[test]
fn a_copy_run_again_adds_nothing() {
    let fixture = Two::new();
    let planned = fixture.json(&format!("{COPY} --dry-run"));
    assert_eq!(planned["copied"].as_array().unwrap().len(), 2);
    assert_eq!(fixture.json(&format!("snapshot list {OTHER}")), serde_json::json!([]));

    let one = fixture.json(&format!("{COPY} --tag x"));
    assert_eq!(one["copied"].as_array().unwrap().len(), 1);
    assert!(one["blobs"].as_u64().unwrap() > 0);
    let rest = fixture.json(COPY);
    let counts = |copied: &Value| {
        let len = |key: &str| copied[key].as_array().unwrap().len();
        (len("copied"), len("there"))
    };
    assert_eq!(counts(&rest), (1, 1));
    let again = fixture.json(COPY);
    assert_eq!((counts(&again), &again["blobs"], &again["bytes"]), ((0, 2), &0.into(), &0.into()));

    fixture.restic_check(&OTHER.replace("--repo", "-r"));
    fixture.ok(&format!("restore latest --target back {OTHER}"));
    let found = walk(&fixture.path("back"));
    assert!(found.iter().any(|file| file.ends_with("source/b")), "{found:?}");
    let originals: Vec<Value> = fixture
        .json("snapshot list --repo repo")
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].clone())
        .collect();
    let copies = fixture.json(&format!("snapshot list {OTHER}"));
    assert!(copies.as_array().unwrap().iter().all(|copy| originals.contains(&copy["original"])));
    assert!(fixture.fails("copy --repo other", 2).contains("--from-repo"));
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn an_update_keeps_the_first_id() {
    let fixture = Two::new();
    let before = fixture.json("snapshot show latest --repo repo");
    let line = "snapshot update latest --repo repo --add-tag z --label l --description d \
                --delete-never --host three --time 2026-02-01";
    let after = fixture.json(line);
    assert_eq!(after["original"], before["id"]);
    assert_ne!(after["id"], before["id"]);
    assert_eq!(after["tags"], serde_json::json!(["y", "z"]));
    assert_eq!((&after["host"], &after["label"]), (&"three".into(), &"l".into()));
    assert_eq!((&after["description"], &after["tree"]), (&"d".into(), &before["tree"]));
    let id = after["id"].as_str().unwrap();
    let said = fixture.fails(&format!("snapshot delete {id} --repo repo"), 1);
    assert!(said.contains("protected") && said.contains("--delete-anytime"), "{said}");
    let free = fixture.json(&format!("snapshot update {id} --repo repo --delete-anytime"));
    assert_eq!(free["original"], before["id"]);
    let id = free["id"].as_str().unwrap();
    assert_eq!(fixture.json(&format!("snapshot delete {id} --repo repo"))["deleted"][0], id);
    assert_eq!(fixture.json("snapshot list --repo repo").as_array().unwrap().len(), 1);
    assert!(fixture.fails("snapshot update latest --repo repo", 2).contains("nothing to change"));
    assert!(fixture.fails("snapshot update latest --repo repo --name n", 2).contains("--name"));
    fixture.restic_check("");
}

#[test]
fn filters_choose_what_latest_means() {
    let fixture = Two::new();
    let source = fixture.path("source").display().to_string();
    let lists = |options: &str| fixture.ok(&format!("ls latest {options}")).contains("source/b");
    assert!(lists("") && lists("--host two") && lists("--tag y"));
    assert!(!lists("--host one") && !lists("--tag x") && !lists("--host one --host three"));
    let shown = |line: &str| fixture.json(line)["host"].clone();
    assert_eq!(shown("snapshot show latest --repo repo --tag x"), "one");
    assert_eq!(shown(&format!("snapshot show latest --repo repo --path {source}")), "two");
    assert!(fixture.fails("ls latest --host nobody", 1).contains("latest"));
    assert!(fixture.fails("ls latest~1 --host one", 1).contains("latest~1"));
    assert_eq!(fixture.ok("dump latest:/source/b --host two"), "second");
    assert!(
        fixture.ok("find b --host one").is_empty() && !fixture.ok("find b --host two").is_empty()
    );
    fixture.ok("restore latest --tag x --target back");
    assert_eq!(walk(&fixture.path("back")).len(), 1);
}

#[test]
fn a_dry_run_saves_nothing_and_git_decides_what_is_left_out() {
    let fixture = Two::new();
    let files = |fixture: &Two| {
        let mut all = walk(&fixture.path("repo"));
        all.sort();
        all
    };
    let before = files(&fixture);
    fs::write(fixture.path("source/c"), vec![9; 100_000]).unwrap();
    let summary = fixture.json("backup source --dry-run --host two");
    assert_eq!((&summary["dry_run"], &summary["snapshot_id"]), (&true.into(), &Value::Null));
    assert_eq!(summary["summary"]["files_new"], 1);
    assert_eq!(files(&fixture), before);

    let tree = fixture.path("source");
    fs::create_dir_all(tree.join(".git/info")).unwrap();
    fs::create_dir(tree.join("sub")).unwrap();
    fs::write(tree.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    for (name, text) in [
        (".git/info/exclude", "c\n"),
        (".gitignore", "*.o\n"),
        ("sub/.gitignore", "!keep.o\n"),
        ("x.o", ""),
        ("sub/y.o", ""),
        ("sub/keep.o", ""),
    ] {
        fs::write(tree.join(name), text).unwrap();
    }
    fixture.ok("backup source --gitignore");
    let listed = fixture.ok("ls latest");
    let has = |path: &str| listed.lines().any(|line| line.ends_with(path));
    assert!(has("source/a") && has("sub/keep.o") && has(".gitignore"), "{listed}");
    assert!(!has("x.o") && !has("y.o") && !has("source/c"), "{listed}");
}

#[test]
fn filters_of_a_copy_choose_latest_and_leave_ids_alone() {
    let fixture = Two::new();
    let id = |line: &str| fixture.json(line)["id"].clone();
    let (one, two) = (
        id("snapshot show latest --repo repo --host one"),
        id("snapshot show latest --repo repo --host two"),
    );
    let copied = |line: &str| -> Vec<Value> {
        let list = fixture.json(line)["copied"].as_array().unwrap().clone();
        list.iter().map(|copy| copy["id"].clone()).collect()
    };
    assert_eq!(copied(&format!("{COPY} latest --host one")), [one]);
    assert_eq!(copied(&format!("{COPY} {} --host one", two.as_str().unwrap())), [two]);
    assert!(fixture.fails(&format!("{COPY} latest --host nobody"), 1).contains("latest"));
}
