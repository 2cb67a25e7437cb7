//! A server that is killed while programs write: the state contract, through real mounts.
//!
//! After every kill the next start repairs the dead mount, everything that was synced is there, every snapshot that was acknowledged
//! is there and unchanged, and the store is consistent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tintype_testkit::{Rng, Tree, amount};

use crate::world::{World, transports};

const FILES: u64 = 12;
const RECORD: usize = 64;

/// What has been promised.
#[derive(Default)]
struct Promised {
    /// Newest synced version of each file.
    versions: BTreeMap<u64, u64>,
    /// Records of the log that are synced.
    records: u64,
    /// Snapshots with the versions that they must at least hold, and their hash once known.
    snapshots: BTreeMap<String, Promise>,
    /// Snapshots whose delete was acknowledged.
    deleted: Vec<String>,
    /// A delete that was asked for and not acknowledged: either answer is right.
    unknown: Option<String>,
}

#[derive(Clone)]
struct Promise {
    versions: BTreeMap<u64, u64>,
    records: u64,
    hash: Option<u128>,
}

fn content(file: u64, version: u64) -> Vec<u8> {
    let mut rng = Rng::new(file << 32 | version);
    let len = 100 + rng.below(60_000) as usize;
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(rng.bytes(len));
    bytes
}

/// The version that a file holds; checks every byte of it.
fn version(home: &Path, file: u64) -> Option<u64> {
    let bytes = fs::read(home.join(format!("f{file}"))).ok()?;
    let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == content(file, version), "file {file}, version {version}: wrong content");
    Some(version)
}

fn record(number: u64) -> Vec<u8> {
    Rng::new(number).bytes(RECORD)
}

/// Replaces files and appends to a log, each with its sync, until the server is gone.
fn write(home: &Path, promised: &Mutex<Promised>, seed: u64) -> std::io::Result<()> {
    let mut rng = Rng::new(seed);
    let log = File::options()
        .create(true)
        .append(false)
        .write(true)
        .truncate(false)
        .open(home.join("log"))?;
    let dir = File::open(home)?;
    loop {
        if rng.once_in(3) {
            let number = promised.lock().unwrap().records;
            log.write_all_at(&record(number), number * RECORD as u64)?;
            log.sync_data()?;
            promised.lock().unwrap().records = number + 1;
            continue;
        }
        let file = rng.below(FILES);
        let next = promised.lock().unwrap().versions.get(&file).unwrap_or(&0) + 1 + rng.below(3);
        let temporary = home.join("temporary");
        let mut out = File::create(&temporary)?;
        out.write_all(&content(file, next))?;
        out.sync_all()?;
        fs::rename(&temporary, home.join(format!("f{file}")))?;
        dir.sync_all()?;
        promised.lock().unwrap().versions.insert(file, next);
    }
}

/// Takes snapshots, and deletes some, until the server is gone.
fn snapshots(world: &World, promised: &Mutex<Promised>, round: u64, stop: &AtomicBool) {
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let name = format!("r{round}-{number}");
        let (versions, records) = {
            let promised = promised.lock().unwrap();
            (promised.versions.clone(), promised.records)
        };
        let made = world.run(&format!("snapshot create home@{name} --access-point {name}"));
        if !made.status.success() {
            return;
        }
        let mut all = promised.lock().unwrap();
        all.snapshots.insert(name.clone(), Promise { versions, records, hash: None });
        let victim = all.snapshots.keys().next().filter(|_| all.snapshots.len() > 20).cloned();
        let Some(victim) = victim else { continue };
        all.snapshots.remove(&victim);
        all.unknown = Some(victim.clone());
        drop(all);
        if !world.run(&format!("snapshot delete home@{victim}")).status.success() {
            return;
        }
        let mut all = promised.lock().unwrap();
        all.unknown = None;
        all.deleted.push(victim);
    }
}

/// Holds the moment at `root` against what was promised for it.
fn check_moment(root: &Path, versions: &BTreeMap<u64, u64>, records: u64) {
    for (file, wanted) in versions {
        let found = version(root, *file);
        assert!(found.is_some_and(|found| found >= *wanted), "file {file}: {found:?} < {wanted}");
    }
    let log = fs::read(root.join("log")).unwrap_or_default();
    assert!(log.len() as u64 >= records * RECORD as u64, "the log lost records");
    for number in 0..records {
        let at = number as usize * RECORD;
        assert!(log[at..at + RECORD] == record(number), "record {number} of the log is wrong");
    }
}

fn check(world: &World, promised: &mut Promised) {
    let home = world.path("home");
    check_moment(&home, &promised.versions, promised.records);
    // What was in flight may have become visible: from here on it counts.
    for file in 0..FILES {
        if let Some(version) = version(&home, file) {
            promised.versions.insert(file, version);
        }
    }
    let list = world.json("snapshot list home");
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert!(
        promised.deleted.iter().all(|name| !names.contains(&name.as_str())),
        "a delete came undone"
    );
    for (name, promise) in &mut promised.snapshots {
        assert!(names.contains(&name.as_str()), "snapshot {name} is gone");
        let root = home.join(".snapshots").join(name);
        let hash = Tree::read(&root).hash();
        if *promise.hash.get_or_insert(hash) != hash {
            panic!("snapshot {name} changed");
        }
        check_moment(&root, &promise.versions, promise.records);
    }
    assert_eq!(world.json("fsck")["clean"], true, "{}", world.ok("fsck"));
}

#[test]
fn a_kill_loses_nothing_that_was_synced() {
    let rounds = amount("TINTYPE_KILL_ROUNDS", 25);
    let transports = transports();
    if transports.is_empty() {
        return;
    }
    let mut rng = Rng::from_env("TINTYPE_KILL_SEED", 11);
    let mut world = World::home(transports[0]);
    let promised = Mutex::new(Promised::default());
    for round in 0..rounds {
        let home = world.path("home");
        let stop = AtomicBool::new(false);
        let wait = Duration::from_millis(100 + rng.below(900));
        let seed = rng.number();
        let pid = world.pid();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(&home, &promised, seed));
            let shots = scope.spawn(|| snapshots(&world, &promised, round, &stop));
            std::thread::sleep(wait);
            // By its number, because the other threads still use the world.
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            stop.store(true, Ordering::Release);
            unstick(&writer, &home);
            let error = writer.join().unwrap().unwrap_err();
            assert!(error.raw_os_error() != Some(libc::ENOSPC), "{error}");
            shots.join().unwrap();
        });
        world.wait();
        world.transport = transports[round as usize % transports.len()];
        world.start(&[]);
        assert!(!world.ready.contains("problem"), "{}", world.log());
        check(&world, &mut promised.lock().unwrap());
        assert_eq!(world.stop("-KILL"), None);
        world.start(&[]);
        check(&world, &mut promised.lock().unwrap());
    }
    assert!(promised.lock().unwrap().records > 0);
    assert!(promised.lock().unwrap().snapshots.len() > 3);
}

/// Ends the wait of a program that a killed server left behind.
fn unstick<T>(writer: &std::thread::ScopedJoinHandle<'_, T>, home: &Path) {
    for _ in 0..500 {
        if writer.is_finished() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("NOTE: a request was still waiting 10 s after the kill; the connection is aborted");
    let _ = rustix::mount::unmount(home, rustix::mount::UnmountFlags::FORCE);
}

fn settled(world: &mut World, what: &str) -> PathBuf {
    world.stop("-KILL");
    world.start(&[]);
    let path = world.path("home").join(what);
    assert!(path.exists(), "{what} is lost");
    path
}

#[test]
fn after_the_interval_everything_is_durable_without_a_sync() {
    for transport in transports() {
        let mut world = World::home(transport);
        world.ok("sync");
        fs::create_dir(world.path("home/dir")).unwrap();
        fs::write(world.path("home/dir/a"), vec![5; 200_000]).unwrap();
        fs::rename(world.path("home/dir"), world.path("home/renamed")).unwrap();
        // The documented interval of one second, and one to write what it found.
        std::thread::sleep(Duration::from_secs(2));
        let file = settled(&mut world, "renamed/a");
        assert_eq!(fs::read(file).unwrap(), vec![5; 200_000]);
    }
}

#[test]
fn sync_makes_everything_durable_now() {
    for transport in transports() {
        let mut world = World::home(transport);
        for round in 0..3 {
            // Held open, so that its pages are still in the kernel.
            let mut open = File::create(world.path("home").join(format!("a{round}"))).unwrap();
            open.write_all(&vec![round; 300_000]).unwrap();
            world.ok("sync home");
            let file = settled(&mut world, &format!("a{round}"));
            assert_eq!(fs::read(file).unwrap(), vec![round; 300_000]);
            drop(open);
        }
    }
}

#[test]
fn a_file_without_a_name_is_cleared_away_after_a_kill() {
    let Some(transport) = transports().pop() else { return };
    let mut world = World::home(transport);
    let mut open = File::create(world.path("home/a")).unwrap();
    open.write_all(&Rng::new(1).bytes(8 << 20)).unwrap();
    open.sync_all().unwrap();
    fs::remove_file(world.path("home/a")).unwrap();
    open.sync_all().unwrap();
    assert!(world.json("fs show home")["live_bytes"].as_u64().unwrap() > 8 << 20);
    world.stop("-KILL");
    world.start(&[]);
    world.idle();
    let left = world.json("fs show home")["live_bytes"].as_u64().unwrap();
    assert!(left < 1 << 20, "{left}");
    assert_eq!(world.json("fsck")["clean"], true);
}
