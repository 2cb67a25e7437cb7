//! Both adapters keep the contract; what is special to the folder.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod contract;
mod samples;

use std::sync::Arc;

use tintype_segments::*;

#[test]
fn memory() {
    contract::port(&MemoryFiles::new());
    contract::segments(Arc::new(MemoryFiles::new()));
}

#[test]
fn folder() {
    let dir = tempfile::tempdir().unwrap();
    contract::port(&FolderFiles::open(dir.path()).unwrap());
    contract::segments(Arc::new(FolderFiles::open(dir.path().join("new/deep")).unwrap()));
}

#[test]
fn the_folder_leaves_other_files_alone_and_keeps_few_open() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "notes.txt",
        "1.seg",
        "000000000000000G.seg",
        "000000000000000A.seg",
        "0000000000000007.new",
    ] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    let files = FolderFiles::open(dir.path()).unwrap();
    assert!(files.list().unwrap().is_empty());
    assert!(!dir.path().join("0000000000000007.new").exists());
    for id in (1..=200).map(SegmentId) {
        files.create(id).unwrap();
        files.write_at(id, 0, &[&id.0.to_le_bytes()]).unwrap();
    }
    assert!(dir.path().join("000000000000000a.seg").exists());
    let ours = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| {
        std::fs::read_link(e.unwrap().path()).ok().filter(|p| p.starts_with(dir.path()))
    });
    assert!(ours.count() <= 64);
    for id in (1..=200).map(SegmentId) {
        let mut out = [0; 8];
        files.read_at(id, 0, &mut out).unwrap();
        assert_eq!(u64::from_le_bytes(out), id.0);
    }
}

/// Readers in other threads while segments are written, synced and removed: right bytes or "gone", nothing else.
#[test]
fn readers_and_removal() {
    let dir = tempfile::tempdir().unwrap();
    let files = Arc::new(FolderFiles::open(dir.path()).unwrap());
    let options = Options { segment_bytes: 256 << 10, ..Options::default() };
    let segments = Segments::open(files, options).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let places = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..400u64 {
                let (encoded, bytes) = samples::extent(n, Codec::Lz4, 0xff);
                let stored = segments.append(&[encoded]).unwrap().remove(0);
                places.lock().unwrap().push((n, stored, bytes));
                if n % 50 == 49 {
                    segments.sync().unwrap();
                    let oldest = segments.list().unwrap()[0].id;
                    segments.remove(oldest).unwrap();
                }
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        for salt in 0..2usize {
            let (done, segments, places) = (&done, &segments, &places);
            scope.spawn(move || {
                let mut step = salt;
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    step = step.wrapping_mul(31).wrapping_add(17);
                    let picked = {
                        let places = places.lock().unwrap();
                        places.get(step % places.len().max(1)).cloned()
                    };
                    let Some((n, stored, bytes)) = picked else { continue };
                    match segments.read(ExtentId(n), &stored) {
                        Ok(read) => assert_eq!(read[..], bytes[..]),
                        Err(error) => {
                            assert!(matches!(error, SegmentsError::Gone { .. }), "{error}")
                        }
                    }
                }
            });
        }
    });
}
