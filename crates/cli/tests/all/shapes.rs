//! What `--json` prints is what `docs/cli.md` says.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::World;

const MANUAL: &str = include_str!("../../../../docs/cli.md");

/// The fields of the first table below a heading, without the optional ones.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, rest) = MANUAL.split_once(&format!("{heading}\n")).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with("| `"));
    let required = rows.filter(|row| !row.contains("optional"));
    required.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn filesystems() {
    let world = World::up();
    let wanted = documented("### A filesystem");
    assert_eq!(fields(&world.json("fs create home --quota 10G")), wanted);
    assert_eq!(fields(&world.json("fs show home")), wanted);
    assert_eq!(fields(&world.json("fs set home --quota none --compression off")), wanted);
    assert_eq!(fields(&world.json("fs rename home house")), wanted);
    let list = world.json("fs list");
    assert_eq!((list[0]["name"].as_str(), list[0]["quota"].is_null()), (Some("house"), true));
    assert_eq!(world.json("sync house")["synced"], serde_json::json!(["house"]));
    assert_eq!(world.json("fs delete house")["deleted"], serde_json::json!(["house"]));
}

#[test]
fn disks() {
    let world = World::up();
    let wanted = documented("### A disk");
    assert_eq!(fields(&world.json("disk create d --size 1G")), wanted);
    assert_eq!(fields(&world.json("disk show d")), wanted);
    assert_eq!(fields(&world.json("disk set d --compression off")), wanted);
    assert_eq!(world.json("disk list")[0]["name"], "d");
    world.ok("snapshot create d@a");
    assert_eq!(fields(&world.json("snapshot restore d@a")["disk"]), wanted);
    assert_eq!(fields(&world.json("snapshot clone d@a e")), wanted);
    let changes = world.json("disk changes d@a e");
    assert_eq!(fields(&changes), documented("### Changes of a disk"));
    let verified = world.json("disk verify d@a");
    assert_eq!((&verified["clean"], &verified["moment"]), (&true.into(), &"d@a".into()));
}

#[test]
fn snapshots() {
    let world = World::up();
    world.ok("fs create home");
    let wanted = documented("### A snapshot");
    let made = world.json("snapshot create home@a --tag y,x --delete-after 30d --label l");
    assert_eq!(fields(&made), wanted);
    assert_eq!(made["tags"], serde_json::json!(["x", "y"]));
    assert!(made["delete"]["after"].is_string());
    assert!(made["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(made["reclaimable_bytes"], 0);
    let list = world.json("snapshot list home --tag x --label l --after 1h");
    assert_eq!((list.as_array().unwrap().len(), &list[0]), (1, &made));
    assert_eq!(world.json("snapshot list --before 1h"), serde_json::json!([]));
    let update = "snapshot update home@a --delete-anytime --writable --add-tag z --remove-tag y";
    let updated = world.json(update);
    assert_eq!(fields(&updated), wanted);
    assert_eq!((&updated["writable"], &updated["delete"]), (&true.into(), &Value::Null));
    assert_eq!(updated["tags"], serde_json::json!(["x", "z"]));
    assert_eq!(world.json("snapshot space home@a")["bytes"], 0);
    let restored = world.json("snapshot restore home@a --keep b");
    assert_eq!((&restored["kept"], &restored["restored"]), (&"home@b".into(), &"home@a".into()));
    assert_eq!(fields(&restored["filesystem"]), documented("### A filesystem"));
    assert_eq!(world.json("snapshot clone home@b copy")["name"], "copy");
    let diff = world.json("snapshot diff home@b home");
    assert_eq!(fields(&diff), documented("### A diff"));
    // A name that is given twice is one deletion.
    let gone = world.json("snapshot delete home@a home@b home@a");
    assert_eq!(gone["deleted"], serde_json::json!(["home@a", "home@b"]));
}

#[test]
fn snapshots_of_repositories() {
    let world = World::empty();
    let here = "--repo backups --password secret";
    std::fs::write(world.path("letter"), "x").unwrap();
    world.ok(&format!("repo init {here}"));
    world.ok(&format!("backup letter {here} --tag y,x"));
    let wanted = documented("### A snapshot of a repository");
    let list = world.json(&format!("snapshot list {here}"));
    assert_eq!(fields(&list[0]), wanted);
    assert_eq!(list[0]["tags"], serde_json::json!(["x", "y"]));
    let of_volumes = documented("### A snapshot");
    for name in ["id", "time", "tags", "label", "description", "delete", "host", "user", "original"]
    {
        assert!(of_volumes.contains(name) && wanted.contains(name), "{name}");
    }
    assert_eq!(world.json(&format!("snapshot show latest {here}")), list[0]);
    let updated = world.json(&format!("snapshot update latest {here} --label l"));
    assert_eq!(fields(&updated), wanted);
    let saved = world.json(&format!("backup letter {here}"));
    assert_eq!(fields(&saved), documented("### A backup"));
    let copied =
        world.json(&format!("copy {here} --from-repo backups --from-password secret --dry-run"));
    assert_eq!(fields(&copied), documented("### A copy"));
    let diff = world.json(&format!("snapshot diff latest~1 latest {here}"));
    assert_eq!(fields(&diff), documented("### A diff"));
}

#[test]
fn reports() {
    let world = World::up();
    assert_eq!(fields(&world.json("status")), documented("### A status"));
    let wanted = documented("### A task");
    let task = world.json("fsck --task");
    assert_eq!(fields(&task), wanted);
    assert_eq!(fields(&world.json(&format!("task wait {}", task["id"].as_str().unwrap()))), wanted);
    assert_eq!(fields(&world.json("task list")[0]), wanted);
    let mut check = documented("### A check and a scrub");
    check.remove("bytes");
    assert_eq!(fields(&world.json("fsck")), check);
    check.remove("checked");
    check.insert("bytes".into());
    assert_eq!(fields(&world.json("scrub")), check);
}

#[test]
fn generated_texts() {
    let world = World::empty();
    assert!(world.ok("completions bash").contains("tintype"));
    assert_eq!(world.json("completions fish")["shell"], "fish");
    let pages = world.json("man pages")["files"].as_array().unwrap().len();
    assert!(pages > 20, "{pages}");
    assert!(world.path("pages/tintype-snapshot-diff.1").exists());
}

#[test]
fn a_bad_tag_is_shown_once() {
    let long = "x".repeat(300);
    let said = World::empty().fails(&format!("snapshot create home@a --tag {long}"), 2);
    assert_eq!(said.matches(&long).count(), 1, "{said}");
    assert!(said.contains("--tag") && said.contains("255 bytes"), "{said}");
}

#[test]
fn failures_name_the_object_and_the_remedy() {
    let world = World::up();
    world.ok("fs create home");
    world.ok("snapshot create home@kept --delete-never");
    for (line, status, words) in [
        ("fs show nowhere", 1, ["filesystem nowhere", "fs list"]),
        ("snapshot show home@x", 1, ["snapshot home@x", "snapshot list home"]),
        ("snapshot delete home@kept", 1, ["protected", "--delete-anytime"]),
        ("fs create home", 1, ["filesystem home", "another name"]),
        ("fs delete home", 1, ["has a snapshot", "--force"]),
        ("snapshot update home@kept", 2, ["nothing to change", "--help"]),
        ("snapshot list --after soon", 2, ["--after", "soon"]),
        ("snapshot create home", 2, ["FS@NAME", "home@before-upgrade"]),
        ("snapshot create", 2, ["FS@NAME", "Usage: tintype snapshot create <FS@NAME>"]),
    ] {
        let said = world.fails(line, status);
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
    }
}

/// The one line on standard error of a command that fails under `--json`.
fn refused(world: &World, line: &str, status: i32) -> Value {
    let said = world.fails(&format!("{line} --json"), status);
    assert_eq!((said.lines().count(), said.ends_with('\n')), (1, true), "{line}: {said}");
    let error: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(fields(&error), documented("### An error"), "{line}");
    assert_eq!((&error["event"], &error["status"]), (&"error".into(), &status.into()), "{line}");
    error
}

#[test]
fn failures_are_objects_for_programs() {
    let world = World::up();
    let error = refused(&world, "fs show nowhere", 1);
    assert_eq!(error["object"], "filesystem nowhere");
    assert_eq!(error["message"], "filesystem nowhere: does not exist");
    assert_eq!(error["kind"], "not-found");
    assert!(error["remedy"].as_str().unwrap().contains("fs list"), "{error}");
    // What the program itself refuses, and what clap does.
    let error = refused(&world, "snapshot list --after soon", 2);
    assert!(error["message"].as_str().unwrap().starts_with("--after"), "{error}");
    let error = refused(&world, "fs create home --quota much", 2);
    assert!(error["message"].as_str().unwrap().contains("--quota"), "{error}");
    assert!(error["remedy"].as_str().unwrap().contains("--help"), "{error}");
    let error = refused(&world, "snapshot", 2);
    assert!(error["remedy"].as_str().unwrap().contains("Usage"), "{error}");
    let error = refused(&world, "fsck --store missing", 1);
    assert!(error["object"].as_str().unwrap().contains("missing"), "{error}");
    let error = refused(&world, "status --socket nothing", 1);
    assert!(error["message"].as_str().unwrap().contains("no server answers"), "{error}");
}

#[test]
fn failures_of_repositories_are_objects_for_programs() {
    let world = World::empty();
    let error = refused(&world, "snapshot list --repo backups --password secret", 10);
    assert!(error["message"].as_str().unwrap().contains("backups"), "{error}");
    assert!(error["remedy"].as_str().unwrap().contains("repo init"), "{error}");
    world.ok("repo init --repo backups --password secret");
    refused(&world, "check --repo backups --password wrong", 12);
    refused(&world, "dump latest:/x --repo backups --password secret", 1);
    refused(&world, "backup --repo backups --password secret", 2);
}
