//! What the options of a backup choose, what a dry run leaves alone, and what differs between snapshots: each option by what it changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use repository::{Fixture, has_restic};
use serde_json::{Value, json};

/// What the latest snapshot has below the source, files and folders.
fn held(fixture: &Fixture) -> BTreeSet<String> {
    let tree = fixture.ok(&["ls", &format!("latest:{}", fixture.source().display())]);
    let start = format!("{}/", fixture.source().display());
    tree.lines().map(|line| line.strip_prefix(&start).unwrap().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list(fixture: &Fixture) -> Vec<Value> {
    let place = fixture.place();
    let list = fixture.json(&["snapshot", "list", "--repo", place.to_str().unwrap()]);
    list.as_array().unwrap().clone()
}

fn show(fixture: &Fixture, id: &str) -> Value {
    fixture.json(&["snapshot", "show", id, "--repo", fixture.place().to_str().unwrap()])
}

/// All files of the repository and their content.
fn image(at: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let output = Command::new("find").arg(at).args(["-type", "f"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|path| (path.to_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_snapshot_says_what_it_was_told() {
    let fixture = Fixture::new();
    fixture.backup(&["--tag", "b,a", "--tag", "c", "--label", "l", "--description", "d"]);
    let plain = show(&fixture, "latest");
    assert_eq!(plain["tags"], json!(["a", "b", "c"]));
    assert_eq!((&plain["label"], &plain["description"]), (&json!("l"), &json!("d")));
    assert_eq!((&plain["delete"], &plain["parent"]), (&Value::Null, &Value::Null));
    assert_eq!(plain["original"], plain["id"]);
    assert_eq!(plain["paths"], json!([fixture.source().to_str().unwrap()]));
    let told = ["--host", "other", "--time", "2026-03-04T05:06:07+01:00", "--delete-never"];
    let id = fixture.backup(&told)["snapshot_id"].as_str().unwrap().to_owned();
    let other = show(&fixture, &id);
    assert_eq!((&other["host"], &other["delete"]), (&json!("other"), &json!("never")));
    assert_eq!(other["time"], "2026-03-04T04:06:07Z");
    let until = fixture.backup(&["--delete-after", "2100-01-01T00:00:00Z"]);
    let until = show(&fixture, until["snapshot_id"].as_str().unwrap());
    assert_eq!(until["delete"], json!({ "after": "2100-01-01T00:00:00Z" }));
    let span = fixture.backup(&["--delete-after", "30d"])["snapshot_id"].clone();
    assert!(show(&fixture, span.as_str().unwrap())["delete"]["after"].is_string());
    // Protected: neither by id nor by rules, and the others go.
    assert_eq!(fixture.run(&["forget", &id]).status.code(), Some(1));
    fixture.backup(&[]);
    fixture.ok(&["forget", "--keep-last", "1", "--group-by", ""]);
    let left: Vec<Value> = list(&fixture).iter().map(|one| one["id"].clone()).collect();
    assert!(
        left.contains(&json!(id)) && left.contains(&until["id"]) && !left.contains(&plain["id"])
    );
}

#[test]
fn parents_spare_reading_and_are_named() {
    let fixture = Fixture::new();
    let lone = |name: &str, host: &str| {
        let path = fixture.source().join(name);
        let saved = fixture.json(&["backup", path.to_str().unwrap(), "--host", host]);
        saved["snapshot_id"].as_str().unwrap().to_owned()
    };
    // Neither of these two is the latest of the same paths and machine.
    let (a, b) = (lone("a.txt", "x"), lone("sub", "y"));
    let fresh = fixture.backup(&["--force"]);
    assert_eq!(fresh["summary"]["files_unmodified"], 0);
    fixture.ok(&[
        "snapshot",
        "delete",
        fresh["snapshot_id"].as_str().unwrap(),
        "--repo",
        fixture.place().to_str().unwrap(),
    ]);
    let one = fixture.backup(&["--parent", &a, "--host", "z"]);
    assert_eq!(one["summary"]["files_unmodified"], 1);
    let both = fixture.backup(&["--parent", &a, "--parent", &b, "--host", "w"]);
    assert_eq!(both["summary"]["files_unmodified"], 3);
    let shown = show(&fixture, both["snapshot_id"].as_str().unwrap());
    assert_eq!((&shown["parent"], &shown["parents"]), (&json!(a), &json!([a, b])));
    assert_eq!(fixture.run(&["backup", "/", "--parent", "0123"]).status.code(), Some(1));
}

#[test]
fn signs_of_change_are_ignored_one_by_one() {
    let fixture = Fixture::new();
    let file = fixture.source().join("a.txt");
    let path = file.to_str().unwrap();
    let unmodified = |options: &[&str]| {
        let saved = fixture.json(&[&["backup", path], options].concat());
        saved["summary"]["files_unmodified"].as_u64().unwrap()
    };
    unmodified(&[]);
    assert_eq!(unmodified(&[]), 1);
    // The same times and the same content in another inode.
    let other = file.with_extension("other");
    fs::copy(&file, &other).unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let times = fs::FileTimes::new().set_modified(modified);
    fs::File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
    fs::rename(&other, &file).unwrap();
    // Dry runs leave the parent as it is.
    assert_eq!(unmodified(&["--dry-run"]), 0);
    assert_eq!(unmodified(&["--dry-run", "--ignore-ctime"]), 0);
    assert_eq!(unmodified(&["--dry-run", "--ignore-inode"]), 0);
    assert_eq!(unmodified(&["--dry-run", "--ignore-ctime", "--ignore-inode"]), 1);
    assert_eq!(unmodified(&[]), 0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(unmodified(&["--dry-run", "--ignore-inode"]), 0);
    assert_eq!(unmodified(&["--dry-run", "--ignore-ctime"]), 1);
}

#[test]
fn patterns_choose() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.source().join(name);
    fs::write(at("UPPER.TMP"), "").unwrap();
    fs::write(at("exact.bak"), "").unwrap();
    fs::write(at("EXACT.BAK"), "").unwrap();
    fs::write(at("kept.log"), "").unwrap();
    let file = fixture.folder.path().join("patterns");
    fs::write(&file, "# not a pattern\n\n  *.log  \n!kept.log\n").unwrap();
    fixture.backup(&[
        "--iexclude",
        "*.tmp",
        "--exclude",
        "*.bak",
        "--exclude-file",
        file.to_str().unwrap(),
    ]);
    let wanted = ["EXACT.BAK", "a.txt", "kept.log", "sub", "sub/dir", "sub/empty"];
    assert_eq!(held(&fixture), set(&wanted));
    assert_eq!(
        show(&fixture, "latest")["excludes"],
        json!(["*.bak", "*.log", "!kept.log", "*.tmp"])
    );
    assert_eq!(fixture.run(&["backup", "/", "--exclude", "["]).status.code(), Some(2));
}

#[test]
fn markers_and_sizes_choose() {
    let fixture = Fixture::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = fixture.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    file("any/.nobackup", b"");
    file("right/.header", b"begins so, and goes on");
    file("wrong/.header", b"begins otherwise");
    file("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    file("nocache/CACHEDIR.TAG", b"Signature: something else\n");
    file("large", &[7; 4097]);
    file("small", &[7; 4096]);
    let all = held_with(&fixture, &[]);
    assert!(all.contains("any/.nobackup") && all.contains("cache") && all.contains("large"));
    let without = |options: &[&str]| {
        let less = held_with(&fixture, options);
        all.difference(&less).filter(|path| !path.contains('/')).cloned().collect::<Vec<_>>()
    };
    assert_eq!(without(&["--exclude-if-present", ".nobackup"]), ["any"]);
    assert_eq!(without(&["--exclude-if-present", ".header:begins so"]), ["right"]);
    assert_eq!(without(&["--exclude-if-present", ".header"]), ["right", "wrong"]);
    assert_eq!(without(&["--exclude-caches"]), ["cache"]);
    assert_eq!(without(&["--exclude-larger-than", "4K"]), ["large"]);
}

fn held_with(fixture: &Fixture, options: &[&str]) -> BTreeSet<String> {
    fixture.backup(options);
    held(fixture)
}

#[test]
fn git_rules_choose() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.source().join(".git/info")).unwrap();
    fs::write(fixture.source().join(".git/info/exclude"), "empty\n").unwrap();
    fs::write(fixture.source().join(".gitignore"), "*.log\nexclude\n").unwrap();
    let all = held_with(&fixture, &[]);
    let chosen = held_with(&fixture, &["--gitignore"]);
    let gone: Vec<_> = all.difference(&chosen).collect();
    assert_eq!(gone, ["sub/dir/b.log", "sub/empty"]);
}

#[test]
fn other_filesystems_are_left_out() {
    let fixture = Fixture::new();
    let mounted = fixture.source().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&mounted).status();
    if !mount.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("TINTYPE_REQUIRE_FUSE").is_none(), "mounting is not possible");
        eprintln!("SKIPPED: mounting needs privileges");
        return;
    }
    fs::write(mounted.join("elsewhere"), "x").unwrap();
    let all = held_with(&fixture, &[]);
    let here = held_with(&fixture, &["--one-file-system"]);
    let unmounted = Command::new("umount").arg(&mounted).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(all.difference(&here).collect::<Vec<_>>(), ["mounted/elsewhere"]);
}

#[test]
fn lists_of_paths_are_read_in_three_ways() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.source().join(name).to_str().unwrap().to_owned();
    fs::write(at(" spaced "), "").unwrap();
    fs::write(at("#hash\nline"), "").unwrap();
    let saved = |option: &str, text: &str| {
        let file = fixture.folder.path().join("list");
        fs::write(&file, text).unwrap();
        fixture.ok(&["backup", option, file.to_str().unwrap(), "--force"]);
        held(&fixture)
    };
    let trimmed =
        saved("--files-from", &format!("# x\n\n  {}  \n{}\n", at("a.txt"), at("sub/empty")));
    assert_eq!(trimmed, set(&["a.txt", "sub", "sub/empty"]));
    assert_eq!(
        saved("--files-from-verbatim", &format!("{}\n", at(" spaced "))),
        set(&[" spaced "])
    );
    let raw = format!("{}\0{}\0", at("#hash\nline"), at("a.txt"));
    fs::write(fixture.folder.path().join("list"), raw).unwrap();
    let list = fixture.folder.path().join("list");
    let done = fixture.json(&["backup", "--files-from-raw", list.to_str().unwrap()]);
    assert_eq!(done["summary"]["total_files_processed"], 2);
    assert_eq!(fixture.run(&["backup", "--files-from", "/nowhere"]).status.code(), Some(1));
}

#[test]
fn lists_hold_patterns_as_restics_do() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.source().join(name).to_str().unwrap().to_owned();
    for name in ["x.c", "y.c", ".h.c", "[z].c", "star*"] {
        fs::write(at(name), name).unwrap();
    }
    let list = fixture.path("list");
    let line = ["backup", "--files-from", list.to_str().unwrap(), "--force"];
    let lists = [
        (at("*.c"), vec![".h.c", "[z].c", "x.c", "y.c"]),
        (at("[xy].c"), vec!["x.c", "y.c"]),
        (at("?.c"), vec!["x.c", "y.c"]),
        (at("\\[z\\].c"), vec!["[z].c"]),
        // Nothing fits, and it is there as it stands.
        (at("[z].c"), vec!["[z].c"]),
        (at("star\\*"), vec!["star*"]),
        (at("*/*/*.log"), vec!["sub", "sub/dir", "sub/dir/b.log"]),
        (format!("{}\n{}", at("x.*"), at("no*")), vec!["x.c"]),
    ];
    for (text, wanted) in lists {
        fs::write(&list, &text).unwrap();
        fixture.ok(&line);
        assert_eq!(held(&fixture), set(&wanted), "{text}");
        if has_restic() && !text.contains("/[z].c") {
            fixture.restic(&["backup", "--files-from", list.to_str().unwrap(), "--force"]);
            assert_eq!(held(&fixture), set(&wanted), "restic, {text}");
        }
    }
    // Of patterns alone that fit nothing there is nothing to save; one that is no pattern is a mistake.
    fs::write(&list, at("no*")).unwrap();
    let (status, text) = fixture.said(&line);
    assert!(status == Some(2) && text.contains("fits nothing"), "{text}");
    fs::write(&list, format!("{}\n{}", at("[x"), at("x.c"))).unwrap();
    assert_eq!(fixture.said(&line).0, Some(2));
    // A path that is not there costs only itself.
    fs::write(&list, format!("{}\n{}", at("missing"), at("x.c"))).unwrap();
    let (status, text) = fixture.said(&line);
    assert!(status == Some(3) && text.contains("missing: not saved"), "{text}");
    assert_eq!(held(&fixture), set(&["x.c"]));
    if has_restic() {
        let mut restic = fixture.command("restic");
        restic.args(["--no-cache", "backup", "--files-from", list.to_str().unwrap(), "--force"]);
        // Its exit status depends on its version.
        assert!(restic.output().unwrap().status.code().is_some());
        assert_eq!(held(&fixture), set(&["x.c"]));
    }
}

#[test]
fn filters_choose_what_is_listed() {
    let fixture = Fixture::new();
    let other = fixture.path("other");
    fs::create_dir(&other).unwrap();
    let save = |path: &str, time: &str, more: &[&str]| {
        let line = ["backup", path, "--time", time];
        let line: Vec<&str> = line.iter().chain(more).copied().collect();
        fixture.ok(&line);
    };
    let source = fixture.source().to_str().unwrap().to_owned();
    let other = other.to_str().unwrap();
    save(&source, "2026-01-01T00:00:00Z", &["--host", "a", "--tag", "x,y", "--label", "l"]);
    save(&source, "2026-01-02T00:00:00Z", &["--host", "b", "--tag", "x"]);
    save(other, "2026-01-03T00:00:00Z", &["--host", "a", "--tag", "z"]);
    let days = |filters: &[&str]| -> Vec<String> {
        let all = fixture.snapshots(filters).into_iter();
        all.map(|one| one["time"].as_str().unwrap()[8..10].to_owned()).collect()
    };
    assert_eq!(days(&[]), ["01", "02", "03"]);
    assert_eq!(days(&["--host", "a"]), ["01", "03"]);
    assert_eq!(days(&["--tag", "x"]), ["01", "02"]);
    assert_eq!(days(&["--tag", "x,y"]), ["01"]);
    assert_eq!(days(&["--tag", "x,y", "--tag", "z"]), ["01", "03"]);
    assert_eq!(days(&["--label", "l"]), ["01"]);
    assert_eq!(days(&["--path", other]), ["03"]);
    assert_eq!(days(&["--path", other, "--path", &source]), Vec::<String>::new());
    assert_eq!(days(&["--after", "2026-01-02T00:00:00Z"]), ["02", "03"]);
    assert_eq!(days(&["--before", "2026-01-02T00:00:00Z"]), ["01"]);
    assert_eq!(days(&["--host", "a", "--tag", "x", "--before", "2026-01-02"]), ["01"]);
}

#[test]
fn an_unchanged_backup_can_be_skipped() {
    let fixture = Fixture::new();
    // From inside the folder: those above it change while other tests run.
    let backup = |options: &[&str]| {
        let mut command = fixture.command(env!("CARGO_BIN_EXE_tintype"));
        command.args(["backup", ".", "--json"]).args(options).current_dir(fixture.source());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["snapshot_id"].is_string()
    };
    assert!(backup(&["--skip-if-unchanged"]));
    assert!(!backup(&["--skip-if-unchanged"]));
    assert!(backup(&[]));
    fs::write(fixture.source().join("a.txt"), "more\n").unwrap();
    assert!(backup(&["--skip-if-unchanged"]));
    assert_eq!(list(&fixture).len(), 3);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let fixture = Fixture::new();
    fs::write(
        fixture.source().join("large"),
        (0..900_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>(),
    )
    .unwrap();
    let before = image(&fixture.place());
    // Not a byte can be written, not even a lock.
    for dir in ["data", "index", "snapshots", "locks", "keys"] {
        fs::set_permissions(fixture.place().join(dir), fs::Permissions::from_mode(0o500)).unwrap();
    }
    let dry = fixture.backup(&["--dry-run"]);
    assert_eq!(image(&fixture.place()), before);
    for dir in ["data", "index", "snapshots", "locks", "keys"] {
        fs::set_permissions(fixture.place().join(dir), fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!((&dry["dry_run"], &dry["snapshot_id"]), (&json!(true), &Value::Null));
    let real = fixture.backup(&[]);
    for count in
        ["files_new", "data_blobs", "tree_blobs", "data_added_files", "total_bytes_processed"]
    {
        assert_eq!(dry["summary"][count], real["summary"][count], "{count}");
    }
    // Of what is there already nothing would be added.
    let again = fixture.backup(&["--dry-run", "--force"]);
    assert_eq!(again["summary"]["data_blobs"], 0);
    assert_eq!(list(&fixture).len(), 1);
}

#[test]
fn differences_are_those_of_volumes() {
    let fixture = Fixture::new();
    let at = |name: &str| fixture.source().join(name);
    std::os::unix::fs::symlink("a.txt", at("link")).unwrap();
    fs::write(at("swap"), "").unwrap();
    fixture.backup(&[]);
    fs::write(at("a.txt"), "longer\n").unwrap();
    fs::remove_file(at("sub/empty")).unwrap();
    fs::create_dir(at("new")).unwrap();
    fs::write(at("new/file"), "1234").unwrap();
    fs::set_permissions(at("sub/dir/b.log"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(at("swap")).unwrap();
    fs::create_dir(at("swap")).unwrap();
    fixture.backup(&[]);
    let place = fixture.place();
    let inside = |snap: &str| format!("{snap}:{}", fixture.source().display());
    let (from, to) = (inside("latest~1"), inside("latest"));
    let line = ["snapshot", "diff", &from, &to, "--repo", place.to_str().unwrap()];
    let diff = fixture.json(&line);
    let entries: Vec<(&str, &str, &str, u64)> = diff["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap();
            (text("path"), text("object"), text("change"), entry["size"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("/a.txt", "file", "modified", 7),
            ("/new", "dir", "added", 0),
            ("/new/file", "file", "added", 4),
            ("/sub", "dir", "attributes", 0),
            ("/sub/dir/b.log", "file", "attributes", 4),
            ("/sub/empty", "file", "deleted", 0),
            ("/swap", "file", "deleted", 0),
            ("/swap", "dir", "added", 0),
        ]
    );
    assert!(diff["from"].as_str().unwrap().ends_with(fixture.source().to_str().unwrap()));
    let text = fixture.ok(&line);
    assert!(text.starts_with("M /a.txt\n+ /new/\n+ /new/file\n"), "{text}");
    let same =
        fixture.json(&["snapshot", "diff", "latest", "latest", "--repo", place.to_str().unwrap()]);
    assert_eq!(same["entries"], json!([]));
    let file = format!("{}/a.txt", inside("latest"));
    let output =
        fixture.run(&["snapshot", "diff", &file, &file, "--repo", place.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_new_repository_can_cut_as_another_does() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let other = fixture.folder.path().join("other");
    let (place, other) = (fixture.place(), other.to_str().unwrap().to_owned());
    let from = ["--from-repo", place.to_str().unwrap(), "--from-password", "secret"];
    let with =
        |line: &[&str]| line.iter().chain(&from).map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let run = |line: &[String]| fixture.run(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let alone = run(&with(&["repo", "init", "--repo", &other]));
    assert_eq!(alone.status.code(), Some(2));
    assert!(
        run(&with(&["repo", "init", "--repo", &other, "--copy-chunker-params"])).status.success()
    );
    let polynomial = |repo: &str| {
        fixture.json(&["repo", "config", "--repo", repo])["chunker_polynomial"].clone()
    };
    assert_eq!(polynomial(&other), polynomial(place.to_str().unwrap()));
    let copied = run(&with(&["copy", "--repo", &other]));
    let said = String::from_utf8_lossy(&copied.stderr).into_owned();
    assert!(copied.status.success() && !said.contains("cut"), "{said}");
    // Where cuts differ, that is said; and a dry run counts what would be copied.
    let third = fixture.folder.path().join("third").to_str().unwrap().to_owned();
    fixture.ok(&["repo", "init", "--repo", &third]);
    let before = image(Path::new(&third));
    let dry = run(&with(&["copy", "--repo", &third, "--dry-run", "--json"]));
    assert!(String::from_utf8_lossy(&dry.stderr).contains("cut"));
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert!(dry["blobs"].as_u64().unwrap() > 3 && dry["copied"][0]["new"].is_null());
    assert_eq!(image(Path::new(&third)), before);
    let real = run(&with(&["copy", "--repo", &third, "--json"]));
    let real: Value = serde_json::from_slice(&real.stdout).unwrap();
    assert_eq!(real["blobs"], dry["blobs"]);
    if has_restic() {
        fixture.restic(&["check", "--read-data", "-r", &third]);
    }
}
