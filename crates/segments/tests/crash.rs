//! Power loss, failed and skipped syncs, full disks, torn tails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod samples;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tintype_segments::*;

const OPTIONS: Options = Options { segment_bytes: 256 << 10, first_id: 1 };

fn open(files: &Arc<MemoryFiles>) -> Segments {
    Segments::open(Arc::clone(files) as Arc<dyn SegmentFiles>, OPTIONS).unwrap()
}

fn append(segments: &Segments, n: u64) -> Result<Stored, SegmentsError> {
    let (encoded, _) = samples::extent(n, Codec::Lz4, 0x0f0f | n as u32);
    segments.append(&[encoded]).map(|mut stored| stored.remove(0))
}

fn is_whole(segments: &Segments, n: u64, stored: &Stored) -> bool {
    let (_, bytes) = samples::extent(n, Codec::Lz4, 0x0f0f | n as u32);
    match segments.read(ExtentId(n), stored) {
        Ok(read) => {
            assert_eq!(read[..], bytes[..], "wrong bytes were given out");
            true
        }
        Err(_) => false,
    }
}

/// Appends with syncs in between; how many of the extents a sync covered, and the places.
fn run(segments: &Segments, count: u64, sync_every: u64) -> (usize, Vec<Stored>) {
    let (mut synced, mut places) = (0, Vec::new());
    for n in 0..count {
        places.push(append(segments, n).unwrap());
        if n % sync_every == sync_every - 1 {
            segments.sync().unwrap();
            synced = places.len();
        }
    }
    (synced, places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// What a sync covered survives any power loss, twice; the rest is whole or noticed; new appends work.
    #[test]
    fn synced_extents_survive(count in 1u64..60, sync_every in 1u64..20, seed in any::<u64>()) {
        let files = Arc::new(MemoryFiles::new());
        let (synced, mut places) = run(&open(&files), count, sync_every);
        let after = Arc::new(files.crash(seed));
        let segments = open(&after);
        for (n, stored) in places.iter().enumerate() {
            let whole = is_whole(&segments, n as u64, stored);
            prop_assert!(whole || n >= synced, "extent {} of {} synced ones is lost", n, synced);
        }
        places.truncate(synced);
        for n in count..count + 5 {
            let stored = append(&segments, n).unwrap();
            prop_assert!(is_whole(&segments, n, &stored));
        }
        segments.sync().unwrap();
        let frames: Vec<_> = segments.list().unwrap().iter()
            .flat_map(|info| segments.frames(info.id).unwrap()).collect::<Result<_, _>>().unwrap();
        prop_assert!(frames.len() >= synced + 5);
        let segments = open(&Arc::new(after.crash(seed ^ 1)));
        for (n, stored) in places.iter().enumerate() {
            prop_assert!(is_whole(&segments, n as u64, stored));
        }
    }
}

/// The simulation must be able to find a missing sync.
#[test]
fn a_skipped_sync_is_found() {
    let lost = (0..40).any(|seed| {
        let files = Arc::new(MemoryFiles::new());
        files.skip_sync(3);
        let (synced, places) = run(&open(&files), 9, 3);
        let segments = open(&Arc::new(files.crash(seed)));
        !(0..synced).all(|n| is_whole(&segments, n as u64, &places[n]))
    });
    assert!(lost);
}

#[test]
fn a_failed_sync_ends_all_writing_but_not_reading() {
    let files = Arc::new(MemoryFiles::new());
    let segments = open(&files);
    let stored = append(&segments, 1).unwrap();
    files.fail_sync(1);
    assert!(matches!(segments.sync(), Err(SegmentsError::Io { doing: "sync", .. })));
    assert!(matches!(segments.sync(), Err(SegmentsError::Poisoned)));
    assert!(matches!(append(&segments, 2), Err(SegmentsError::Poisoned)));
    assert!(is_whole(&segments, 1, &stored));
}

/// After a failed sync and a restart, what is still readable has been put on disk before it can be built on.
#[test]
fn opening_makes_durable_what_it_shows() {
    let files = Arc::new(MemoryFiles::new());
    let segments = open(&files);
    let stored = append(&segments, 1).unwrap();
    files.fail_sync(1);
    segments.sync().unwrap_err();
    drop(segments);
    let segments = open(&files);
    assert!(is_whole(&segments, 1, &stored));
    segments.sync().unwrap();
    for seed in 0..50 {
        assert!(is_whole(&open(&Arc::new(files.crash(seed))), 1, &stored));
    }
}

#[test]
fn a_full_disk_spoils_only_the_append_that_met_it() {
    let files = Arc::new(MemoryFiles::new());
    let segments = open(&files);
    let before = append(&segments, 1).unwrap();
    files.fail_write(1);
    assert!(matches!(append(&segments, 2), Err(SegmentsError::Io { doing: "write", .. })));
    let after = append(&segments, 3).unwrap();
    segments.close().unwrap();
    let ids: Vec<Vec<u64>> = [1, 2]
        .map(|id| segments.frames(SegmentId(id)).unwrap().map(|f| f.unwrap().extent.0).collect())
        .into();
    assert_eq!(ids, [vec![1], vec![3]]);
    let segments = open(&Arc::new(files.crash(7)));
    assert!(is_whole(&segments, 1, &before) && is_whole(&segments, 3, &after));
}

/// A segment cut or overwritten with zeros anywhere: the walk gives the whole frames before and then ends.
#[test]
fn a_torn_tail_ends_the_walk() {
    let files = Arc::new(MemoryFiles::new());
    let segments = open(&files);
    let places: Vec<_> = (0..6).map(|n| append(&segments, n).unwrap()).collect();
    let ends: Vec<u64> = places
        .iter()
        .scan(0, |end, stored| {
            *end += u64::from(stored.frame_bytes);
            Some(*end)
        })
        .collect();
    let len = files.len(SegmentId(1)).unwrap();
    for cut in (0..=len).step_by(211) {
        for zeros in [false, true] {
            let torn = Arc::new(files.crash(0));
            torn.create(SegmentId(1)).or_else(|_| torn.rewrite(SegmentId(1), b"")).unwrap();
            torn.tamper(SegmentId(1), |bytes| {
                bytes.resize(len as usize, 0);
                files.read_at(SegmentId(1), 0, bytes).unwrap();
                bytes.truncate(cut as usize);
                bytes.resize(if zeros { len as usize } else { cut as usize }, 0);
            });
            let segments = open(&torn);
            let found = segments.frames(SegmentId(1)).unwrap().map(|f| f.unwrap());
            let whole: Vec<_> =
                found.filter(|f| is_whole(&segments, f.extent.0, &f.stored)).collect();
            let least = ends.iter().filter(|&&end| end <= cut).count();
            assert!(whole.len() == least, "{} of {least} at {cut}", whole.len());
        }
    }
}

/// Files on a disk that has no room for copies.
struct Crowded {
    files: Arc<MemoryFiles>,
    /// Bytes that `settle` finds never reached the disk: they read as zeros afterwards.
    lost: Option<(SegmentId, u64, usize)>,
    /// A bit for each file that was settled.
    settled: AtomicU64,
}

impl SegmentFiles for Crowded {
    fn create(&self, id: SegmentId) -> io::Result<()> {
        self.files.create(id)
    }
    fn write_at(&self, id: SegmentId, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.files.write_at(id, offset, parts)
    }
    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.files.read_at(id, offset, buf)?;
        if let Some((lost, at, len)) = self.lost
            && lost == id
            && self.settled.load(Ordering::SeqCst) & 1 << id.0 > 0
        {
            let gone = at..at + len as u64;
            let bytes = (offset..).zip(buf).filter(|(place, _)| gone.contains(place));
            bytes.for_each(|(_, byte)| *byte = 0);
        }
        Ok(())
    }
    fn len(&self, id: SegmentId) -> io::Result<u64> {
        self.files.len(id)
    }
    fn sync(&self, id: SegmentId) -> io::Result<()> {
        self.files.sync(id)
    }
    fn rewrite(&self, _: SegmentId, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn settle(&self, id: SegmentId) -> io::Result<()> {
        self.settled.fetch_or(1 << id.0, Ordering::SeqCst);
        self.files.settle(id)
    }
    fn remove(&self, id: SegmentId) -> io::Result<()> {
        self.files.remove(id)
    }
    fn list(&self) -> io::Result<Vec<SegmentId>> {
        self.files.list()
    }
}

#[test]
fn a_killed_store_opens_where_no_copy_has_room_unless_the_disk_lacks_what_memory_shows() {
    let files = Arc::new(MemoryFiles::new());
    let places = run(&open(&files), 40, 100).1;
    let lost = places.iter().find_map(|stored| match stored.place {
        // Bytes of the payload: no walk of headers sees it.
        Place::At { segment, offset } => Some((segment, offset + 10, 40)),
        Place::Inline(_) => None,
    });
    let crowded = |lost| {
        let settled = AtomicU64::new(0);
        let files: Arc<dyn SegmentFiles> =
            Arc::new(Crowded { files: Arc::clone(&files), lost, settled });
        Segments::open(files, OPTIONS)
    };
    assert!(matches!(crowded(lost).err(), Some(SegmentsError::Io { .. })), "it was not refused");
    let segments = crowded(None).unwrap();
    let later = append(&segments, 100).unwrap();
    segments.sync().unwrap();
    drop(segments);
    // What was sealed by that sync needs nothing more, and a power loss takes none of it.
    let segments = open(&Arc::new(files.crash(1)));
    for (n, stored) in places.iter().enumerate() {
        assert!(is_whole(&segments, n as u64, stored), "{n}");
    }
    assert!(is_whole(&segments, 100, &later));
}
