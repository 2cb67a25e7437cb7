//! Images in and out of disks, with the programs of others on the other side.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tintype_testkit::Rng;

use crate::api::{ask, headers_of};
use crate::world::{World, fuse};

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &said
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A sparse raw file with some data in it.
pub(crate) fn raw_disk(world: &World, name: &str, size: u64, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut bytes = vec![0; size as usize];
    for _ in 0..12 {
        let at = (rng.below(size) / 4096 * 4096) as usize;
        let length = (4096 * (1 + rng.below(200)) as usize).min(bytes.len() - at);
        let data =
            if rng.once_in(2) { rng.bytes(length) } else { vec![rng.number() as u8; length] };
        bytes[at..at + length].copy_from_slice(&data);
    }
    std::fs::write(world.path(name), &bytes).unwrap();
    bytes
}

/// What a moment of a disk holds, through our own raw export.
pub(crate) fn content(world: &World, moment: &str) -> Vec<u8> {
    world.ok(&format!("disk export {moment} content.raw --format raw"));
    std::fs::read(world.path("content.raw")).unwrap()
}

pub(crate) fn write(world: &World, disk: &str, commands: &[&str]) {
    let uri = world.json(&format!("disk show {disk}"))["nbd_uri"].as_str().unwrap().to_owned();
    let mut args = vec!["-f", "raw"];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    args.extend(["-c", "flush", &uri]);
    run("qemu-io", &args);
}

#[test]
fn every_format_goes_in_and_out() {
    let world = World::up();
    let bytes = raw_disk(&world, "in.raw", (24 << 20) + 512, 1);
    let done = world.json("disk import in.raw d");
    assert_eq!((&done["format"], &done["disk"]["size"]), (&"raw".into(), &bytes.len().into()));
    assert!(done["written_bytes"].as_u64().unwrap() < 12 << 20, "holes stay holes: {done}");
    assert_eq!(content(&world, "d"), bytes);
    world.ok("snapshot create d@a");
    for (file, options, qemu) in [
        ("d.vhd", "", "vpc"),
        ("d.qcow2", "", "qcow2"),
        ("z.qcow2", "--compress zstd", "qcow2"),
        ("f.qcow2", "--compress deflate", "qcow2"),
        ("d.img", "", "raw"),
    ] {
        world.ok(&format!("disk export d@a {file} {options}"));
        let (image, out) = (world.path(file), world.path("out.raw"));
        run("qemu-img", &["convert", "-f", qemu, "-O", "raw", text(&image), text(&out)]);
        assert_eq!(std::fs::read(&out).unwrap(), bytes, "{file}: what QEMU reads");
        let name = file.replace('.', "-");
        world.ok(&format!("disk import {file} {name} --compression off"));
        assert_eq!(content(&world, &name), bytes, "{file}: what we read");
        assert!(!world.fails(&format!("disk import {file} {name}"), 1).is_empty());
    }
    // Pipes: out into in.
    for format in ["raw", "vhd", "qcow2"] {
        world.shell(&format!(
            "$TINTYPE disk export d@a - --format {format} | $TINTYPE disk import - pipe-{format}"
        ));
        assert_eq!(content(&world, &format!("pipe-{format}")), bytes, "{format}");
    }
    // The same over HTTP, by any client.
    world.shell("curl -sfS --unix-socket socket 'http://localhost/api/v1/disks/d/export?snapshot=a&format=vhd' -o curl.vhd");
    world.shell("curl -sfS --unix-socket socket -T curl.vhd -X POST 'http://localhost/api/v1/disks/curl/import' >&2");
    assert_eq!(content(&world, "curl"), bytes);
    assert_eq!(world.json("fsck")["clean"], true);
    // No half file stays.
    let names = std::fs::read_dir(world.dir.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.map(|n| n.into_string().unwrap()).all(|name| !name.contains(".part")));
}

#[test]
fn deltas_lead_a_copy_from_moment_to_moment() {
    let mut world = World::up();
    raw_disk(&world, "in.raw", 64 << 20, 2);
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@a");
    write(&world, "d", &["write -P 7 5M 4k", "write -P 8 40M 300k", "write -z -u 10M 2M"]);
    world.ok("snapshot create d@b");
    write(&world, "d", &["write -P 9 5M 8k"]);
    world.ok("disk resize d 70M");
    world.ok("snapshot create d@c");
    world.ok("disk export d@a full.vhd");
    world.ok("disk export d@b b.vhd --base d@a");
    world.ok("disk export d@c c.vhd --base d@b");
    // The names inside link: libvhdi reads the chain.
    let full = run("vhdiinfo", &[text(&world.path("full.vhd"))]);
    let delta = run("vhdiinfo", &[text(&world.path("b.vhd"))]);
    let id = |said: &str, field: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(field)).unwrap();
        line.rsplit(':').next().unwrap().trim().to_owned()
    };
    assert_eq!(id(&full, "Identifier"), id(&delta, "Parent identifier"));
    let (a, b, c) = (content(&world, "d@a"), content(&world, "d@b"), content(&world, "d@c"));

    let said = world.fails("disk import b.vhd copy", 1);
    assert!(said.contains("does not exist") && said.contains("Import image"), "{said}");
    world.ok("disk import full.vhd copy");
    world.ok("snapshot create copy@a");
    let said = world.fails("disk import c.vhd copy", 1);
    assert!(said.contains("goes upon image") && said.contains("--force"), "{said}");
    assert_eq!(content(&world, "copy"), a, "a refused delta changes nothing");
    world.ok("disk import b.vhd copy");
    assert_eq!(content(&world, "copy"), b);
    // A copy of a copy still knows its image; so a delta made elsewhere fits it.
    world.ok("snapshot create copy@b");
    let show = world.json("disk export copy@b again.vhd");
    assert_eq!(show["image"], world.json("disk show copy")["image"]);
    world.stop("-KILL");
    world.start(&[]);
    world.ok("disk import c.vhd copy");
    assert_eq!(content(&world, "copy"), c);
    assert_eq!(content(&world, "copy@a"), a);
    assert_eq!(
        world.json("snapshot list copy").as_array().unwrap().len(),
        2,
        "nothing else is left"
    );

    // After a write it stands nowhere; going back to a moment is standing there again.
    write(&world, "copy", &["write -P 1 0 512"]);
    assert!(world.fails("disk import c.vhd copy", 1).contains("was written to"));
    world.ok("snapshot restore copy@b");
    world.ok("disk import c.vhd copy");
    assert_eq!(content(&world, "copy"), c);
    world.ok("disk import c.vhd copy --force");
    assert_eq!(content(&world, "copy"), c);
    assert_eq!(world.json("fsck")["clean"], true);
}

#[test]
fn half_imports_leave_nothing() {
    let mut world = World::up();
    let bytes = raw_disk(&world, "in.raw", 32 << 20, 3);
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@a");
    world.ok("disk export d@a full.vhd");
    write(&world, "d", &["write -P 5 1M 9M"]);
    world.ok("snapshot create d@b");
    world.ok("disk export d@b b.vhd --base d@a");
    world.shell("head -c 3000000 full.vhd > cut.vhd; head -c 3000000 b.vhd > cut-b.vhd");
    let said = world.fails("disk import cut.vhd new", 1);
    assert!(said.contains("cut off") && said.contains("cut.vhd"), "{said}");
    world.fails("disk show new", 1);
    world.ok("disk import full.vhd copy");
    assert!(world.fails("disk import cut-b.vhd copy", 1).contains("cut off"));
    // Through a pipe the end shows only when half of it has been taken.
    world.shell("! $TINTYPE disk import - new < <(cat cut.vhd)");
    world.shell("! $TINTYPE disk import - copy < <(cat cut-b.vhd)");
    world.fails("disk show new", 1);
    assert_eq!(content(&world, "copy"), bytes);
    assert_eq!(world.json("snapshot list copy").as_array().unwrap().len(), 0);

    // The program dies in the middle; then the server does.
    for kill_server in [false, true] {
        let mut child = world
            .command(&["disk", "import", "-", "half"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&bytes[..24 << 20]).unwrap();
        let shown = || {
            world.json("disk list").as_array().unwrap().iter().any(|disk| disk["importing"] == true)
        };
        while !shown() {
            std::thread::yield_now();
        }
        assert!(world.fails("snapshot create half@a", 1).contains("is being imported"));
        if kill_server {
            world.stop("-KILL");
            world.start(&[]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(input);
        while world.json("disk list").as_array().unwrap().iter().any(|disk| disk["name"] == "half")
        {
            std::thread::yield_now();
        }
    }
    assert_eq!(world.json("fsck")["clean"], true);
}

/// Into mounts of the same server, too: it writes to itself.
#[test]
fn an_export_that_fails_leaves_the_older_file() {
    if !fuse() {
        return;
    }
    let world = World::up();
    let bytes = raw_disk(&world, "in.raw", 24 << 20, 8);
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@a");
    world.ok("fs create small --quota 1M --mount small");
    for format in ["raw", "vhd", "qcow2", "qcow2 --compress zstd"] {
        std::fs::write(world.path("small/older"), "older").unwrap();
        let said = world.fails(&format!("disk export d@a small/older --format {format}"), 1);
        assert!(said.contains("small/older: cannot be written"), "{format}: {said}");
        assert_eq!(std::fs::read(world.path("small/older")).unwrap(), b"older");
        assert_eq!(std::fs::read_dir(world.path("small")).unwrap().count(), 1, "{format}");
    }
    world.ok("fs create large --mount large");
    std::fs::write(world.path("large/d.img"), "older and longer or not").unwrap();
    world.ok("disk export d@a large/d.img");
    assert_eq!(std::fs::read(world.path("large/d.img")).unwrap(), bytes);
}

/// The descriptor of a file comes with the connection: without one, and through TCP, nothing is written.
#[test]
fn an_export_into_a_file_needs_the_file() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world.ok("disk create d --size 1M");
    let admin = headers_of(&world, "admin");
    let (status, problem) = ask(&world, "GET /api/v1/disks/d/export?into=file", &admin);
    assert_eq!((status, &problem["object"]), (400, &"file of the request".into()), "{problem}");
    for query in ["into=file", "into=/etc/passwd", "into="] {
        let said = world.shell(&format!(
            "curl -sS --unix-socket socket 'http://localhost/api/v1/disks/d/export?{query}'"
        ));
        assert!(said.contains("urn:tintype:invalid"), "{query}: {said}");
    }
}

#[test]
fn snapshots_go_with_a_qcow2() {
    let world = World::up();
    raw_disk(&world, "in.raw", 20 << 20, 4);
    world.ok("disk import in.raw d");
    world.ok("snapshot create d@first");
    write(&world, "d", &["write -P 5 1M 3M", "discard 8M 2M"]);
    world.ok("snapshot create d@second");
    write(&world, "d", &["write -P 6 2M 64k"]);
    world.ok("disk export d all.qcow2 --with-snapshot second --with-snapshot first");
    let image = world.path("all.qcow2");
    run("qemu-img", &["check", text(&image)]);
    for name in ["first", "second"] {
        let (out, of) = (world.path("s.raw"), format!("snapshot.name={name}"));
        run("qemu-img", &["convert", "-l", &of, "-O", "raw", text(&image), text(&out)]);
        assert_eq!(std::fs::read(&out).unwrap(), content(&world, &format!("d@{name}")), "{name}");
    }
    let out = world.path("s.raw");
    run("qemu-img", &["convert", "-O", "raw", text(&image), text(&out)]);
    assert_eq!(std::fs::read(&out).unwrap(), content(&world, "d"));
}

#[test]
fn refusals_say_why() {
    let world = World::up();
    raw_disk(&world, "base.raw", 4 << 20, 5);
    world.shell("qemu-img create -q -f qcow2 -b base.raw -F raw child.qcow2");
    world.shell("qemu-img create -q -f vmdk x.vmdk 4M");
    world.shell("truncate -s 1000 odd.raw");
    world.ok("disk create big --size 3T");
    world.ok("disk create d --size 4M");
    world.ok("snapshot create d@a");
    for (line, status, words) in [
        ("disk import child.qcow2 x", 1, ["backing file", "qemu-img convert"]),
        ("disk import x.vmdk x", 1, ["VMDK", "--format raw"]),
        ("disk import missing x", 1, ["missing", "cannot be read"]),
        ("disk import base.raw d", 1, ["disk d", "exists"]),
        ("disk import base.raw x --format qcow2", 1, ["qcow2", "header"]),
        ("disk export big big.vhd", 2, ["2190433320960", "qcow2"]),
        ("disk export d@a - --compress zstd --format qcow2", 2, ["--compress", "file"]),
        ("disk export d@a x.qcow2 --base d@a", 2, ["format qcow2", "--format vhd"]),
        ("disk export d x.vhd --base d", 2, ["base d", "read-only snapshot"]),
        ("disk export d@no x.vhd", 1, ["d@no", "does not exist"]),
        ("disk export d nowhere/x.vhd", 1, ["nowhere", "folder"]),
    ] {
        let said = world.fails(line, status);
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
    }
    // Less than a sector more is filled up.
    assert_eq!(world.json("disk import odd.raw odd")["disk"]["size"], 1024);
}

#[test]
fn progress_is_told() {
    let world = World::up();
    raw_disk(&world, "in.raw", 8 << 20, 6);
    let output = world.run("disk import in.raw d --progress --json");
    assert!(output.status.success());
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["event"], "progress", "{line}");
    }
}
