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
fn reports() {
    let world = World::up();
    assert_eq!(fields(&world.json("status")), documented("### A status"));
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
        ("fs delete home", 1, ["has 1 snapshots", "--force"]),
        ("snapshot update home@kept", 2, ["nothing to change", "--help"]),
        ("snapshot list --after soon", 2, ["--after", "soon"]),
        ("snapshot create home", 2, ["FS@NAME", "home@before-upgrade"]),
        ("snapshot create", 2, ["FS@NAME", "Usage: tintype snapshot create <FS@NAME>"]),
    ] {
        let said = world.fails(line, status);
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
    }
}
