//! Speed of the folder adapter, printed. Run with `--release -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

use std::time::Instant;

use tintype_kv::{Batch, FjallKv, Kv, Options};

/// A 34-byte key, spread over the whole range.
fn key(n: u64) -> Vec<u8> {
    let mut key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().repeat(4);
    key.extend_from_slice(&[0, 0]);
    key
}

/// Runs `work` `count` times and prints how many were done in a second.
fn rate(name: &str, count: u64, mut work: impl FnMut(u64)) {
    let start = Instant::now();
    (0..count).for_each(&mut work);
    println!("{name}: {:.0}/s", count as f64 / start.elapsed().as_secs_f64());
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kv = FjallKv::open(dir.path(), Options::default()).unwrap();
    let records = 400_000;
    rate("batches of 20 records of 34 + 150 bytes", records / 20, |batch| {
        let mut ops = Batch::with_capacity(20);
        (batch * 20..batch * 20 + 20).for_each(|n| {
            ops.put(key(n), vec![n as u8; 150]);
        });
        kv.write(ops).unwrap();
    });
    rate("durable batches of 4 records", 300, |batch| {
        let mut ops = Batch::new();
        (0..4).for_each(|n| {
            ops.put(key(batch * 4 + n), vec![7; 150]);
        });
        kv.write(ops).unwrap();
        kv.sync().unwrap();
    });
    rate("gets", 200_000, |n| assert!(kv.get(&key(n * 7 % records)).unwrap().is_some()));
    rate("seeks to the first key at or after", 100_000, |n| {
        assert!(kv.range(&key(n * 7 % records), &[0xff; 35]).next().unwrap().is_ok());
    });
    let start = Instant::now();
    let found = kv.range(&[0], &[0xff; 35]).count();
    println!("scan: {:.0} records/s", found as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    kv.compact().unwrap();
    println!("compact: {:?}, {} MiB on disk", start.elapsed(), kv.disk_bytes().unwrap() >> 20);
    rate("gets after", 200_000, |n| assert!(kv.get(&key(n * 7 % records)).unwrap().is_some()));
    rate("seeks after", 100_000, |n| {
        assert!(kv.range(&key(n * 7 % records), &[0xff; 35]).next().unwrap().is_ok());
    });
    rate("seeks back after", 100_000, |n| {
        let last = kv.range_rev(&[0], &key(n * 7 % records)).next();
        assert!(last.is_none_or(|pair| pair.is_ok()));
    });
    drop(kv);
    let start = Instant::now();
    FjallKv::open(dir.path(), Options::default()).unwrap();
    println!("open: {:?}", start.elapsed());
}

/// What it would cost to sync the mark with every sync.
#[test]
#[ignore = "prints figures"]
fn a_synced_mark() {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kv = FjallKv::open(dir.path(), Options::default()).unwrap();
    let plain = std::fs::File::create(dir.path().join("mark")).unwrap();
    let through = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::DSYNC.bits() as i32)
        .open(dir.path().join("mark"))
        .unwrap();
    plain.write_all_at(&[1; 40], 0).unwrap();
    plain.sync_all().unwrap();
    let mut times = [const { Vec::new() }; 3];
    for n in 0..3000u64 {
        let mut ops = Batch::new();
        ops.put(key(n), vec![7; 150]);
        kv.write(ops).unwrap();
        let start = Instant::now();
        kv.sync().unwrap();
        let kind = usize::try_from(n % 3).unwrap();
        match kind {
            1 => {
                plain.write_all_at(&n.to_le_bytes(), 0).unwrap();
                plain.sync_data().unwrap();
            }
            2 => through.write_all_at(&n.to_le_bytes(), 0).unwrap(),
            _ => {}
        }
        times[kind].push(start.elapsed());
    }
    for (name, mut times) in
        ["alone", "and a synced mark", "and one written through"].iter().zip(times)
    {
        times.sort();
        println!("sync {name}: median {:?}", times[times.len() / 2]);
    }
}
