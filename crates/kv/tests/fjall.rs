//! The folder adapter: the contract, its lock, kills, torn journals, and that compaction frees the disk.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod contract;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tintype_kv::{Batch, FjallKv, Kv, KvError, Options};

fn open(dir: &Path) -> FjallKv {
    FjallKv::open(dir, Options { memtable_bytes: 1 << 20, ..Options::default() }).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn agrees_with_a_map(steps in contract::steps()) {
        let dir = tempfile::tempdir().unwrap();
        contract::agrees_with_a_map(|old| { drop(old); open(dir.path()) }, steps);
    }
}

#[test]
fn contract() {
    let dir = tempfile::tempdir().unwrap();
    contract::order_and_refusal(&open(&dir.path().join("a")));
    contract::readers_never_see_half_a_batch(&open(&dir.path().join("b")));
    contract::open_iterators_do_not_block(&open(&dir.path().join("c")));
}

#[test]
fn a_second_opener_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = FjallKv::open(dir.path(), Options::default());
    assert!(matches!(second, Err(KvError::InUse { path }) if path == dir.path()));
    drop(first);
    open(dir.path());
}

#[test]
fn an_interrupted_creation_is_finished() {
    for version in [None, Some(&b""[..])] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keyspaces")).unwrap();
        fs::write(dir.path().join("0.jnl"), [0; 100]).unwrap();
        if let Some(bytes) = version {
            fs::write(dir.path().join("version"), bytes).unwrap();
        }
        write(&open(dir.path()), 1);
        assert_eq!(prefix(&open(dir.path())), 1);
    }
}

#[test]
fn compaction_frees_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let kv = open(dir.path());
    for n in 0..40_000u64 {
        let mut batch = Batch::new();
        let value: Vec<u8> = (0..300).map(|i| (n.wrapping_mul(i * i + 7) >> 3) as u8).collect();
        batch.put((n % 4000).to_be_bytes().to_vec(), value);
        kv.write(batch).unwrap();
    }
    kv.sync().unwrap();
    kv.compact().unwrap();
    let tables = |kv: &FjallKv| {
        let journals: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.path().extension().is_some_and(|x| x == "jnl"))
            .map(|e| std::os::unix::fs::MetadataExt::blocks(&e.metadata().unwrap()) * 512)
            .sum();
        kv.disk_bytes().unwrap() - journals
    };
    let full = tables(&kv);
    assert!(full < 3 << 20, "4000 records of 300 bytes take {full} bytes");
    let mut batch = Batch::new();
    (0..4000u64).for_each(|n| {
        batch.delete(n.to_be_bytes().to_vec());
    });
    kv.write(batch).unwrap();
    kv.compact().unwrap();
    let empty = tables(&kv);
    assert!(empty < 1 << 18, "no record takes {empty} bytes");
}

/// Batch `n` sets "last" and a few keys of its own.
fn write(kv: &FjallKv, n: u64) {
    let mut batch = Batch::new();
    batch.put("last", n.to_string());
    for part in 0..n % 5 + 1 {
        batch.put(format!("key{n:08}-{part}"), vec![n as u8; 50]);
    }
    kv.write(batch).unwrap();
}

/// The number of batches whose effect the store shows; panics when it is no prefix.
fn prefix(kv: &FjallKv) -> u64 {
    let last = kv.get(b"last").unwrap();
    let last: u64 = last.map_or(0, |v| std::str::from_utf8(&v).unwrap().parse().unwrap());
    let expected: u64 = (1..=last).map(|n| n % 5 + 1).sum();
    assert_eq!(kv.range(b"key", b"kez").count() as u64, expected);
    last
}

/// Copies a folder as a power loss would find it, with the journals passed through `change`.
fn copy(from: &Path, to: &Path, change: &dyn Fn(Vec<u8>) -> Vec<u8>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target, change);
        } else if path.extension().is_some_and(|x| x == "jnl") {
            fs::write(target, change(fs::read(path).unwrap())).unwrap();
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_torn_journal_gives_a_prefix_and_new_writes_hold() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let kv = open(&live);
    let end = || fs::read(live.join("0.jnl")).unwrap().iter().rposition(|&b| b != 0).unwrap() + 1;
    (1..=20).for_each(|n| write(&kv, n));
    kv.sync().unwrap();
    let (synced, mark) = (end(), fs::read(live.join("synced")).unwrap());
    // The later sync brings the bytes into the file. With the mark of before, it is one that did not return.
    (21..=50).for_each(|n| write(&kv, n));
    kv.sync().unwrap();
    let end = end();
    for round in 0..24usize {
        let torn = dir.path().join(format!("torn{round}"));
        let cut = synced + (end - synced) * round / 23;
        let tear: &dyn Fn(Vec<u8>) -> Vec<u8> = match round % 3 {
            0 => &|mut bytes| {
                bytes.truncate(cut);
                bytes
            },
            1 => &|mut bytes| {
                bytes[cut..].fill(0);
                bytes
            },
            _ => &|mut bytes| {
                bytes[cut..end].fill(0xa5);
                bytes
            },
        };
        copy(&live, &torn, tear);
        fs::write(torn.join("synced"), &mark).unwrap();
        let kept = {
            let kv = open(&torn);
            let kept = prefix(&kv);
            (kept + 1..=kept + 5).for_each(|n| write(&kv, n));
            kept
        };
        assert!(kept >= if round < 23 { 20 } else { 49 }, "round {round} kept {kept}");
        assert_eq!(prefix(&open(&torn)), kept + 5);
    }
}

/// The writer that is killed: writes and syncs for ever, and says on its output what is durable.
#[test]
#[ignore = "run by the test below"]
fn victim() {
    let Some(dir) = std::env::var_os("TINTYPE_KV_VICTIM") else { return };
    let kv = open(Path::new(&dir));
    let mut n = prefix(&kv);
    loop {
        (0..10).for_each(|_| {
            n += 1;
            write(&kv, n);
        });
        kv.sync().unwrap();
        println!("durable {n}");
    }
}

#[test]
fn kills_lose_nothing_that_was_synced() {
    let dir = tempfile::tempdir().unwrap();
    let mut most = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--ignored", "--nocapture"])
            .env("TINTYPE_KV_VICTIM", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let until = Instant::now() + Duration::from_millis(20 + round * 25);
        let reader = std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .filter_map(|l| l.strip_prefix("durable ").and_then(|n| n.parse::<u64>().ok()))
                .last()
        });
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        child.kill().unwrap();
        child.wait().unwrap();
        let acked = reader.join().unwrap().unwrap_or(0);
        let kept = prefix(&open(dir.path()));
        assert!(kept >= acked.max(most), "{acked} were durable, {kept} are there");
        most = kept;
    }
    assert!(most > 0);
}
