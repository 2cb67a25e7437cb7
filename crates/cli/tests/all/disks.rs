//! Disks as users meet them: the commands, and real NBD clients.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tintype_testkit::Certs;

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

/// A client that stays connected and is told what to do line by line.
struct Open {
    client: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Open {
    /// Options of QEMU's NBD driver behind `driver=nbd,`.
    fn new(world: &World, export: &str, more: &str) -> Self {
        let options = format!(
            "driver=raw,file.driver=nbd,file.path={},file.export={export}{more}",
            world.path("socket.nbd").display()
        );
        let read_only = more.contains("read-only").then_some("-r");
        let mut client = Command::new("qemu-io")
            .args(read_only)
            .args(["--image-opts", &options])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let input = client.stdin.take().unwrap();
        let answers = BufReader::new(client.stdout.take().unwrap()).lines();
        Self { client, input, answers }
    }

    /// Sends a command; the first line of the answer that has one of these words.
    fn say(&mut self, command: &str, wanted: &[&str]) -> String {
        writeln!(self.input, "{command}").unwrap();
        loop {
            let line = self.answers.next().unwrap().unwrap();
            if wanted.iter().any(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// Sends a command that must succeed.
    fn ask(&mut self, command: &str, wanted: &str) {
        let line = self.say(command, &[wanted, "failed", "error"]);
        assert!(!line.contains("failed") && !line.contains("error"), "{command}: {line}");
    }

    fn leave(mut self) {
        drop(self.input);
        self.client.wait().unwrap();
    }
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
    for (line, status, words) in [
        ("disk create e --size 1M", 1, ["disk e", "exists"]),
        ("disk create home --size 1M", 1, ["filesystem home", "exists"]),
        ("disk create f --size 1000", 2, ["multiple of 512", "10G"]),
        ("disk show home", 2, ["filesystem home", "no disk"]),
        ("fs show e", 2, ["disk e", "no filesystem"]),
        ("fs mount e m", 2, ["disk e", "no filesystem"]),
        ("disk show f", 1, ["disk f", "disk list"]),
        ("disk changes e home", 2, ["filesystem home", "no disk"]),
        ("disk changes e@a e --granularity 5000", 2, ["granularity 5000", "power of two"]),
        ("disk delete e", 1, ["has a snapshot", "--force"]),
    ] {
        let said = world.fails(line, status);
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
    let mut client = Open::new(&world, "d", ",file.reconnect-delay=60");
    for round in 1..4 {
        client.ask(&format!("write -P {round} {round}M 1M"), "wrote");
        client.ask(&format!("write -f -P {round} 20M 64k"), "wrote");
        world.stop("-KILL");
        world.start(&[]);
        client.ask(&format!("read -P {round} 20M 64k"), "read");
    }
    client.leave();
    io(&uri(&world, "d", None), &["read -P 1 1M 1M", "read -P 2 2M 1M", "read -P 3 3M 1M"]);
    assert_eq!(world.json("fsck")["clean"], true);
}

#[test]
fn other_machines_come_in_with_certificates_only() {
    let mut world = World::empty();
    let certs = Certs::new();
    let file = |name: &str| certs.path().join(name).display().to_string();
    let (cert, key, ca) = (file("server-cert.pem"), file("server-key.pem"), file("ca-cert.pem"));
    let old = certs.expired().display().to_string();
    let mut start = |address: &str, more: &[(&str, &str)]| {
        let more = more.iter().flat_map(|(option, value)| [*option, *value]);
        let all: Vec<&str> = ["--listen-disks", address].into_iter().chain(more).collect();
        world.try_start(&all).map(|()| world.path("socket.nbd"))
    };
    let (any, local) = ("0.0.0.0:0", "127.0.0.1:0");
    let ours = [("--nbd-cert", cert.as_str()), ("--nbd-key", key.as_str())];
    for (address, options, words) in [
        (any, vec![], ["0.0.0.0:0", "without TLS", "--nbd-cert"]),
        (any, ours.to_vec(), ["0.0.0.0:0", "certificate of their own", "--nbd-client-ca"]),
        (local, vec![ours[0]], ["--nbd-cert", "--nbd-key", "required"]),
        (local, vec![ours[0], ("--nbd-key", "none.pem")], ["none.pem", "read the key", "user"]),
        (local, vec![ours[0], ("--nbd-key", &ca)], [&ca, "TLS key", "--nbd-key"]),
        (local, vec![("--nbd-cert", &old), ours[1]], [&old, "expired", "--nbd-cert"]),
        (local, vec![("--nbd-cert", &key), ours[1]], [&key, "no certificate", "--nbd-cert"]),
        (
            local,
            [&ours[..], &[("--nbd-client-ca", &key)]].concat(),
            [&key, "no certificate", "--nbd-client-ca"],
        ),
    ] {
        let said = start(address, &options).unwrap_err();
        assert!(words.iter().all(|word| said.contains(word)), "{options:?}: {said}");
    }
    start(any, &[&ours[..], &[("--nbd-client-ca", &ca)]].concat()).unwrap();
    let said = world.ok("disk create d --size 16M");
    assert!(said.contains("nbd+unix:///d?"), "{said}");
    io(&uri(&world, "d", None), &["write -P 0x44 1M 1M", "flush"]);

    let shown = world.json("disk show d")["nbd_network_uri"].as_str().unwrap().to_owned();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(shown.starts_with(&format!("nbds://{}:", host.trim())), "{shown}");
    // The certificate is one of localhost.
    let port: u16 = shown.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let place = format!("nbds://localhost:{port}/d?tls-certificates={}", certs.path().display());
    let info = run("nbdinfo", &[&place]);
    assert!(info.contains("with TLS") && info.contains("export-size: 16777216"), "{info}");
    let copy = world.path("copy.raw").display().to_string();
    let creds = format!("tls-creds-x509,id=t,endpoint=client,dir={}", certs.path().display());
    let image = format!(
        "driver=nbd,server.type=inet,server.host=localhost,server.port={port},export=d,tls-creds=t"
    );
    run("qemu-img", &["convert", "--object", &creds, "--image-opts", &image, "-O", "raw", &copy]);
    let copied = std::fs::read(&copy).unwrap();
    assert!(copied[1 << 20..2 << 20] == [0x44; 1 << 20] && copied[..1 << 20] == [0; 1 << 20]);
    // Neither without TLS, nor without a certificate that our authority has signed.
    let stranger = Certs::new();
    std::fs::write(stranger.path().join("ca-cert.pem"), certs.pem("ca-cert.pem")).unwrap();
    for place in [
        format!("nbd://localhost:{port}/d"),
        format!("nbds://localhost:{port}/d?tls-certificates={}", stranger.path().display()),
    ] {
        let output = Command::new("nbdinfo").arg(&place).output().unwrap();
        assert!(!output.status.success(), "{place}: {output:?}");
    }
    let addresses = world.json("status")["addresses"].to_string();
    assert!(
        addresses.contains(&format!(":{port}")) && addresses.contains("nbds://"),
        "{addresses}"
    );
}

#[test]
fn clients_see_another_size_when_they_come_again() {
    let world = World::up();
    world.ok("disk create d --size 8M");
    world.ok("disk create other --size 8M");
    let mut other = Open::new(&world, "other", "");
    other.ask("write -P 9 0 4k", "wrote");
    let sizes = |world: &World| {
        let info = run("nbdinfo", &["--json", &uri(world, "d", None)]);
        let info: Value = serde_json::from_str(&info).unwrap();
        info["exports"][0]["export-size"].as_u64().unwrap()
    };
    for (change, size) in [
        ("disk resize d 16M", 16 << 20),
        ("disk resize d 4M --shrink", 4 << 20),
        ("snapshot restore d@small", 2 << 20),
    ] {
        if change.contains("restore") {
            world.ok("disk resize d 2M --shrink");
            world.ok("snapshot create d@small");
            world.ok("disk resize d 16M");
        }
        let mut client = Open::new(&world, "d", "");
        client.ask("write -P 0x77 1M 64k", "wrote");
        world.ok(change);
        // The connection is gone, and nothing that was answered is.
        let said = client.say("read 0 4k", &["failed", "read 4096/4096"]);
        assert!(said.contains("failed"), "{change}: {said}");
        client.leave();
        assert_eq!(sizes(&world), size, "{change}");
        if !change.contains("restore") {
            io(&uri(&world, "d", None), &["read -P 0x77 1M 64k"]);
        }
    }
    // A restore to the same size, and a new name, leave clients alone.
    let mut client = Open::new(&world, "d", "");
    client.ask("write -P 0x78 1M 64k", "wrote");
    world.ok("snapshot restore d@small");
    world.ok("disk rename d e");
    client.ask("write -P 0x79 1M 4k", "wrote");
    client.ask("flush", "");
    // Clients of other disks hear nothing of all that.
    other.ask("read -P 9 0 4k", "read");
    other.leave();
    // What clients use is not deleted by accident; what they have open under its old name neither.
    let said = world.fails("disk delete e", 1);
    for word in ["disk e", "has a snapshot", "--force"] {
        assert!(said.contains(word), "{said}");
    }
    world.ok("snapshot delete e@small");
    let said = world.fails("disk delete e", 1);
    for word in ["disk e", "in use", "1 connection", "--force"] {
        assert!(said.contains(word), "{said}");
    }
    world.ok("disk create d --size 1M");
    world.ok("disk delete d");
    client.ask("read -P 0x79 1M 4k", "read");
    world.ok("disk delete e --force");
    let said = client.say("read 0 4k", &["failed", "read 4096/4096"]);
    assert!(said.contains("failed"), "{said}");
    client.leave();
    assert_eq!(world.json("fsck")["clean"], true);
}

#[test]
fn a_snapshot_that_is_deleted_lets_its_clients_go() {
    let world = World::up();
    world.ok("disk create d --size 8M");
    let live = uri(&world, "d", None);
    io(&live, &["write -P 0x11 0 4M", "flush"]);
    world.ok("snapshot create d@a");
    world.ok("snapshot create d@w --writable");
    io(&live, &["write -P 0x22 0 4M", "flush"]);
    let mut old = Open::new(&world, "d@a", ",read-only=on");
    let mut writable = Open::new(&world, "d@w", "");
    old.ask("read -P 0x11 0 4M", "read");
    writable.ask("write -P 0x33 0 4k", "wrote");
    world.ok("snapshot delete d@a d@w");
    for mut client in [old, writable] {
        let said = client.say("read 0 64k", &["failed", "read 65536/65536"]);
        assert!(said.contains("failed"), "{said}");
        client.leave();
    }
    io(&live, &["read -P 0x22 0 4M"]);
}

/// Flips a byte of every place in the segments where `pattern` lies.
fn flip(store: &Path, pattern: &[u8]) {
    let mut flipped = 0;
    for entry in std::fs::read_dir(store.join("segments")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(mut bytes) = std::fs::read(&path) else { continue };
        let places = bytes.windows(pattern.len()).enumerate();
        let places: Vec<usize> =
            places.filter(|(_, window)| *window == pattern).map(|(at, _)| at).collect();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        flipped += places.len();
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(flipped > 0, "the pattern lies nowhere");
}

#[test]
fn damage_names_the_disk_and_the_place() {
    let mut world = World::up();
    // Uncompressed, so that the test finds it.
    world.ok("disk create d --size 64M --compression off");
    world.ok("fs create home");
    let live = uri(&world, "d", None);
    // As much as a segment is used for: what is small lies in the records.
    let mut random = tintype_testkit::Rng::new(7);
    let (one, other) = (random.bytes(1 << 20), random.bytes(1 << 20));
    std::fs::write(world.path("one"), &one).unwrap();
    std::fs::write(world.path("other"), &other).unwrap();
    let dir = world.dir.path().display().to_string();
    let write = |file: &str, at: &str| format!("write -s {dir}/{file} {at} 1M");
    io(&live, &["write -P 0x11 0 1M", "flush"]);
    io(&live, &[&write("one", "40M"), "flush"]);
    io(&live, &[&write("other", "41M"), "flush"]);
    world.ok("snapshot create d@a");
    world.ok("snapshot create d@b");
    io(&live, &["write -P 0x66 41M 1M", "flush"]);
    assert_eq!(world.json("fsck --all")["clean"], true);
    assert_eq!(world.stop("-TERM"), Some(0));
    // The second block of each.
    flip(&world.path("store"), &one[4096..4200]);
    flip(&world.path("store"), &other[4096..4200]);
    world.start(&[]);

    let scrub = world.json_of("scrub", 1);
    let mut objects: Vec<(String, String)> = scrub["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (text(&f["object"]), text(&f["problem"])))
        .collect();
    objects.sort();
    // A part is as long as what lies together.
    let has = |moment: &str, place: u64, tail: &str| {
        objects.iter().any(|(object, problem)| {
            let range = object.strip_prefix(&format!("{moment}, bytes ")).unwrap_or("0 to 0");
            let (from, to) = range.split_once(" to ").unwrap();
            let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
            (from..to).contains(&place) && to - from <= 1 << 20 && problem.ends_with(tail)
        })
    };
    let (first, second) = ((40_u64 << 20) + 4096, (41_u64 << 20) + 4096);
    assert!(has("disk d", first, "; also in d@a, d@b"), "{objects:?}");
    assert!(has("snapshot d@a", second, "; also in d@b"), "{objects:?}");

    for (moment, object) in [("d", "disk d"), ("d@b", "snapshot d@b")] {
        let verified = world.json_of(&format!("disk verify {moment}"), 1);
        let found = text(&verified["findings"][0]["object"]);
        assert_eq!(found, format!("{object}, bytes {first} to {}", first + 4096));
    }
    // Who reads it hears where it is, and so does the log; what is whole can be read.
    let bad = run_fails("nbdcopy", &[&live, "null:"]);
    assert!(bad.contains("Input/output error"), "{bad}");
    io(&live, &["read -P 0x11 0 1M", "read -P 0x66 41M 1M"]);
    assert!(world.log().contains(&format!("disk d, byte {first}: ")), "{}", world.log());
    // Writing it again is a cure of the live disk.
    io(&live, &[&write("one", "40M"), "flush", "read 40M 1M"]);
    assert_eq!(world.json("disk verify d")["clean"], true);
}

/// What a command of qemu-io that must fail says.
fn refused(uri: &str, command: &str) -> String {
    let output = Command::new("qemu-io").args(["-f", "raw", "-c", command, uri]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn run_fails(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(!output.status.success(), "{program} {args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn limits_tell_what_helps() {
    let world = World::up();
    world.ok("disk create d --size 1G --quota 4M --capacity 64M");
    let shown = world.json("disk show d");
    assert_eq!((&shown["quota"], &shown["capacity"]), (&(4 << 20).into(), &(64 << 20).into()));
    let live = uri(&world, "d", None);
    io(&live, &["write -P 1 0 4M", "flush"]);
    assert!(refused(&live, "write 8M 4k").contains("No space left"));
    io(&live, &["discard 0 1M", "write -P 2 8M 1M", "flush"]);
    assert_eq!(world.json("disk set d --quota none")["quota"], Value::Null);
    io(&live, &["write -P 2 16M 32M", "flush"]);
    world.ok("snapshot create d@a");
    assert!(refused(&live, "write -P 3 16M 32M").contains("No space left"));
    // As a clone its own limits count.
    world.ok("snapshot clone d@a c");
    assert_eq!(world.json("disk show c")["capacity"], 64 << 20);
    world.ok("disk set d --capacity none");
    io(&live, &["write -P 3 16M 32M", "flush"]);
}

#[test]
fn writable_snapshots_go_their_own_way_over_the_wire() {
    let world = World::up();
    world.ok("disk create d --size 32M");
    let live = uri(&world, "d", None);
    io(&live, &["write -P 0x11 0 8M", "flush"]);
    world.ok("snapshot create d@base");
    world.ok("snapshot create d@w --source d@base --writable");
    let list = run("nbdinfo", &["--list", "--json", &live]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let names = |list: &Value| -> Vec<(String, bool)> {
        let exports = list["exports"].as_array().unwrap().iter();
        let one = |e: &Value| (text(&e["export-name"]), e["is_read_only"] == true);
        exports.map(one).collect()
    };
    let mut found = names(&list);
    found.sort();
    let wanted = [("d", false), ("d@base", true), ("d@w", false)];
    assert_eq!(found, wanted.map(|(name, fixed)| (name.to_owned(), fixed)));

    let writable = uri(&world, "d", Some("w"));
    io(&writable, &["read -P 0x11 0 8M", "write -P 0x77 1M 64k", "discard 4M 1M", "flush"]);
    io(&live, &["read -P 0x11 0 8M", "write -P 0x22 2M 64k", "flush"]);
    io(&writable, &["read -P 0x77 1M 64k", "read -P 0x11 2M 64k", "read -P 0 4M 1M"]);
    run(
        "qemu-io",
        &["-r", "-f", "raw", "-c", "read -P 0x11 0 8M", &uri(&world, "d", Some("base"))],
    );

    // Compared with where it came from, and with the live disk.
    let changed = [(1 << 20, 65536), (4 << 20, 1 << 20)];
    assert_eq!(ranges(&world.json("disk changes d@base d@w")), changed);
    let both = [(1 << 20, 65536), (2 << 20, 65536), (4 << 20, 1 << 20)];
    assert_eq!(ranges(&world.json("disk changes d d@w")), both);
    let map = run("nbdinfo", &["--map=qemu:dirty-bitmap:base", "--json", &writable]);
    let map: Vec<Value> = serde_json::from_str(&map).unwrap();
    let dirty: Vec<(u64, u64)> = map
        .iter()
        .filter(|e| e["type"] == 1)
        .map(|e| (e["offset"].as_u64().unwrap(), e["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(dirty, changed);
    // It alone holds what was written there: 64 KiB and some records.
    let space = world.json("snapshot space d@w")["bytes"].as_u64().unwrap();
    assert!((65536..96 << 10).contains(&space), "{space}");

    // What was written stays over a restart, and a snapshot and a clone of it hold it too.
    world.ok("snapshot create d@kept --source d@w");
    world.ok("snapshot clone d@w c");
    io(&writable, &["write -P 0x78 1M 64k", "flush"]);
    let mut world = world;
    assert_eq!(world.stop("-KILL"), None);
    world.start(&[]);
    io(&writable, &["read -P 0x78 1M 64k"]);
    run(
        "qemu-io",
        &["-r", "-f", "raw", "-c", "read -P 0x77 1M 64k", &uri(&world, "d", Some("kept"))],
    );
    io(&uri(&world, "c", None), &["read -P 0x77 1M 64k", "write -P 0x79 1M 64k"]);
    // The disk becomes what was tried there.
    world.ok("snapshot restore d@w");
    io(&live, &["read -P 0x78 1M 64k", "read -P 0x11 2M 64k", "read -P 0 4M 1M"]);
    world.ok("snapshot delete d@base d@w");
    io(&live, &["read -P 0x78 1M 64k"]);
    assert_eq!(world.json("fsck --all")["clean"], true);
}

/// Bytes that the server has written since its start.
fn written(world: &World) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/io", world.pid())).unwrap();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

#[test]
fn deletes_of_large_snapshots_copy_nothing_and_hold_no_write_up() {
    const SIZE: u64 = 96 << 20;
    const SNAPSHOTS: u64 = 5;
    let world = World::up();
    world.ok("disk create d --size 96M --compression off");
    let live = uri(&world, "d", None);
    for number in 0..SNAPSHOTS {
        let part = |at: u64| format!("write -P {} {}M 32M", number + 1, 32 * at);
        io(&live, &[&part(0), &part(1), &part(2), "flush"]);
        world.ok(&format!("snapshot create d@s{number}"));
    }
    io(&live, &["write -P 0x77 0 32M", "write -P 0x77 32M 32M", "write -P 0x77 64M 32M", "flush"]);
    world.idle();
    // What one holds alone is freed, not copied together.
    let before = written(&world);
    world.ok("snapshot delete d@s2");
    world.idle();
    let wrote = written(&world) - before;
    assert!(wrote < SIZE / 4, "{wrote} bytes were written to free {SIZE}");

    let mut client = Open::new(&world, "d", "");
    let most = world.json("status")["disk_bytes"].as_u64().unwrap() + (64 << 20);
    for name in ["s3", "s0", "s4", "s1"] {
        let mut writes = 0;
        std::thread::scope(|scope| {
            let deleting = scope.spawn(|| world.ok(&format!("snapshot delete d@{name}")));
            loop {
                for _ in 0..10 {
                    client.ask("write -P 0x78 5M 4k", "wrote");
                    writes += 1;
                }
                let status = world.json("status");
                let bytes = status["disk_bytes"].as_u64().unwrap();
                assert!(bytes <= most, "{name}: deleting takes room: {bytes} bytes");
                let busy =
                    status["jobs"].as_array().unwrap().iter().any(|job| job["name"] == "reclaim");
                if deleting.is_finished() && !busy {
                    break;
                }
            }
            deleting.join().unwrap();
        });
        assert!(writes >= 10, "{name}: {writes}");
    }
    client.ask("flush", "");
    client.leave();
    world.idle();
    let left = world.json("status")["disk_bytes"].as_u64().unwrap();
    assert!(left < 2 * SIZE, "{left} bytes are left of {SNAPSHOTS} snapshots");
    io(&live, &["read -P 0x77 6M 90M", "read -P 0x78 5M 4k"]);
    assert_eq!(world.json("fsck")["clean"], true);
}
