//! The commands that mend and rewrite repositories, as people use them; restic is the judge where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use repository::{Fixture, damage};
use serde_json::{Value, json};

/// A repository with two snapshots of a folder.
fn two_snapshots() -> Fixture {
    let fixture = Fixture::empty();
    fs::create_dir_all(fixture.path("source/sub")).unwrap();
    let large: Vec<u8> = (0..600_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(fixture.path("source/large"), large).unwrap();
    fs::write(fixture.path("source/sub/secret.key"), "key\n").unwrap();
    fixture.ok(&["repo", "init"]);
    fixture.backup(&["--time", "2026-01-01"]);
    fs::write(fixture.path("source/more"), "more\n").unwrap();
    fs::remove_file(fixture.path("source/sub/secret.key")).unwrap();
    fixture.backup(&["--time", "2026-01-02"]);
    fixture
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn damage_is_mended_as_check_says() {
    let fixture = two_snapshots();
    let victim = fixture.largest_pack();
    damage(&victim, 1000, usize::MAX);
    let check = fixture.json_of_any(&["check", "--read-data"]);
    assert_eq!(check["mend"], json!(["repair packs"]));
    let text = fixture.said(&["check", "--read-data"]).1;
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
    assert_eq!(fixture.json_of_any(&["check"])["mend"], json!(["repair snapshots"]));
    let dry = fixture.ok(&["repair", "snapshots", "--dry-run"]);
    assert!(dry.contains("/large: 1 of") && dry.contains("would mend"), "{dry}");
    assert_eq!(fixture.snapshots(&[]).len(), 2);
    let report = fixture.json(&["repair", "snapshots", "--forget"]);
    assert_eq!((report["repaired"].as_array().unwrap().len(), &report["lost"]), (2, &json!(2)));
    assert!(report["losses"][0]["path"].as_str().unwrap().ends_with("/source/large"));
    assert_eq!(fixture.snapshots(&[]).len(), 2);
    fixture.clean();
    assert!(fixture.ok(&["repair", "packs"]).contains("no pack is damaged"));
    assert_eq!(fixture.json(&["check"])["mend"], json!([]));
}

#[test]
fn snapshots_that_cannot_be_read_go_on_request() {
    let fixture = two_snapshots();
    let lost = fixture.snapshots(&[])[0]["id"].as_str().unwrap().to_owned();
    let file = fixture.place().join("snapshots").join(&lost);
    damage(&file, 20, usize::MAX);
    let bytes = fs::read(&file).unwrap();
    assert_eq!(fixture.said(&["prune"]).0, Some(1), "what it needs is not known");
    let text = fixture.ok(&["repair", "snapshots"]);
    assert!(text.contains(&format!("snapshot {lost} cannot be read")), "{text}");
    assert!(text.contains("--forget-unreadable"), "{text}");
    let dry = fixture.json(&["repair", "snapshots", "--forget-unreadable", "--dry-run"]);
    assert_eq!((&dry["removed"], &dry["unreadable"][0]["id"]), (&json!([]), &json!(lost)));
    assert!(file.exists());
    // Without a place for the copy nothing is removed.
    let line = ["repair", "snapshots", "--forget-unreadable", "--copies", "nowhere"];
    assert_eq!(fixture.said(&line).0, Some(1));
    assert!(file.exists());
    assert_eq!(fixture.said(&["repair", "snapshots", "latest", "--forget-unreadable"]).0, Some(2));
    assert_eq!(fixture.json(&["recover"])["folders"].as_array().unwrap().len(), 1);
    let report = fixture.json(&["repair", "snapshots", "--forget-unreadable"]);
    assert_eq!(report["removed"][0]["id"], json!(lost));
    assert!(!file.exists());
    assert_eq!(fs::read(fixture.path(&format!("snapshot-{lost}"))).unwrap(), bytes);
    assert_eq!(fixture.snapshots(&[]).len(), 2, "the other, and what was recovered");
    fixture.ok(&["prune"]);
    fixture.clean();
}

#[test]
fn a_lost_index_comes_back() {
    let fixture = two_snapshots();
    for file in fs::read_dir(fixture.place().join("index")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let (status, text) = fixture.said(&["repair", "snapshots", "--forget"]);
    assert!(status == Some(1) && text.contains("tintype repair index"), "{text}");
    assert!(fixture.ok(&["repair", "index", "--dry-run"]).contains("would replace"));
    let report = fixture.json(&["repair", "index"]);
    assert_eq!((&report["right"], &report["gone"]), (&json!(false), &json!([])));
    assert!(fixture.ok(&["repair", "index", "--read-all"]).contains("the index is right"));
    fixture.clean();
}

#[test]
fn a_forgotten_snapshot_is_recovered() {
    let fixture = two_snapshots();
    assert!(fixture.ok(&["recover"]).contains("nothing to recover"));
    fixture.ok(&["forget", "latest"]);
    let found = fixture.json(&["recover"]);
    assert_eq!(found["folders"].as_array().unwrap().len(), 1);
    let all = fixture.snapshots(&[]);
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
    let fixture = two_snapshots();
    assert_eq!(fixture.said(&["merge", "latest"]).0, Some(2));
    assert_eq!(fixture.said(&["merge", "latest", "latest"]).0, Some(1));
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
    let all = fixture.snapshots(&[]);
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (&one["label"], &one["tags"], &one["host"]),
        (&json!("l"), &json!(["x", "y"]), &json!("h"))
    );
    assert_eq!(one["parents"], merged["parents"]);
    let list = fixture.ok(&["ls", "latest"]);
    assert!(list.contains("secret.key") && list.contains("source/more"), "{list}");
    fixture.clean();
}

#[test]
fn files_are_taken_out_of_snapshots() {
    let fixture = two_snapshots();
    assert_eq!(fixture.said(&["rewrite"]).0, Some(2));
    fs::write(fixture.folder.path().join("patterns"), "# secrets\n*.key\n").unwrap();
    let dry = fixture.json(&["rewrite", "--exclude-file", "patterns", "--dry-run"]);
    assert_eq!(dry["rewritten"].as_array().unwrap().len(), 1);
    assert_eq!(dry["rewritten"][0]["new"], Value::Null);
    fixture.ok(&["rewrite", "--exclude-file", "patterns"]);
    assert_eq!(fixture.snapshots(&[]).len(), 3, "the old one stays");
    fixture.ok(&["rewrite", "--iexclude", "*.KEY", "--forget"]);
    let all = fixture.snapshots(&[]);
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
    let all = fixture.snapshots(&[]);
    let last = all.last().unwrap();
    assert_eq!(
        (all.len(), &last["host"], &last["time"]),
        (3, &json!("other"), &json!("2026-03-01T00:00:00Z"))
    );
    fixture.clean();
}

#[test]
fn protected_snapshots_stay() {
    let fixture = two_snapshots();
    fixture.ok(&["backup", fixture.source().to_str().unwrap(), "--delete-never"]);
    let (status, text) = fixture.said(&["rewrite", "--exclude", "more", "--forget"]);
    assert!(status == Some(1) && text.contains("is protected"), "{text}");
    let (status, text) = fixture.said(&["merge", "latest", "latest~1", "--delete"]);
    assert!(status == Some(1) && text.contains("is protected"), "{text}");
    assert_eq!(fixture.snapshots(&[]).len(), 3);
    fixture.clean();
}

#[test]
fn locks_are_taken_as_restic_takes_them() {
    let fixture = two_snapshots();
    // A backup that waits for its input holds a shared lock.
    let mut command = fixture.command(env!("CARGO_BIN_EXE_tintype"));
    let mut backup =
        command.args(["backup", "--stdin", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
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
        assert_eq!(fixture.said(&words).0, Some(11), "{line}");
    }
    fixture.ok(&["merge", "latest", "latest~1"]);
    fixture.ok(&["rewrite", "--exclude", "more"]);
    drop(backup.stdin.take());
    assert!(backup.wait().unwrap().success());
    fixture.clean();
}

#[test]
fn hints_name_commands_that_exist() {
    let fixture = two_snapshots();
    for kind in ["index", "pack", "key", "lock", "snapshot"] {
        let (status, text) = fixture.said(&["repo", "cat", kind, "0000000000"]);
        if kind == "pack" {
            continue;
        }
        let hint = text.split('`').nth(1).unwrap();
        assert_eq!(status, Some(1));
        let words: Vec<&str> = hint.split_whitespace().skip(1).collect();
        fixture.ok(&words);
    }
}
