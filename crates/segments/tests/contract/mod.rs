//! The contract of the port to segment files and of the segments on top, as checks that every adapter must pass.

use std::io::ErrorKind;
use std::sync::Arc;

use tintype_segments::*;

use crate::samples::{extent, owner};

/// The deeds of the port and their errors.
pub fn port(files: &dyn SegmentFiles) {
    let (one, two) = (SegmentId(1), SegmentId(0xabc));
    let kind = |r: std::io::Result<()>| r.unwrap_err().kind();
    assert_eq!(kind(files.write_at(one, 0, &[b"x"])), ErrorKind::NotFound);
    assert_eq!(kind(files.read_at(one, 0, &mut [0])), ErrorKind::NotFound);
    assert_eq!(kind(files.sync(one)), ErrorKind::NotFound);
    assert_eq!(kind(files.remove(one)), ErrorKind::NotFound);
    assert_eq!(kind(files.rewrite(one, b"")), ErrorKind::NotFound);
    assert_eq!(kind(files.settle(one)), ErrorKind::NotFound);
    assert_eq!(files.len(one).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(files.list().unwrap().is_empty());
    files.create(one).unwrap();
    files.create(two).unwrap();
    assert_eq!(kind(files.create(one)), ErrorKind::AlreadyExists);
    files.write_at(one, 0, &[b"abc", b"", b"de"]).unwrap();
    files.write_at(one, 5, &vec![&b"0123456789"[..]; 2000]).unwrap();
    assert_eq!(files.len(one).unwrap(), 20_005);
    let mut buf = [0; 12];
    files.read_at(one, 3, &mut buf).unwrap();
    assert_eq!(&buf, b"de0123456789");
    assert_eq!(kind(files.read_at(one, 20_000, &mut buf)), ErrorKind::UnexpectedEof);
    files.sync(one).unwrap();
    files.settle(one).unwrap();
    files.rewrite(one, b"tail").unwrap();
    files.read_at(one, 20_009 - 12, &mut buf).unwrap();
    assert_eq!(&buf, b"23456789tail");
    files.write_at(one, 20_009, &[b"!"]).unwrap();
    let mut ids = files.list().unwrap();
    ids.sort();
    assert_eq!(ids, [one, two]);
    files.remove(one).unwrap();
    assert_eq!(kind(files.read_at(one, 0, &mut buf)), ErrorKind::NotFound);
    assert_eq!(files.list().unwrap(), [two]);
    files.remove(two).unwrap();
}

/// Appends across several segments, reads in every way, walks, moves, removes and opens again.
pub fn segments(files: Arc<dyn SegmentFiles>) {
    let options = Options { segment_bytes: 256 << 10, ..Options::default() };
    let segments = Segments::open(Arc::clone(&files), options).unwrap();
    assert!(segments.current().is_none() && segments.list().unwrap().is_empty());
    let codecs = [Codec::Off, Codec::Lz4, Codec::Zstd(3)];
    let presents = [1, u32::MAX, 0x8000_0001, 0b1010_1100, 1 << 31];
    let made: Vec<_> =
        (0..60).map(|n| extent(n, codecs[n as usize % 3], presents[n as usize % 5])).collect();
    let frames: Vec<Encoded> = made.iter().map(|(encoded, _)| encoded.clone()).collect();
    let mut stored = segments.append(&frames[..40]).unwrap();
    for frame in &frames[40..] {
        stored.extend(segments.append(std::slice::from_ref(frame)).unwrap());
    }
    segments.sync().unwrap();
    assert!(segments.list().unwrap().len() > 3);
    all_read(&segments, &made, &stored);
    all_walked(&segments, &made, &stored);
    let next = {
        let again = Segments::open(Arc::clone(&files), options).unwrap();
        all_read(&again, &made, &stored);
        all_walked(&again, &made, &stored);
        moved(&again, &made, &stored);
        again.current().unwrap().id
    };
    let again = Segments::open(Arc::clone(&files), Options { first_id: 1000, ..options }).unwrap();
    let new = again.append(&frames[..1]).unwrap();
    assert_eq!(again.current().unwrap().id, SegmentId(1000));
    assert!(next < SegmentId(1000) && matches!(new[0].place, Place::At { .. }));
    assert!(matches!(again.remove(SegmentId(1000)), Err(SegmentsError::Refused { .. })));
    for info in again.list().unwrap() {
        if info.id != SegmentId(1000) {
            again.remove(info.id).unwrap();
        }
    }
    assert!(matches!(again.read(ExtentId(0), &stored[0]), Err(SegmentsError::Gone { .. })));
    assert!(matches!(again.frames(SegmentId(1)).err(), Some(SegmentsError::Gone { .. })));
    again.close().unwrap();
    assert!(again.current().is_none());
}

fn all_read(segments: &Segments, made: &[(Encoded, Vec<u8>)], stored: &[Stored]) {
    for ((encoded, bytes), stored) in made.iter().zip(stored) {
        let id = encoded.extent();
        let record = tintype_segments::Stored::from_bytes(&stored.to_bytes().into()).unwrap();
        assert_eq!(&record, stored);
        assert_eq!(segments.read(id, stored).unwrap()[..], bytes[..]);
        assert_eq!(segments.read(id, &encoded.inline()).unwrap()[..], bytes[..]);
        each_block(segments, id, stored, bytes);
        each_block(segments, id, &encoded.inline(), bytes);
        assert!(segments.read(ExtentId(id.0 + 1), stored).is_err());
    }
}

fn each_block(segments: &Segments, id: ExtentId, stored: &Stored, bytes: &[u8]) {
    let mut rank = 0;
    for index in 0..32u8 {
        let mut out = [0; BLOCK];
        let result = segments.read_blocks(id, stored, index, 1, &mut out);
        if stored.present & (1 << index) == 0 {
            assert!(
                matches!(result, Err(SegmentsError::NotPresent { index: i, .. }) if i == index)
            );
        } else {
            result.unwrap();
            assert_eq!(out[..], bytes[rank * BLOCK..(rank + 1) * BLOCK]);
            rank += 1;
        }
    }
    if stored.present == u32::MAX {
        let mut out = vec![0; 7 * BLOCK];
        segments.read_blocks(id, stored, 20, 7, &mut out).unwrap();
        assert_eq!(out[..], bytes[20 * BLOCK..27 * BLOCK]);
    }
    segments.read_blocks(id, stored, 32, 0, &mut []).unwrap();
    let mut out = [0; BLOCK];
    for (first, count) in [(32, 1), (255, 1), (0, 2), (31, 255)] {
        let refused = segments.read_blocks(id, stored, first, count, &mut out);
        assert!(matches!(refused, Err(SegmentsError::Refused { .. })));
    }
}

fn all_walked(segments: &Segments, made: &[(Encoded, Vec<u8>)], stored: &[Stored]) {
    let ids: Vec<SegmentId> = segments.list().unwrap().iter().map(|info| info.id).collect();
    let frames: Vec<FrameInfo> =
        ids.iter().flat_map(|&id| segments.frames(id).unwrap()).map(|f| f.unwrap()).collect();
    assert_eq!(frames.len(), made.len());
    for ((frame, (encoded, _)), stored) in frames.iter().zip(made).zip(stored) {
        assert_eq!(frame.extent, encoded.extent());
        assert_eq!(&frame.stored, stored);
        assert_eq!(frame.frame_bytes, encoded.frame_bytes());
        assert_eq!(frame.owners, [owner(encoded.extent().0)]);
    }
}

fn moved(segments: &Segments, made: &[(Encoded, Vec<u8>)], stored: &[Stored]) {
    for ((encoded, bytes), stored) in made.iter().zip(stored) {
        let id = encoded.extent();
        let again = segments.reframe(id, stored, &[owner(id.0)]).unwrap();
        assert_eq!(&again, encoded);
        let place = segments.append(&[again]).unwrap();
        assert_eq!(segments.read(id, &place[0]).unwrap()[..], bytes[..]);
    }
    segments.sync().unwrap();
}
