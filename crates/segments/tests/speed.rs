//! Speed of encoding, appending and reading, printed. Run with `--release -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod samples;

use std::sync::Arc;
use std::time::Instant;

use tintype_segments::*;

/// Runs `work` for a while; nanoseconds per run.
fn nanos(mut work: impl FnMut()) -> u128 {
    work();
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed().as_millis() < 300 {
        work();
        runs += 1;
    }
    start.elapsed().as_nanos() / runs
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    let noise: bytes::Bytes = samples::blocks(1, 32).into();
    let text: bytes::Bytes = samples::blocks(2, 32).into();
    for (name, wish, data) in [
        ("off, noise", Codec::Off, &noise),
        ("lz4, noise", Codec::Lz4, &noise),
        ("zstd 3, noise", Codec::Zstd(3), &noise),
        ("lz4, regular", Codec::Lz4, &text),
        ("zstd 3, regular", Codec::Zstd(3), &text),
    ] {
        let copied = nanos(|| drop(encode(wish, ExtentId(1), u32::MAX, &[], data)));
        let shared = nanos(|| drop(encode_bytes(wish, ExtentId(1), u32::MAX, &[], data.clone())));
        println!("encode 128 KiB {name}: {copied} ns, shared {shared} ns");
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = Arc::new(FolderFiles::open(dir.path()).unwrap());
    let segments = Segments::open(files, Options::default()).unwrap();
    let frames: Vec<Encoded> = (0..16)
        .map(|n| encode_bytes(Codec::Off, ExtentId(n), u32::MAX, &[], noise.clone()).unwrap())
        .collect();
    let (start, mut stored) = (Instant::now(), Vec::new());
    for _ in 0..100 {
        stored.extend(segments.append(&frames).unwrap());
    }
    let appended = start.elapsed();
    segments.sync().unwrap();
    let synced = start.elapsed();
    let mib = |d: std::time::Duration| 200.0 / d.as_secs_f64();
    println!(
        "append 16 x 128 KiB: {:.0} MiB/s; with one sync at the end {:.0} MiB/s",
        mib(appended),
        mib(synced)
    );
    let mut at = 0;
    let mut next = || {
        at = (at + 7) % stored.len();
        (ExtentId(at as u64 % 16), &stored[at])
    };
    let whole = nanos(|| {
        let (id, stored) = next();
        segments.read(id, stored).unwrap();
    });
    let mut out = [0; BLOCK];
    let one = nanos(|| {
        let (id, stored) = next();
        segments.read_blocks(id, stored, 9, 1, &mut out).unwrap();
    });
    println!("read (cached): 128 KiB {whole} ns, one block {one} ns");
}
