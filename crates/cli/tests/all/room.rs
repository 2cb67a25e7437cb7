//! Room: capacities under bursts, small disks that fill up, and what removed files leave behind.

use std::fs::{self, File};
use std::io::{Error, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::mount::{MountFlags, UnmountFlags};
use tintype_testkit::{Rng, users};

use crate::world::{World, transports};

const MIB: u64 = 1 << 20;

fn full(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSPC)
}

fn figure(world: &World, name: &str) -> u64 {
    world.json("fs show home")[name].as_u64().unwrap()
}

fn held(world: &World) -> u64 {
    world.ok("sync");
    figure(world, "live_bytes") + figure(world, "snapshot_bytes")
}

fn healthy(world: &World) {
    assert_eq!(world.json("status")["health"], "ok", "{}", world.log());
    let check = world.json("fsck --all");
    assert_eq!(check["clean"], true, "{check}");
}

/// Overwrites a file of a MiB; whether there was room for it.
fn overwrite(path: &Path, rng: &mut Rng) -> bool {
    let opened = File::options().write(true).create(true).truncate(false).open(path);
    let done = opened.and_then(|file| file.write_all_at(&rng.bytes(MIB as usize), 0));
    if let Err(error) = &done {
        assert!(full(error), "{error}");
    }
    done.is_ok()
}

#[test]
fn bursts_of_writers_keep_to_the_capacity() {
    const CAPACITY: u64 = 24 * MIB;
    /// What docs/cli.md allows: four writers with a MiB each while a commit tells what snapshots hold, and records.
    const BEYOND: u64 = 6 * MIB;
    for transport in transports() {
        let world = World::over(transport);
        world.ok("fs create home --mount home --capacity 24M");
        let home = world.path("home");
        let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut snapshots = Vec::new();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (home, refused, stop) = (&home, &refused, &stop);
                scope.spawn(move || {
                    let mut rng = Rng::new(number + 1);
                    while !stop.load(Ordering::Acquire) {
                        let fits = overwrite(&home.join(format!("f{number}")), &mut rng);
                        refused.fetch_add(u64::from(!fits), Ordering::Relaxed);
                    }
                });
            }
            while snapshots.len() < 12 {
                let name = format!("home@s{}", snapshots.len());
                world.ok(&format!("snapshot create {name}"));
                snapshots.push(name);
                let all = held(&world);
                eprintln!("{all} bytes of {CAPACITY}");
                if all > CAPACITY + BEYOND {
                    stop.store(true, Ordering::Release);
                    panic!("{all} bytes");
                }
            }
            stop.store(true, Ordering::Release);
        });
        assert!(refused.into_inner() > 0, "the capacity was never reached");
        let all = held(&world);
        assert!((CAPACITY / 2..=CAPACITY + BEYOND).contains(&all), "{all}");
        world.ok(&format!("snapshot delete {}", snapshots.join(" ")));
        assert!(held(&world) < 8 * MIB, "the deletes gave nothing back");
        let mut rng = Rng::new(9);
        assert!((0..8).all(|_| overwrite(&home.join("again"), &mut rng)), "there is room again");
        healthy(&world);
    }
}

/// A file system of its own for the store, as small as this; taken away with the world.
pub(crate) fn small_disk(world: &World, mib: u64) {
    let place = world.path("disk");
    fs::create_dir(&place).unwrap();
    let size = std::ffi::CString::new(format!("size={mib}m")).unwrap();
    let options = Some(size.as_c_str());
    rustix::mount::mount("tintype-test", &place, "tmpfs", MountFlags::empty(), options).unwrap();
    std::os::unix::fs::symlink(place.join("store"), world.path("store")).unwrap();
    fs::create_dir(place.join("store")).unwrap();
}

/// A server whose store has a disk of 64 MiB.
fn on_small_disk(transport: &'static str) -> World {
    let mut world = World::empty();
    world.transport = transport;
    small_disk(&world, 64);
    world.start(&[]);
    world
}

/// Writes files that do not compress until the disk is full; their number.
fn fill(dir: &Path, prefix: &str) -> u64 {
    let mut rng = Rng::new(5);
    for number in 0..1000 {
        let file = File::create(dir.join(format!("{prefix}{number}")));
        let done = file.and_then(|mut file| {
            file.write_all(&rng.bytes(MIB as usize / 2))?;
            file.sync_all()
        });
        if let Err(error) = done {
            assert!(full(&error), "{error}");
            return number;
        }
    }
    panic!("the disk is never full");
}

#[test]
fn a_small_disk_fills_up_and_is_emptied_again() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let mut world = on_small_disk(transport);
        world.ok("fs create home --mount home");
        let home = world.path("home");
        let first = fill(&home, "a");
        assert!(first > 10, "only {first} files found room");
        world.ok("snapshot create home@full");
        // The rest of the disk goes to somebody else, all but a little.
        let other = File::create(world.path("disk/other")).unwrap();
        let free = rustix::fs::statvfs(world.path("disk")).unwrap();
        let free = free.f_bavail * free.f_frsize;
        let taken = free.saturating_sub(6 * MIB);
        rustix::fs::fallocate(&other, rustix::fs::FallocateFlags::empty(), 0, taken).unwrap();
        assert!(full(&fs::write(home.join("more"), vec![1; 1 << 20]).unwrap_err()));
        assert_eq!(world.json("status")["health"], "ok");
        assert_eq!(world.stop("-TERM"), Some(0), "{}", world.log());

        world.start(&[]);
        assert!(!world.ready.contains("problem"), "{}", world.ready);
        for number in 0..first {
            fs::remove_file(home.join(format!("a{number}"))).unwrap();
        }
        world.ok("snapshot delete home@full");
        world.ok("sync");
        drop(other);
        fs::remove_file(world.path("disk/other")).unwrap();
        world.idle();
        healthy(&world);
        let again = fill(&home, "b");
        assert!(again * 10 >= first * 8, "{first} files fitted at first, {again} now");
        healthy(&world);
        world.stop("-TERM");
        rustix::mount::unmount(world.path("disk"), UnmountFlags::DETACH).unwrap();
    }
}

/// What replaces data needs room until the old is gone. It is refused when there is none, and what was accepted never keeps a delete from
/// freeing room.
#[test]
fn replacing_on_a_full_disk_ends_before_deletes_cannot_help() {
    for transport in transports() {
        if !users::root() {
            return;
        }
        let mut world = on_small_disk(transport);
        world.ok("fs create home --mount home --compression off");
        let home = world.path("home");
        let first = fill(&home, "a");
        for round in 0..100 {
            let name = home.join(format!("a{}", round % 5));
            let file = File::options().write(true).open(name).unwrap();
            let written = file.write_all_at(&Rng::new(900 + round).bytes(MIB as usize / 2), 0);
            if let Err(error) = written.and_then(|()| file.sync_all()) {
                assert!(full(&error), "{error}");
            }
        }
        for number in 5..first {
            fs::remove_file(home.join(format!("a{number}"))).unwrap();
        }
        world.ok("sync");
        world.idle();
        assert!(fill(&home, "b") * 10 >= (first - 5) * 8);
        healthy(&world);
        world.ok("down");
        assert_eq!(world.wait(), Some(0));
        rustix::mount::unmount(world.path("disk"), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_later_snapshot_does_not_hold_what_was_removed() {
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        fs::write(home.join("kept"), Rng::new(2).bytes(MIB as usize)).unwrap();
        for round in 0..4 {
            let paths: Vec<_> = (0..300).map(|number| home.join(format!("f{number}"))).collect();
            for (number, path) in (0..).zip(&paths) {
                fs::write(path, Rng::new(round << 32 | number).bytes(50_000)).unwrap();
            }
            if round % 2 == 0 {
                world.ok("sync");
            }
            // Removed while they are open, so that the last close removes the data.
            let open: Vec<_> = paths.iter().map(|path| File::open(path).unwrap()).collect();
            paths.iter().for_each(|path| fs::remove_file(path).unwrap());
            drop(open);
            world.ok(&format!("snapshot create home@s{round}"));
        }
        fs::remove_file(home.join("kept")).unwrap();
        let all = held(&world);
        assert!((MIB..2 * MIB).contains(&all), "{all}");
        healthy(&world);
    }
}
