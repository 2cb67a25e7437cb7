//! The commands that mend and rewrite repositories, as people use them; restic is the judge where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// A repository with two snapshots of a folder.
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fixture.source().join("sub")).unwrap();
        let large: Vec<u8> = (0..600_000u32).flat_map(u32::to_le_bytes).collect();
        fs::write(fixture.source().join("large"), large).unwrap();
        fs::write(fixture.source().join("sub/secret.key"), "key\n").unwrap();
        fixture.ok(&["repo", "init"]);
        fixture.backup("2026-01-01");
        fs::write(fixture.source().join("more"), "more\n").unwrap();
        fs::remove_file(fixture.source().join("sub/secret.key")).unwrap();
        fixture.backup("2026-01-02");
        fixture
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn backup(&self, time: &str) {
        self.ok(&["backup", self.source().to_str().unwrap(), "--time", time]);
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program, args).output().unwrap()
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("RESTIC_REPOSITORY", self.place())
            .env("RESTIC_PASSWORD", "secret")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program; gives its exit status and what it prints.
    fn tintype(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(env!("CARGO_BIN_EXE_tintype"), args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (status, text) = self.tintype(args);
        assert_eq!(status, Some(0), "{args:?}: {text}");
        text
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = self.run(env!("CARGO_BIN_EXE_tintype"), &args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"))
    }

    fn snapshots(&self) -> Vec<Value> {
        let place = self.place();
        let list = self.json(&["snapshot", "list", "--repo", place.to_str().unwrap()]);
        list.as_array().unwrap().clone()
    }

    /// Sound, by our own judgement and restic's.
    fn clean(&self) {
        let text = self.ok(&["check", "--read-data"]);
        assert!(text.contains("0 errors"), "{text}");
        if Command::new("restic").arg("version").output().is_err() {
            eprintln!("SKIPPED: restic is not installed");
            return;
        }
        let output = self.run("restic", &["--no-cache", "check", "--read-data"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The largest pack.
    fn largest(&self) -> PathBuf {
        let ids = self.ok(&["repo", "list", "packs"]);
        let paths = ids.lines().map(|id| self.place().join("data").join(&id[..2]).join(id));
        paths.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Changes a byte of a file that may not be written to.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_mended_as_check_says() {
    let fixture = Fixture::new();
    let victim = fixture.largest();
    damage(&victim);
    let check = fixture.json(&["check", "--read-data"]);
    assert_eq!(check["mend"], json!(["repair packs"]));
    let text = fixture.tintype(&["check", "--read-data"]).1;
    assert!(text.contains("to mend it: `tintype repair packs`"), "{text}");
    // By its first digits.
    let report = fixture.json(&["repair", "packs", &name(&victim)[..12]]);
    assert_eq!(
        (&report["packs"][0]["sound"], &report["packs"][0]["id"]),
        (&json!(false), &json!(name(&victim)))
    );
    assert_eq!(report["packs"][0]["lost"].as_array().unwrap().len(), 1);
    assert!(fixture.folder.path().join(format!("pack-{}", name(&victim))).exists());
    assert!(!victim.exists());
    assert_eq!(fixture.json(&["check"])["mend"], json!(["repair snapshots"]));
    let dry = fixture.ok(&["repair", "snapshots", "--dry-run"]);
    assert!(dry.contains("/large: 1 of") && dry.contains("would mend"), "{dry}");
    assert_eq!(fixture.snapshots().len(), 2);
    let report = fixture.json(&["repair", "snapshots", "--forget"]);
    assert_eq!((report["repaired"].as_array().unwrap().len(), &report["lost"]), (2, &json!(2)));
    assert!(report["losses"][0]["path"].as_str().unwrap().ends_with("/source/large"));
    assert_eq!(fixture.snapshots().len(), 2);
    fixture.clean();
    assert!(fixture.ok(&["repair", "packs"]).contains("no pack is damaged"));
    assert_eq!(fixture.json(&["check"])["mend"], json!([]));
}

#[test]
fn a_lost_index_comes_back() {
    let fixture = Fixture::new();
    for file in fs::read_dir(fixture.place().join("index")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let (status, text) = fixture.tintype(&["repair", "snapshots", "--forget"]);
    assert!(status == Some(1) && text.contains("tintype repair index"), "{text}");
    assert!(fixture.ok(&["repair", "index", "--dry-run"]).contains("would replace"));
    let report = fixture.json(&["repair", "index"]);
    assert_eq!((&report["right"], &report["gone"]), (&json!(false), &json!([])));
    assert!(fixture.ok(&["repair", "index", "--read-all"]).contains("the index is right"));
    fixture.clean();
}

#[test]
fn a_forgotten_snapshot_is_recovered() {
    let fixture = Fixture::new();
    assert!(fixture.ok(&["recover"]).contains("nothing to recover"));
    fixture.ok(&["forget", "latest"]);
    let found = fixture.json(&["recover"]);
    assert_eq!(found["folders"].as_array().unwrap().len(), 1);
    let all = fixture.snapshots();
    let made = all.iter().find(|snapshot| snapshot["id"] == found["snapshot_id"]).unwrap();
    assert_eq!(made["tags"], json!(["recovered"]));
    let file = format!(
        "/{}{}/more",
        found["folders"][0]["name"].as_str().unwrap(),
        fixture.source().display()
    );
    let id = found["snapshot_id"].as_str().unwrap();
    assert_eq!(fixture.ok(&["dump", &format!("{id}:{file}")]), "more\n");
    fixture.clean();
}

#[test]
fn snapshots_are_merged() {
    let fixture = Fixture::new();
    assert_eq!(fixture.tintype(&["merge", "latest"]).0, Some(2));
    assert_eq!(fixture.tintype(&["merge", "latest", "latest"]).0, Some(1));
    let merged = fixture.json(&[
        "merge",
        "latest",
        "latest~1",
        "--delete",
        "--label",
        "l",
        "--tag",
        "x,y",
        "--host",
        "h",
        "--description",
        "d",
        "--time",
        "2026-02-01T00:00:00Z",
    ]);
    assert_eq!(merged["deleted"].as_array().unwrap().len(), 2);
    assert_eq!(merged["summary"]["total_files_processed"], 3);
    let all = fixture.snapshots();
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (&one["label"], &one["tags"], &one["hostname"]),
        (&json!("l"), &json!(["x", "y"]), &json!("h"))
    );
    assert_eq!(one["parents"], merged["parents"]);
    let list = fixture.ok(&["ls", "latest"]);
    assert!(list.contains("secret.key") && list.contains("source/more"), "{list}");
    fixture.clean();
}

#[test]
fn files_are_taken_out_of_snapshots() {
    let fixture = Fixture::new();
    assert_eq!(fixture.tintype(&["rewrite"]).0, Some(2));
    fs::write(fixture.folder.path().join("patterns"), "# secrets\n*.key\n").unwrap();
    let dry = fixture.json(&["rewrite", "--exclude-file", "patterns", "--dry-run"]);
    assert_eq!(dry["rewritten"].as_array().unwrap().len(), 1);
    assert_eq!(dry["rewritten"][0]["new"], Value::Null);
    fixture.ok(&["rewrite", "--exclude-file", "patterns"]);
    assert_eq!(fixture.snapshots().len(), 3, "the old one stays");
    fixture.ok(&["rewrite", "--iexclude", "*.KEY", "--forget"]);
    let all = fixture.snapshots();
    assert!(
        all.len() == 3
            && all
                .iter()
                .all(|s| !fixture.ok(&["ls", s["id"].as_str().unwrap()]).contains("secret"))
    );
    fixture.ok(&[
        "rewrite",
        "latest",
        "--new-host",
        "other",
        "--new-time",
        "2026-03-01T00:00:00Z",
        "--forget",
    ]);
    let all = fixture.snapshots();
    let last = all.last().unwrap();
    assert_eq!(
        (all.len(), &last["hostname"], &last["time"]),
        (3, &json!("other"), &json!("2026-03-01T00:00:00Z"))
    );
    fixture.clean();
}

#[test]
fn protected_snapshots_stay() {
    let fixture = Fixture::new();
    fixture.ok(&["backup", fixture.source().to_str().unwrap(), "--delete-never"]);
    let (status, text) = fixture.tintype(&["rewrite", "--exclude", "more", "--forget"]);
    assert!(status == Some(1) && text.contains("is protected"), "{text}");
    let (status, text) = fixture.tintype(&["merge", "latest", "latest~1", "--delete"]);
    assert!(status == Some(1) && text.contains("is protected"), "{text}");
    assert_eq!(fixture.snapshots().len(), 3);
    fixture.clean();
}

#[test]
fn locks_are_taken_as_restic_takes_them() {
    let fixture = Fixture::new();
    // A backup that waits for its input holds a shared lock.
    let mut command =
        fixture.command(env!("CARGO_BIN_EXE_tintype"), &["backup", "--stdin", "--quiet"]);
    let mut backup = command.stdin(Stdio::piped()).spawn().unwrap();
    while fixture.ok(&["repo", "list", "locks"]).is_empty() {
        assert!(backup.try_wait().unwrap().is_none(), "the backup has ended");
    }
    for line in [
        "repair index",
        "repair packs",
        "repair snapshots",
        "recover",
        "merge latest latest~1 --delete",
        "rewrite --exclude more --forget",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(fixture.tintype(&words).0, Some(11), "{line}");
    }
    fixture.ok(&["merge", "latest", "latest~1"]);
    fixture.ok(&["rewrite", "--exclude", "more"]);
    drop(backup.stdin.take());
    assert!(backup.wait().unwrap().success());
    fixture.clean();
}

#[test]
fn hints_name_commands_that_exist() {
    let fixture = Fixture::new();
    for kind in ["index", "pack", "key", "lock", "snapshot"] {
        let (status, text) = fixture.tintype(&["repo", "cat", kind, "0000000000"]);
        if kind == "pack" {
            continue;
        }
        let hint = text.split('`').nth(1).unwrap();
        assert_eq!(status, Some(1));
        let words: Vec<&str> = hint.split_whitespace().skip(1).collect();
        fixture.ok(&words);
    }
}
