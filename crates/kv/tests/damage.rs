//! What the folder adapter makes of damage: nothing that was synced is ever missing without an error, and what a power loss
//! leaves of the rest is never an error.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tintype_kv::{Batch, FjallKv, Kv, KvError, Options};

/// Batches that the killed process has synced.
const SYNCED: u64 = 6;
const SECTOR: usize = 512;

fn open(dir: &Path) -> Result<FjallKv, KvError> {
    FjallKv::open(dir, Options { memtable_bytes: 1 << 20, ..Options::default() })
}

/// Batch `n` sets "last" and two keys of its own.
fn write(kv: &FjallKv, n: u64) {
    let mut batch = Batch::new();
    batch.put("last", n.to_be_bytes().to_vec());
    batch.put(format!("key{n:08}"), vec![n as u8; 40]);
    batch.put(format!("more{n:08}"), vec![n as u8; usize::try_from(n % 7 * 90).unwrap()]);
    kv.write(batch).unwrap();
}

/// The number of batches whose effect the store shows; panics when it is no prefix.
fn prefix(kv: &FjallKv) -> u64 {
    let last = kv.get(b"last").unwrap().map_or(0, |v| u64::from_be_bytes((*v).try_into().unwrap()));
    for (from, to) in [(b"key", b"kez"), (b"mor", b"mos")] {
        assert_eq!(kv.range(from, to).count() as u64, last);
    }
    (1..=last).for_each(|n| {
        let value = kv.get(format!("key{n:08}").as_bytes()).unwrap().unwrap();
        assert_eq!(value, vec![n as u8; 40]);
    });
    last
}

/// All files below a folder with their content; journals without the zeros at their end, and their length.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            let mut bytes = fs::read(entry.path()).unwrap();
            let len = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1));
            found.push((entry.path(), bytes, len));
        }
    }
    found.sort();
    found
}

/// Puts a folder back to what it was.
fn restore(dir: &Path, saved: &[(PathBuf, Vec<u8>, u64)]) {
    fs::remove_dir_all(dir).unwrap();
    for (path, bytes, len) in saved {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(*len).unwrap();
    }
}

/// Changes one byte in place.
fn flip(file: &Path, at: usize, mask: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at as u64).unwrap();
}

/// The process that is killed.
#[test]
#[ignore = "run by the tests below"]
fn victim() {
    let Some(dir) = std::env::var_os("TINTYPE_KV_VICTIM") else { return };
    let kv = open(Path::new(&dir)).unwrap();
    for n in 1..=SYNCED {
        write(&kv, n);
        kv.sync().unwrap();
    }
    println!("durable");
    std::thread::park();
}

/// A store whose process was killed after it had synced every batch.
fn killed(dir: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env("TINTYPE_KV_VICTIM", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "durable"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Flips each byte of the journal, but one in `step` from `sparse` on, and opens; `least` batches must be there, or an
/// error. Answers how often it was an error.
fn flip_each_byte(dir: &Path, least: u64, sparse: usize, step: usize) -> usize {
    let saved = files(dir);
    let journal = dir.join("0.jnl");
    let end = saved.iter().find(|file| file.0 == journal).unwrap().1.len();
    let mut errors = 0;
    for at in (0..end + 40).filter(|at| *at < sparse || at % step == 0) {
        let mask = [1 << (at % 8), 0xff][at / 8 % 2];
        flip(&journal, at, mask);
        match open(dir) {
            Ok(kv) => {
                let kept = prefix(&kv);
                assert!(kept >= least, "byte {at}: {kept} of {least}");
                drop(kv);
                restore(dir, &saved);
            }
            Err(KvError::Damaged { path, detail, .. }) => {
                assert_eq!(path, dir);
                assert!(detail.starts_with("0.jnl is damaged at byte "), "{detail}");
                flip(&journal, at, mask);
                errors += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(files(dir) == saved, "an error must not change anything");
    errors
}

#[test]
fn a_flipped_byte_in_what_a_killed_process_synced_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    let end = files(dir.path()).iter().find(|f| f.0.ends_with("0.jnl")).unwrap().1.len();
    let errors = flip_each_byte(dir.path(), SYNCED, usize::MAX, 1);
    assert!(errors > end - 20, "{errors} of {end}");
    assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
}

/// A power loss may take the mark. Then the later batches still say what was synced before them.
#[test]
fn without_the_mark_the_next_batch_tells() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    fs::remove_file(dir.path().join("synced")).unwrap();
    // What is flipped in the last batch opens, which takes longer than an error; so do 64 MiB of zeros.
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("0.jnl")).unwrap();
    file.set_len(8192).unwrap();
    let journal = fs::read(dir.path().join("0.jnl")).unwrap();
    let last = journal.windows(4).rposition(|part| part == b"last").unwrap() - 112;
    assert_eq!(journal[last..last + 5], [1, 4, 0, 0, 0], "the last batch starts here");
    let errors = flip_each_byte(dir.path(), SYNCED - 1, last, 17);
    assert!(errors > last - 9, "{errors} of {last}");
    assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
}

#[test]
fn a_journal_that_is_cut_emptied_or_gone_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    let saved = files(dir.path());
    let journal = dir.path().join("0.jnl");
    let end = saved.iter().find(|f| f.0 == journal).unwrap().1.len() as u64;
    for len in [0, 1, end / 2, end - 1] {
        fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(len).unwrap();
        assert!(matches!(open(dir.path()), Err(KvError::Damaged { .. })), "{len}");
        restore(dir.path(), &saved);
    }
    fs::remove_file(&journal).unwrap();
    assert!(matches!(open(dir.path()), Err(KvError::Damaged { .. })));
    restore(dir.path(), &saved);
    assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
}

/// A number from a seed (splitmix64).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a power loss may make of the sectors that changed after the last sync.
fn tear(before: &[u8], after: &[u8], seed: &mut u64) -> Vec<u8> {
    let (mut torn, losses) = (after.to_vec(), random(seed) % 5);
    for start in (0..after.len()).step_by(SECTOR) {
        let range = start..(start + SECTOR).min(after.len());
        if before[range.clone()] == after[range.clone()] {
            continue;
        }
        match random(seed) % 20 {
            rest if rest >= 3 * losses.max(1) => {}
            0 | 5 => torn[range.clone()].copy_from_slice(&before[range.clone()]),
            // A sector that held synced bytes is there as before or as after.
            _ if before[range.clone()].iter().any(|&b| b != 0) => {}
            1 | 4 => torn[range].fill(0),
            _ => torn[range].iter_mut().for_each(|byte| *byte = random(seed) as u8),
        }
    }
    if random(seed).is_multiple_of(4) {
        let least = before.iter().rposition(|&b| b != 0).unwrap() + 1;
        torn.truncate(least + usize::try_from(random(seed)).unwrap() % (torn.len() - least));
    }
    torn
}

#[test]
fn a_torn_end_is_never_an_error_and_keeps_what_was_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (live, torn) = (dir.path().join("live"), dir.path().join("torn"));
    let kv = open(&live).unwrap();
    (1..=10).for_each(|n| {
        write(&kv, n);
        kv.sync().unwrap();
    });
    let journal = live.join("0.jnl");
    let mut before = fs::read(&journal).unwrap();
    let mark = fs::read(live.join("synced")).unwrap();
    (11..=40).for_each(|n| write(&kv, n));
    // Brings the bytes into the file; with the mark of before, it is a sync that did not return.
    kv.sync().unwrap();
    let mut after = fs::read(&journal).unwrap();
    let end = after.iter().rposition(|&b| b != 0).unwrap() + 2 * SECTOR;
    before.truncate(end);
    after.truncate(end);
    let saved = files(&live);
    let (mut seed, mut seen) = (1, std::collections::BTreeSet::new());
    for round in 0..60 {
        let moved: Vec<_> = saved
            .iter()
            .map(|(path, bytes, len)| {
                (torn.join(path.strip_prefix(&live).unwrap()), bytes.clone(), *len)
            })
            .collect();
        fs::create_dir_all(&torn).unwrap();
        restore(&torn, &moved);
        fs::write(torn.join("0.jnl"), tear(&before, &after, &mut seed)).unwrap();
        if round % 2 == 0 {
            fs::write(torn.join("synced"), &mark).unwrap();
        } else {
            fs::remove_file(torn.join("synced")).unwrap();
        }
        let kept = prefix(&open(&torn).unwrap_or_else(|e| panic!("round {round}: {e}")));
        assert!(kept >= 10, "round {round} kept {kept}");
        seen.insert(kept);
        // Opened and closed in order, it is a store like any other.
        assert_eq!(prefix(&open(&torn).unwrap()), kept);
    }
    assert!(seen.len() > 3, "{seen:?}");
}

#[test]
fn a_flipped_bit_in_the_small_files_of_the_engine_never_shows_less() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        if kill {
            killed(dir.path());
        } else {
            let kv = open(dir.path()).unwrap();
            (1..=SYNCED).for_each(|n| write(&kv, n));
            kv.compact().unwrap();
        }
        let saved = files(dir.path());
        let small = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let ours = ["identity", "version", "current", "closed", "synced"].contains(&name);
            ours || name.starts_with('v')
        };
        let mut checked = 0;
        for (path, bytes, _) in saved.iter().filter(|file| small(&file.0)) {
            // Files that the engine no longer reads open, which takes longer than an error.
            let step = if path.ends_with("current") || path.ends_with("identity") { 1 } else { 7 };
            for at in (0..bytes.len()).step_by(step) {
                flip(path, at, 1 << (at % 8));
                match open(dir.path()) {
                    Ok(kv) => assert_eq!(prefix(&kv), SYNCED, "{} byte {at}", path.display()),
                    Err(KvError::Damaged { .. }) => checked += 1,
                    Err(other) => panic!("{} byte {at}: {other}", path.display()),
                }
                restore(dir.path(), &saved);
            }
        }
        assert!(checked > 80, "{checked}");
    }
}

#[test]
fn a_missing_file_of_the_engine_or_of_ours_never_shows_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    {
        let kv = open(dir.path()).unwrap();
        (1..=SYNCED).for_each(|n| write(&kv, n));
        kv.compact().unwrap();
    }
    let saved = files(dir.path());
    for (path, ..) in &saved {
        fs::remove_file(path).unwrap();
        match open(dir.path()) {
            Ok(kv) => assert_eq!(prefix(&kv), SYNCED, "{}", path.display()),
            Err(error) => assert!(
                matches!(error, KvError::Damaged { .. } | KvError::Io { .. }),
                "{}: {error}",
                path.display()
            ),
        }
        restore(dir.path(), &saved);
    }
    fs::remove_dir_all(dir.path().join("keyspaces")).unwrap();
    assert!(matches!(open(dir.path()), Err(KvError::Damaged { .. })));
    restore(dir.path(), &saved);
    assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
}

/// Where the batches of a journal start: in front of each link.
fn starts(journal: &[u8]) -> Vec<usize> {
    let key = [&[0xff; 8][..], b"L"].concat();
    (0..journal.len()).filter(|at| journal[*at..].starts_with(&key)).map(|at| at - 34).collect()
}

/// The first `count` batches of a journal.
fn first(journal: &[u8], count: usize) -> Vec<u8> {
    journal[..starts(journal)[count]].to_vec()
}

/// The files of an open store as a kill would leave them, but the journals: in memory goes to tables after `flushed`.
fn live(dir: &Path, flushed: u64, last: u64) -> Vec<(PathBuf, Vec<u8>, u64)> {
    let kv = open(dir).unwrap();
    for n in 1..=last {
        write(&kv, n);
        kv.sync().unwrap();
        if n == flushed {
            kv.compact().unwrap();
        }
    }
    let saved = files(dir);
    drop(kv);
    restore(dir, &saved);
    saved
}

/// After a sync that failed, the engine may flush memory all the same; then power goes.
#[test]
fn tables_that_are_ahead_of_the_journals_open_and_go_on() {
    for torn in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("0.jnl");
        live(dir.path(), SYNCED, SYNCED);
        let all = fs::read(&journal).unwrap();
        // The first batch of a store is empty; this one ends with the third of ours.
        let mut short = first(&all, 4);
        if torn {
            short.extend(&all[short.len()..][..50]);
        }
        fs::write(&journal, &short).unwrap();
        fs::remove_file(dir.path().join("synced")).unwrap();
        assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
        // Opened again without a write, killed with some, and closed in order.
        let kv = open(dir.path()).unwrap();
        write(&kv, SYNCED + 1);
        kv.sync().unwrap();
        let saved = files(dir.path());
        drop(kv);
        assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED + 1);
        restore(dir.path(), &saved);
        assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED + 1);
        // What is behind the hole is as dear as anything.
        restore(dir.path(), &saved);
        let bytes = fs::read(&journal).unwrap();
        flip(&journal, *starts(&bytes).last().unwrap() + 100, 1);
        let Err(error) = open(dir.path()) else { panic!("a flipped byte was accepted") };
        assert!(error.to_string().contains("0.jnl is damaged at byte"), "{error}");
    }
}

#[test]
fn a_missing_journal_is_none_when_the_tables_hold_its_batches() {
    for (flushed, last, opens) in [(6, 9, true), (1, 9, false)] {
        let dir = tempfile::tempdir().unwrap();
        live(dir.path(), flushed, last);
        let journal = dir.path().join("0.jnl");
        let all = fs::read(&journal).unwrap();
        let starts = starts(&all);
        let end = all.iter().rposition(|&b| b != 0).unwrap() + 1;
        fs::write(&journal, &all[..starts[3]]).unwrap();
        fs::write(dir.path().join("2.jnl"), &all[starts[7]..end]).unwrap();
        let before = files(dir.path());
        match open(dir.path()) {
            Ok(kv) => assert!(opens && prefix(&kv) == last),
            Err(KvError::Damaged { detail, .. }) => {
                assert!(!opens && detail.starts_with("2.jnl is damaged at byte 0"), "{detail}");
                // But for files of the engine that no version of a tree names.
                let after = files(dir.path());
                assert!(after.iter().all(|file| before.contains(file)), "a file has changed");
                let tree = dir.path().join("keyspaces");
                let gone = |file: &&(PathBuf, Vec<u8>, u64)| !after.contains(file);
                assert!(before.iter().filter(gone).all(|file| file.0.starts_with(&tree)));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The engine made a journal after a write that failed, and nothing whole reached it.
#[test]
fn an_empty_journal_behind_a_torn_one_goes() {
    let dir = tempfile::tempdir().unwrap();
    let saved = live(dir.path(), 0, SYNCED);
    let (old, new) = (dir.path().join("0.jnl"), dir.path().join("1.jnl"));
    let all = fs::read(&old).unwrap();
    let starts = starts(&all);
    let torn = starts.last().unwrap() + 50;
    for behind in [&b""[..], &[0; 9000], &all[..60]] {
        restore(dir.path(), &saved);
        fs::write(&old, &all[..torn]).unwrap();
        fs::write(&new, behind).unwrap();
        // The mark says that the last batch was synced.
        let Err(error) = open(dir.path()) else { panic!("a loss was accepted") };
        let place = format!("0.jnl is damaged at byte {}", starts.last().unwrap());
        assert!(error.to_string().contains(&place), "{error}");
        fs::remove_file(dir.path().join("synced")).unwrap();
        let kv = open(dir.path()).unwrap();
        assert!(!new.exists());
        assert_eq!(prefix(&kv), SYNCED - 1);
        write(&kv, SYNCED);
        drop(kv);
        assert_eq!(prefix(&open(dir.path()).unwrap()), SYNCED);
    }
}
