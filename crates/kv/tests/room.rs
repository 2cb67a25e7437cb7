//! A disk that others fill: batches are refused before anything happens, and go on when there is room again.
//!
//! Needs root, for a small disk of its own; skipped loudly elsewhere.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tintype_kv::{Batch, FjallKv, Kv, KvError, Options};

const MIB: u64 = 1 << 20;

/// A disk of 64 MiB that is gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` when this process may not mount.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = Some(c"size=64m");
        match mount("none", dir.path(), "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(dir)),
            Err(e) => {
                eprintln!("SKIPPED: cannot mount a small disk: {e}");
                None
            }
        }
    }

    fn kv(&self) -> PathBuf {
        self.0.path().join("kv")
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.0.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Another program leaves `free` bytes.
    fn fill(&self, free: u64) -> PathBuf {
        let path = self.0.path().join("other");
        let mut file = fs::File::create(&path).unwrap();
        while self.free() > free {
            let want = usize::try_from((self.free() - free).min(MIB)).unwrap();
            file.write_all(&vec![1; want]).unwrap();
        }
        path
    }
}

/// The processes that are killed: one while the store is open, one while it opens it.
#[test]
#[ignore = "run by the test below"]
fn victim() {
    use rustix::process::{Resource, Rlimit, kill_process, setrlimit};
    let Some(dir) = std::env::var_os("TINTYPE_KV_VICTIM").map(PathBuf::from) else { return };
    if let Some(end) = std::env::var_os("TINTYPE_KV_END") {
        // Writing behind this byte of any file ends the process at once.
        let current = Some(end.to_str().unwrap().parse().unwrap());
        setrlimit(Resource::Fsize, Rlimit { current, maximum: current }).unwrap();
        drop(FjallKv::open(dir, Options::default()));
        return;
    }
    let kv = FjallKv::open(dir, Options::default()).unwrap();
    let batches = std::env::var("TINTYPE_KV_BATCHES").unwrap().parse().unwrap();
    for n in 0..batches {
        kv.write(batch(n, 60_000)).unwrap();
    }
    kv.sync().unwrap();
    kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
}

/// Runs the victim that writes so many batches, or that ends while it opens the store; answers the signal that ended it.
fn ended_by(dir: &Path, batches: u32, end: Option<usize>) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "victim", "--ignored"]).env("TINTYPE_KV_VICTIM", dir);
    command.env("TINTYPE_KV_BATCHES", batches.to_string());
    if let Some(end) = end {
        command.env("TINTYPE_KV_END", end.to_string());
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().signal()
}

/// A kill, then a disk without a free byte, then kills in the middle of the repair: opening takes no room.
#[test]
fn a_killed_store_opens_on_a_disk_without_a_free_byte() {
    let Some(disk) = Disk::new() else { return };
    const SIGKILL: i32 = 9;
    const SIGXFSZ: i32 = 25;
    assert_eq!(ended_by(&disk.kv(), 200, None), Some(SIGKILL));
    let journal = disk.kv().join("0.jnl");
    let content = || {
        let mut bytes = fs::read(&journal).unwrap();
        bytes.truncate(bytes.iter().rposition(|&b| b != 0).unwrap() + 1);
        bytes
    };
    let before = content();
    // What an older repair left half-way.
    fs::write(disk.kv().join("0.new"), [1; 5000]).unwrap();
    let _other = disk.fill(0);
    for end in [4096, before.len() / 3, before.len() / 2, before.len() - 1] {
        assert_eq!(ended_by(&disk.kv(), 0, Some(end)), Some(SIGXFSZ), "at {end}");
        assert!(content() == before, "at {end}");
        // Each of them has given back room that was taken ahead; others take it.
        fs::rename(disk.0.path().join("other"), disk.0.path().join(format!("o{end}"))).unwrap();
        disk.fill(0);
    }
    let kv = FjallKv::open(disk.kv(), Options::default()).unwrap();
    assert_eq!(kv.range(b"key", b"kez").count(), 200);
    assert!(!disk.kv().join("0.new").exists());
}

/// Several journals that no table holds: the engine flushes them at once, and the error says what that takes.
#[test]
fn an_opening_that_needs_room_says_how_much() {
    let Some(disk) = Disk::new() else { return };
    // Less than memory takes: nothing went to tables before the kill, however slow the machine is.
    assert_eq!(ended_by(&disk.kv(), 30, None), Some(9));
    let journal = disk.kv().join("0.jnl");
    let all = fs::read(&journal).unwrap();
    let key = [&[0xff; 8][..], b"L"].concat();
    let links = (0..all.len()).filter(|at| all[*at] == 0xff && all[*at..].starts_with(&key));
    let half = links.map(|at| at - 34).nth(20).unwrap();
    let end = all.iter().rposition(|&b| b != 0).unwrap() + 1;
    fs::write(&journal, &all[..half]).unwrap();
    fs::write(disk.kv().join("1.jnl"), &all[half..end]).unwrap();
    let other = disk.fill(0);
    match FjallKv::open(disk.kv(), Options::default()) {
        Err(error @ KvError::NoSpace { needed, .. }) => {
            assert_eq!(needed, half as u64 + MIB);
            let said = error.to_string();
            assert!(said.contains(&disk.kv().display().to_string()), "{said}");
            assert!(said.contains("free some space on it and try again"), "{said}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened without room"),
    }
    fs::remove_file(&other).unwrap();
    drop(disk.fill(half as u64 + MIB + 65536));
    let kv = FjallKv::open(disk.kv(), Options::default()).unwrap();
    assert_eq!(kv.range(b"key", b"kez").count(), 30);
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

fn open(dir: &Path) -> FjallKv {
    FjallKv::open(dir, Options { memtable_bytes: MIB, ..Options::default() }).unwrap()
}

fn batch(n: u64, len: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(format!("key{n:08}"), vec![n as u8; len]);
    batch
}

#[test]
fn a_full_disk_refuses_batches_and_the_store_goes_on_when_there_is_room() {
    let Some(disk) = Disk::new() else { return };
    let kv = open(&disk.kv());
    kv.write(batch(1, 1000)).unwrap();
    kv.sync().unwrap();
    let other = disk.fill(0);
    for n in 0..50 {
        let refused = kv.write(batch(100 + n, 30_000));
        assert!(matches!(refused, Err(KvError::NoSpace { .. })), "{refused:?}");
    }
    kv.sync().unwrap();
    fs::remove_file(&other).unwrap();
    (2..=10).for_each(|n| kv.write(batch(n, 1000)).unwrap());
    kv.sync().unwrap();
    assert_eq!(kv.range(b"key", b"kez").count(), 10);
    drop(kv);
    assert_eq!(open(&disk.kv()).range(b"key", b"kez").count(), 10);
}

#[test]
fn what_frees_space_may_use_the_room_that_others_may_not() {
    let Some(disk) = Disk::new() else { return };
    let kv = open(&disk.kv());
    kv.write(batch(1, 1000)).unwrap();
    let _other = disk.fill(MIB / 2);
    // The journal has room, but the memory table could not go to disk.
    assert!(matches!(kv.write(batch(2, 1000)), Err(KvError::NoSpace { .. })));
    let mut frees = batch(3, 1000);
    frees.delete("key00000001").frees_space();
    kv.write(frees).unwrap();
    kv.sync().unwrap();
    assert_eq!(kv.range(b"key", b"kez").count(), 1);
}

/// The journal's room is taken ahead, in the journal of a new store and in one that was found.
#[test]
fn a_batch_that_was_accepted_has_its_room_in_the_journal() {
    let Some(disk) = Disk::new() else { return };
    for reopened in [false, true] {
        // Memory tables that stay in memory: a flush that fails is another matter.
        let kv = FjallKv::open(disk.kv(), Options::default()).unwrap();
        let _other = disk.fill(6 * MIB);
        let mut accepted = 0;
        for n in 0..2000 {
            match kv.write(batch(n, 10_000)) {
                Ok(()) => accepted += 1,
                Err(KvError::NoSpace { .. }) => break,
                Err(other) => panic!("after {accepted}, reopened {reopened}: {other}"),
            }
        }
        kv.sync().unwrap();
        assert!(accepted < 2000);
    }
}

#[test]
fn a_disk_without_a_free_byte_takes_small_batches_that_free_space_and_refuses_large_ones_unharmed()
{
    let Some(disk) = Disk::new() else { return };
    let kv = FjallKv::open(disk.kv(), Options::default()).unwrap();
    // The journal is just short of the step in which its room is taken.
    (0..100).for_each(|n| kv.write(batch(1000 + n, 10_000)).unwrap());
    kv.sync().unwrap();
    let other = disk.fill(0);
    for n in 0..50 {
        let mut small = batch(100 + n, 10_000);
        small.frees_space();
        kv.write(small).unwrap();
    }
    // More than memory takes: its table would find no room, and the engine would end.
    let mut large = batch(2, 3 << 20);
    large.frees_space();
    assert!(matches!(kv.write(large.clone()), Err(KvError::NoSpace { .. })));
    kv.sync().unwrap();
    fs::remove_file(&other).unwrap();
    kv.write(large).unwrap();
    kv.sync().unwrap();
    drop(kv);
    assert_eq!(open(&disk.kv()).range(b"key", b"kez").count(), 151);
}

/// Batches of both kinds until neither is taken, while tables are flushed and merged: the engine never fails.
#[test]
fn an_almost_full_disk_never_ends_the_engine() {
    let Some(disk) = Disk::new() else { return };
    let kv = open(&disk.kv());
    let other = disk.fill(24 * MIB);
    let (mut taken, mut refused) = (0, 0);
    for n in 0..3000 {
        let mut next = batch(n % 900, 20_000);
        if n % 3 == 0 {
            next.frees_space();
        }
        match kv.write(next) {
            Ok(()) => taken += 1,
            Err(KvError::NoSpace { .. }) => refused += 1,
            Err(e) => panic!("after {taken}: {e}"),
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    kv.sync().unwrap();
    fs::remove_file(&other).unwrap();
    kv.write(batch(1, 1000)).unwrap();
    kv.sync().unwrap();
}

/// With what is said to be kept, and a little for the batch and the filesystem's own blocks, a batch is taken; with much less, not.
#[test]
fn what_is_kept_is_what_batches_are_refused_for() {
    let Some(disk) = Disk::new() else { return };
    let kv = open(&disk.kv());
    for n in 0..60 {
        kv.write(batch(n, 50_000)).unwrap();
    }
    let kept = kv.kept_bytes();
    assert!((2 * MIB..32 * MIB).contains(&kept), "{kept}");
    let enough = disk.fill(kept + MIB);
    kv.write(batch(100, 10_000)).unwrap();
    drop(fs::remove_file(enough));
    let _other = disk.fill(kv.kept_bytes() - 3 * MIB);
    assert!(matches!(kv.write(batch(101, 10_000)), Err(KvError::NoSpace { .. })));
}

#[test]
fn room_is_asked_for_before_a_batch_is_made() {
    let Some(disk) = Disk::new() else { return };
    let kv = open(&disk.kv());
    kv.room_for(100_000, 4 * MIB, false).unwrap();
    let _other = disk.fill(8 * MIB);
    kv.room_for(100_000, MIB, false).unwrap();
    assert!(matches!(kv.room_for(100_000, 8 * MIB, false), Err(KvError::NoSpace { .. })));
    kv.room_for(100_000, 0, true).unwrap();
}
