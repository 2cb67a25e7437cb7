//! Clients that go away in the middle of long work: the program ends at once, and so does the work.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, fuse};

/// Tries; in most the signal comes in the middle of the work.
const TRIES: u32 = 60;

/// A server with data that takes a while to look at, and how often a piece of work was ended early.
fn world() -> World {
    let mut world = World::empty();
    world.log_level = "info";
    world.start(&[]);
    world.ok("fs create home --mount home");
    world.shell("head -c 96M /dev/urandom > home/f; for n in {1..3000}; do echo > home/$n; done");
    world.ok("sync");
    world
}

fn ended_early(world: &World) -> usize {
    world.log().matches("ended_early=true").count()
}

fn start(world: &World, args: &[&str]) -> Child {
    let mut command = world.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(client: Child) -> (Option<i32>, String) {
    let pid = rustix::process::Pid::from_child(&client);
    // It may have ended by itself.
    let _ended = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let output = client.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Interrupts the command after a while that is another one in each try, until it has once been in the middle of the work.
fn ends(world: &World, command: &str) {
    let before = ended_early(world);
    for n in 0..TRIES {
        let client = start(world, &[command, "--json"]);
        std::thread::sleep(Duration::from_millis(u64::from(n) * 4));
        let (status, said) = interrupt(client);
        if status == Some(130) {
            let error: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!((&error["event"], &error["status"]), (&"error".into(), &130.into()));
        }
        let start = Instant::now();
        while !world.json("status")["jobs"].as_array().unwrap().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(60), "{command} does not end");
        }
        if status == Some(130) && ended_early(world) > before {
            return;
        }
    }
    panic!("{command} was never ended early: {}", world.log());
}

#[test]
fn checks_end_with_their_client() {
    if !fuse() {
        return;
    }
    let world = world();
    ends(&world, "scrub");
    ends(&world, "fsck");
    assert_eq!(world.json("scrub")["clean"], true);
    assert_eq!(world.json("fsck")["clean"], true);
}

#[test]
fn a_check_without_a_server_ends_at_a_signal() {
    if !fuse() {
        return;
    }
    let world = world();
    world.ok("down");
    let stopped = (0..TRIES).any(|n| {
        let client = start(&world, &["scrub", "--store", "store"]);
        std::thread::sleep(Duration::from_millis(u64::from(n) * 8));
        let (status, said) = interrupt(client);
        status == Some(130) && said.contains("stopped by a signal")
    });
    assert!(stopped);
    assert_eq!(world.json("fsck --store store")["clean"], true);
}
