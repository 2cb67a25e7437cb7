//! Restores under load: what programs are just writing is given up, and nothing else suffers.

use std::fs::{self, File};
use std::io::{Error, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tintype_testkit::{Rng, Tree, sys::Map};

use crate::world::{World, transports};

const WRITERS: u64 = 3;
const RESTORES: u64 = 12;

/// What a program may be told about a file that a restore took away below it.
fn taken_away(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOENT))
}

/// The same words, for the ends of a path: a folder that comes and goes is neither full nor damaged.
fn tolerate(result: std::io::Result<()>) {
    if let Err(error) = result {
        assert!(taken_away(&error), "{error}");
    }
}

/// One of the things that abandon data: overwriting, truncating, unlinking, each before any commit.
fn disturb(rng: &mut Rng, dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!("f{}", rng.below(6)));
    match rng.below(6) {
        0 => fs::remove_file(path),
        1 => File::options().write(true).open(path)?.set_len(rng.below(400_000)),
        2 => {
            let mut file = File::create(path)?;
            file.write_all(&rng.bytes(1 << 20))?;
            file.sync_data()
        }
        _ => {
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            let len = 1 + rng.below(700_000) as usize;
            file.write_all_at(&rng.bytes(len), rng.below(1 << 20))
        }
    }
}

fn consistent(world: &World) {
    assert_eq!(world.json("status")["health"], "ok", "{}", world.log());
    let check = world.json("fsck --all");
    assert_eq!(check["clean"], true, "{check}");
}

#[test]
fn data_that_is_given_up_while_it_is_written_stops_nothing() {
    for transport in transports() {
        let mut world = World::home(transport);
        let home = world.path("home");
        for writer in 0..WRITERS {
            fs::create_dir(home.join(format!("w{writer}"))).unwrap();
        }
        world.ok("snapshot create home@base");
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let start = |writer| {
                let (stop, done, dir) = (&stop, &done, home.join(format!("w{writer}")));
                scope.spawn(move || {
                    let mut rng = Rng::new(writer + 1);
                    while !stop.load(Ordering::Acquire) {
                        tolerate(disturb(&mut rng, &dir));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            let writers: Vec<_> = (0..WRITERS).map(start).collect();
            for round in 0..RESTORES {
                let before = done.load(Ordering::Relaxed);
                while done.load(Ordering::Relaxed) < before + 20 {
                    if writers.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                        stop.store(true, Ordering::Release);
                        return;
                    }
                    std::thread::yield_now();
                }
                world.ok(&format!("snapshot restore home@base --keep k{round}"));
                if round % 3 == 2 {
                    world.ok(&format!("snapshot delete home@k{}", round - 1));
                }
            }
            stop.store(true, Ordering::Release);
        });
        consistent(&world);
        world.ok("snapshot restore home@base");
        assert_eq!(Tree::read(&home).0.len(), WRITERS as usize + 1);
        world.stop("-KILL");
        world.start(&[]);
        consistent(&world);
    }
}

/// A file with content and a map of it.
fn opened(path: &Path, byte: u8) -> (File, Map) {
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(&[byte; 200_000], 0).unwrap();
    let map = Map::new(&file, 200_000).unwrap();
    map.put(100_000, &[byte; 10]);
    (file, map)
}

#[test]
fn an_open_file_that_a_restore_took_away_answers_errors_and_harms_nothing() {
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        world.ok("snapshot create home@base");
        for round in 0..3 {
            let (file, map) = opened(&home.join("new"), 7);
            if round == 1 {
                file.sync_all().unwrap();
            }
            world.ok("snapshot restore home@base");
            assert!(!home.join("new").exists());
            assert!(taken_away(&file.write_at(b"late", 0).unwrap_err()));
            assert!(taken_away(&file.set_len(5).unwrap_err()));
            assert!(taken_away(&file.metadata().unwrap_err()));
            let mut bytes = [0; 16];
            assert!(!matches!(file.read_at(&mut bytes, 0), Ok(1..)), "a stale page: {bytes:?}");
            // Whether there is anything left to sync is the kernel's to say; it must come back.
            tolerate(file.sync_all());
            world.ok(&format!("snapshot create home@held{round}"));
            drop(map);
            drop(file);
            fs::write(home.join("new"), "another").unwrap();
            world.ok(&format!("snapshot create home@after{round}"));
            assert_eq!(fs::read(home.join("new")).unwrap(), b"another");
            world.ok("sync");
        }
        consistent(&world);
    }
}

#[test]
fn an_open_file_that_both_moments_have_shows_the_restored_one() {
    for transport in transports() {
        let world = World::home(transport);
        let home = world.path("home");
        fs::write(home.join("kept"), vec![1; 200_000]).unwrap();
        world.ok("snapshot create home@base");
        for round in 0..3 {
            let (file, map) = opened(&home.join("kept"), 2);
            world.ok("snapshot restore home@base");
            assert!(fs::read(home.join("kept")).unwrap().iter().all(|byte| *byte == 1));
            let mut bytes = [0; 4096];
            match file.read_at(&mut bytes, 100_000 / 4096 * 4096) {
                Ok(count) => assert!(bytes[..count].iter().all(|byte| *byte == 1), "a stale page"),
                Err(error) => assert!(taken_away(&error), "{error}"),
            }
            // What is written from here on is either refused or really there, and no older page comes back with it.
            match file.write_at(&[3; 10], 0) {
                Ok(_) => {
                    tolerate(file.sync_all());
                    let now = fs::read(home.join("kept")).unwrap();
                    assert!(now[..10].iter().all(|byte| *byte == 3));
                    assert!(now[10..].iter().all(|byte| *byte == 1), "a stale page");
                }
                Err(error) => assert!(taken_away(&error), "{error}"),
            }
            world.ok(&format!("snapshot create home@held{round}"));
            drop((file, map));
        }
        consistent(&world);
    }
}
