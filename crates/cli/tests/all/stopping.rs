//! Stopping while programs are in the middle of something, and mount folders that others use.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, mounted_below, transports};

/// Far more than the two seconds that a stop takes, and far less than any limit of a call that hangs.
const SOON: Duration = Duration::from_secs(8);

/// A program that is ended by its number, whatever happens to the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that does nothing until this is dropped.
struct Halted(Pid);

impl Halted {
    fn new(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn a_stop_does_not_wait_for_programs_that_hold_the_mount() {
    for transport in transports() {
        let mut world = World::home(transport);
        let home = world.path("home");
        let mut shell = Command::new("sleep");
        let _shell = Program(shell.arg("100").current_dir(&home).spawn().unwrap());
        let mut open = File::create(home.join("open")).unwrap();
        let writer = std::thread::spawn(move || while open.write_all(&[1; 50_000]).is_ok() {});
        while fs::metadata(home.join("open")).unwrap().len() < 1 << 20 {
            std::thread::yield_now();
        }
        let start = Instant::now();
        assert_eq!(world.stop("-TERM"), Some(0), "{}", world.log());
        let took = start.elapsed();
        assert!(took < SOON, "{took:?}");
        assert!(!mounted_below(world.dir.path()));
        writer.join().unwrap();
        world.start(&[]);
        assert!(fs::metadata(home.join("open")).unwrap().len() >= 1 << 20);
        assert_eq!(world.json("fsck")["clean"], true);
    }
}

#[test]
fn two_filesystems_cannot_be_mounted_on_one_folder() {
    let Some(transport) = transports().pop() else { return };
    let world = World::home(transport);
    fs::write(world.path("home/a"), "seen").unwrap();
    std::os::unix::fs::symlink(world.dir.path(), world.path("link")).unwrap();
    world.ok("fs create other");
    for line in ["fs mount other home", "fs mount other link/home", "fs create third --mount home"]
    {
        let said = world.fails(line, 1);
        assert!(said.contains("home"), "{said}");
        assert!(said.contains("shows filesystem home already"), "{said}");
        assert!(said.contains("tintype fs unmount home"), "{said}");
        assert_eq!(fs::read(world.path("home/a")).unwrap(), b"seen");
    }
    assert_eq!(world.json("fs show other")["mounted"], false);
    world.ok("fs unmount home");
    world.ok("fs mount other home");
    assert!(!world.path("home/a").exists());
}

#[test]
fn a_folder_whose_server_hangs_is_not_mounted_over() {
    let Some(transport) = transports().pop() else { return };
    let (hanging, world) = (World::home(transport), World::over(transport));
    let dir = hanging.path("home").display().to_string();
    world.ok("fs create mine");
    let halted = Halted::new(hanging.pid());
    let output = world.run(&format!("fs mount mine {dir}"));
    drop(halted);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&dir) && said.contains("did not answer"), "{said}");
    assert!(said.contains("umount"), "{said}");
    fs::write(hanging.path("home/a"), "alive").unwrap();
    assert_eq!(world.json("fs show mine")["mounted"], false);
}
