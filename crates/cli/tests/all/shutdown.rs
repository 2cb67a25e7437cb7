//! The shutdown ioctl through a mount: what is dropped, what is kept, and how to go on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use tintype_testkit::{sys, users};

use crate::world::{World, transports};

/// Stop after making everything durable.
const FLUSH: u32 = 0;
/// Stop after making all operations so far durable.
const FLUSH_LOG: u32 = 1;
/// Stop and drop what is not durable.
const DROP: u32 = 2;

fn write(path: &Path, text: &str, durable: bool) {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    if durable {
        file.sync_all().unwrap();
    }
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Everything answers EIO.
fn is_dead(home: &Path) {
    assert_eq!(errno(fs::write(home.join("new"), "x")), Some(libc::EIO));
    assert_eq!(errno(fs::create_dir(home.join("dir"))), Some(libc::EIO));
    assert_eq!(errno(fs::read_dir(home).map(Iterator::count)), Some(libc::EIO));
}

#[test]
fn what_was_not_synced_is_dropped() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        // The commit interval may end between the write and the ioctl: then there is nothing to drop.
        let dropped = (0..5).any(|attempt| {
            let mut world = World::home(transport);
            let home = world.path("home");
            let mut open =
                File::options().read(true).write(true).create_new(true).open(home.join("a"));
            let open = open.as_mut().unwrap();
            open.write_all(b"kept").unwrap();
            open.sync_all().unwrap();
            write(&home.join("b"), "lost", false);
            open.write_all(b" lost").unwrap();
            assert_eq!(sys::shutdown(&File::open(&home).unwrap(), DROP).unwrap(), DROP);
            is_dead(&home);
            // Pages that are still dirty change nothing later.
            assert!(open.sync_all().is_err());
            let told = world.fails("snapshot create home@late", 1);
            assert!(told.contains("was shut down"), "{told}");
            assert!(told.contains(&format!("tintype fs mount home {}", home.display())), "{told}");
            if attempt > 0 {
                world.ok("fs unmount home --force");
            }
            world.ok("fs mount home home");
            let mut text = String::new();
            File::open(home.join("a")).unwrap().read_to_string(&mut text).unwrap();
            assert!(text == "kept" || text == "kept lost", "{text}");
            let lost = !home.join("b").exists();
            assert!(open.write_all(b"zombie").is_err());
            write(&home.join("c"), "alive", true);
            world.stop("-KILL");
            world.start(&[]);
            assert_eq!(fs::read_to_string(home.join("c")).unwrap(), "alive");
            assert_eq!(fs::read_to_string(home.join("a")).unwrap(), text);
            assert_eq!(home.join("b").exists(), !lost);
            assert_eq!(world.json("fsck")["clean"], true);
            lost && text == "kept"
        });
        assert!(dropped, "nothing was ever dropped");
    }
}

#[test]
fn flushing_shutdowns_keep_everything() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        for flag in [FLUSH, FLUSH_LOG] {
            let mut world = World::home(transport);
            let home = world.path("home");
            write(&home.join("a"), "kept", false);
            fs::rename(home.join("a"), home.join("b")).unwrap();
            assert_eq!(sys::shutdown(&File::open(&home).unwrap(), flag).unwrap(), flag);
            is_dead(&home);
            if flag == FLUSH {
                world.ok("fs mount home home");
            } else {
                // Without any command: the next start brings it back.
                world.stop("-TERM");
                world.start(&[]);
            }
            assert_eq!(fs::read_to_string(home.join("b")).unwrap(), "kept", "flag {flag}");
            assert!(!home.join("a").exists());
            assert_eq!(world.json("status")["health"], "ok");
        }
    }
}

#[test]
fn only_root_shuts_down() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let world = World::home(transport);
        let root = File::open(world.path("home")).unwrap();
        let refused = users::as_user(61_001, || sys::shutdown(&root, DROP));
        assert_eq!(errno(refused), Some(libc::EPERM));
        assert_eq!(errno(sys::shutdown(&root, 3)), Some(libc::EINVAL));
        fs::write(world.path("home/a"), "works").unwrap();
    }
}
