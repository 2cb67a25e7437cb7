//! What a picky user meets: each message says what is wrong once, names the object, and says what to do.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use tintype_testkit::users;

use crate::world::{World, fuse};

#[test]
fn nothing_is_said_twice() {
    let world = World::up();
    world.ok("fs create home");
    world.ok("snapshot create home@a --access-point p");
    for (line, status, said) in [
        (
            "snapshot create home@a",
            1,
            "tintype: snapshot home@a: exists already\n  Choose another name; `tintype snapshot list` shows those in use.\n",
        ),
        (
            "snapshot create home@b --access-point p",
            1,
            "tintype: snapshot home@b: access point p exists already\n  Choose another name; `tintype snapshot list` shows those in use.\n",
        ),
        (
            "snapshot show home",
            2,
            "tintype: \"home\" does not name a snapshot\n  Write FS@NAME, for example home@before-upgrade.\n",
        ),
        (
            "snapshot list --after soon",
            2,
            "tintype: --after: \"soon\" is not a time\n  Write 2026-11-21, 2026-11-21T10:30:00Z or an age such as 30d.\n",
        ),
    ] {
        assert_eq!(world.fails(line, status), said);
    }
}

#[test]
fn what_only_the_server_can_tell_is_a_wrong_use_too() {
    let world = World::up();
    for line in ["fs create home", "fs create other", "snapshot create other@a"] {
        world.ok(line);
    }
    let said = world.fails("snapshot create home@b --source other@a", 2);
    assert!(said.contains("belongs to another volume"), "{said}");
    let said = world.fails("disk create d --size 1000", 2);
    assert!(said.contains("is no size of a disk"), "{said}");
    world.fails("snapshot show home@gone", 1);
}

#[test]
fn a_sync_of_nothing_says_so() {
    let world = World::up();
    assert_eq!(world.ok("sync"), "durable: there are no volumes\n");
    world.ok("fs create home");
    assert_eq!(world.ok("sync"), "durable: home\n");
}

#[test]
fn paths_that_the_server_cannot_be_told_are_refused() {
    let world = World::up();
    let mut command = world.command(&["fs", "create", "odd", "--mount"]);
    let output = command.arg(OsStr::from_bytes(b"a\xff")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is not UTF-8"), "{said}");
    assert_eq!(world.json("fs list"), serde_json::json!([]));
}

#[test]
fn a_terminal_obeys_no_path() {
    if !fuse() {
        return;
    }
    let world = World::up();
    let mut command = world.command(&["fs", "create", "home", "--mount", "a\u{1b}[31mb"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("a\u{fffd}[31mb"), "{said:?}");
    // What programs read is as it is.
    let mount = world.json("fs show home")["mount"].as_str().unwrap().to_owned();
    assert!(mount.ends_with("a\u{1b}[31mb"), "{mount:?}");
}

/// A program that acts as an ordinary user, from a place where that user may enter.
fn as_nobody(world: &World, args: &[&str]) -> Command {
    const NOBODY: u32 = 65_534;
    let mut command = Command::new(world.path("program"));
    command.args(args).env("TINTYPE_SOCKET", world.path("socket"));
    command.uid(NOBODY).gid(NOBODY).current_dir(world.dir.path());
    command
}

#[test]
fn a_filesystem_belongs_to_whoever_runs_the_server() {
    if !fuse() || !users::root() {
        return;
    }
    let mut world = World::empty();
    fs::copy(env!("CARGO_BIN_EXE_tintype"), world.path("program")).unwrap();
    world.shell("chown 65534:65534 .");
    let mut server = as_nobody(&world, &["up", "--store", "store"]);
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("ready"), "{ready}");
    for line in [["fs", "create", "home"].as_slice(), &["down"]] {
        assert!(as_nobody(&world, line).status().unwrap().success(), "{line:?}");
    }
    server.wait().unwrap();
    world.shell("chown -R 0:0 .");
    world.start(&[]);
    world.ok("fs mount home home");
    let root = fs::metadata(world.path("home")).unwrap();
    assert_eq!((root.uid(), root.gid()), (65_534, 65_534));
}

#[test]
fn a_socket_of_another_user_is_told_from_none() {
    if !users::root() {
        return;
    }
    let world = World::up();
    fs::copy(env!("CARGO_BIN_EXE_tintype"), world.path("program")).unwrap();
    let output = as_nobody(&world, &["status"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("belongs to another user") && said.contains("tintype up"), "{said}");
}
