//! Disks as users meet them: the commands, and real NBD clients.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::World;

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &said
}

/// The URI of a disk, or of one of its snapshots.
fn uri(world: &World, disk: &str, snapshot: Option<&str>) -> String {
    let uri = world.json(&format!("disk show {disk}"))["nbd_uri"].as_str().unwrap().to_owned();
    match snapshot {
        Some(snapshot) => uri.replacen(&format!("/{disk}"), &format!("/{disk}%40{snapshot}"), 1),
        None => uri,
    }
}

/// Runs commands of qemu-io, which fails when a pattern does not fit.
fn io(uri: &str, commands: &[&str]) {
    let mut args = vec!["-f", "raw"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.push(uri);
    let said = run("qemu-io", &args);
    assert!(!said.contains("failed") && !said.contains("error"), "{commands:?}: {said}");
}

fn ranges(changes: &Value) -> Vec<(u64, u64)> {
    let list = changes["ranges"].as_array().unwrap().iter();
    list.map(|r| (r["offset"].as_u64().unwrap(), r["length"].as_u64().unwrap())).collect()
}

#[test]
fn a_disk_keeps_its_moments() {
    let world = World::up();
    world.ok("disk create d --size 64M");
    let live = uri(&world, "d", None);
    io(&live, &["write -P 0x11 0 8M", "write -P 0x22 32M 4k", "flush"]);
    world.ok("snapshot create d@a");
    io(&live, &["write -P 0x33 1M 64k", "write -z -u 32M 4k", "write -P 0x11 4M 4k", "flush"]);

    // What was written with the same bytes is no change.
    let changes = world.json("disk changes d@a d");
    assert_eq!(ranges(&changes), [(1 << 20, 65536), (32 << 20, 4096)]);
    assert_eq!(changes["size"], 64 << 20);
    let coarse = world.json("disk changes d@a d --granularity 1M");
    assert_eq!(ranges(&coarse), [(1 << 20, 1 << 20), (32 << 20, 1 << 20)]);
    let diff = world.json("snapshot diff d@a d --ranges");
    assert_eq!(
        (&diff["entries"][0]["object"], &diff["entries"][0]["change"]),
        (&"disk".into(), &"modified".into())
    );
    let map = run("nbdinfo", &["--map=qemu:dirty-bitmap:a", "--json", &live]);
    let map: Vec<Value> = serde_json::from_str(&map).unwrap();
    let dirty: Vec<u64> =
        map.iter().filter(|e| e["type"] == 1).map(|e| e["offset"].as_u64().unwrap()).collect();
    assert_eq!(dirty, [1 << 20, 4 << 20, 32 << 20], "{map:?}");

    let old = uri(&world, "d", Some("a"));
    run(
        "qemu-io",
        &["-r", "-f", "raw", "-c", "read -P 0x11 0 8M", "-c", "read -P 0x22 32M 4k", &old],
    );
    let info = run("nbdinfo", &[&old]);
    assert!(info.contains("is_read_only: true") && info.contains("can_multi_conn: true"), "{info}");

    world.ok("snapshot clone d@a copy");
    io(&uri(&world, "copy", None), &["read -P 0x11 1M 64k", "write -P 0x55 0 4k", "flush"]);
    let space = world.json("snapshot space d@a")["bytes"].as_u64().unwrap();
    assert!(space < 200 << 10, "{space}");
    world.ok("snapshot restore d@a --keep undo");
    io(&live, &["read -P 0x11 0 8M", "read -P 0x22 32M 4k"]);
    world.ok("snapshot delete d@a");
    io(&uri(&world, "copy", None), &["read -P 0x55 0 4k", "read -P 0x11 4k 4M"]);
    for moment in ["d", "d@undo", "copy"] {
        assert_eq!(world.json(&format!("disk verify {moment}"))["clean"], true, "{moment}");
    }
    assert_eq!(world.json("fsck")["clean"], true);
    assert_eq!(world.json("scrub")["clean"], true);
}

#[test]
fn sizes_names_and_refusals() {
    let world = World::up();
    world.ok("disk create d --size 1G --capacity 10G");
    world.ok("fs create home");
    let info = world.json("disk resize d 2G");
    assert_eq!(info["size"], 2_u64 << 30);
    assert!(world.fails("disk resize d 1G", 1).contains("--shrink"));
    assert_eq!(world.json("disk resize d 512M --shrink")["size"], 512 << 20);
    assert_eq!(world.json("disk rename d e")["name"], "e");
    assert_eq!(world.json("disk set e --capacity none")["capacity"], Value::Null);
    world.ok("snapshot create e@a");
    for (line, words) in [
        ("disk create e --size 1M", ["disk e", "exists"]),
        ("disk create home --size 1M", ["filesystem home", "exists"]),
        ("disk create f --size 1000", ["multiple of 512", "10G"]),
        ("disk show home", ["filesystem home", "no disk"]),
        ("fs show e", ["disk e", "no filesystem"]),
        ("fs mount e m", ["disk e", "no filesystem"]),
        ("disk show f", ["disk f", "disk list"]),
        ("disk changes e home", ["filesystem home", "no disk"]),
        ("disk changes e@a e --granularity 5000", ["granularity 5000", "power of two"]),
        ("disk delete e", ["has a snapshot", "--force"]),
    ] {
        let said = world.fails(line, 1);
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
    }
    let gone = world.json("disk delete e --force")["deleted"].clone();
    assert_eq!(gone, serde_json::json!(["e", "e@a"]));
    assert_eq!(world.json("status")["disks"], 0);
}

#[test]
fn an_open_client_goes_on_after_a_kill() {
    let mut world = World::up();
    world.ok("disk create d --size 64M");
    let options = format!(
        "driver=raw,file.driver=nbd,file.path={},file.export=d,file.reconnect-delay=60",
        world.path("socket.nbd").display()
    );
    let mut client = Command::new("qemu-io")
        .args(["--image-opts", &options])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut answers = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut ask = |command: &str, wanted: &str| {
        writeln!(input, "{command}").unwrap();
        loop {
            let line = answers.next().unwrap().unwrap();
            assert!(!line.contains("failed") && !line.contains("error"), "{command}: {line}");
            if line.contains(wanted) {
                return;
            }
        }
    };
    for round in 1..4 {
        ask(&format!("write -P {round} {round}M 1M"), "wrote");
        ask(&format!("write -f -P {round} 20M 64k"), "wrote");
        world.stop("-KILL");
        world.start(&[]);
        ask(&format!("read -P {round} 20M 64k"), "read");
    }
    drop(input);
    client.wait().unwrap();
    io(&uri(&world, "d", None), &["read -P 1 1M 1M", "read -P 2 2M 1M", "read -P 3 3M 1M"]);
    assert_eq!(world.json("fsck")["clean"], true);
}
