//! The bytes on disk: a fixed example, round trips, and what happens to damaged bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may stop")]

mod samples;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tintype_segments::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn fresh() -> (Arc<MemoryFiles>, Segments) {
    let files = Arc::new(MemoryFiles::new());
    let segments = Segments::open(Arc::clone(&files) as Arc<dyn SegmentFiles>, Options::default());
    (files, segments.unwrap())
}

fn bytes_of(files: &MemoryFiles, id: SegmentId) -> Vec<u8> {
    let mut out = vec![0; files.len(id).unwrap() as usize];
    files.read_at(id, 0, &mut out).unwrap();
    out
}

/// If this fails, stores written before cannot be read: raise the version instead of changing the vector.
#[test]
fn golden_frame_record_and_seal() {
    let (files, segments) = fresh();
    let owners = [
        Owner { space: 1, object: 300, first_block: 70_000, count: 1, index: 0 },
        Owner { space: u64::MAX, object: 0, first_block: 5, count: 1, index: 31 },
    ];
    let mut blocks = vec![0x11; BLOCK];
    blocks.extend_from_slice(&[0x22; BLOCK]);
    let raw = encode(Codec::Off, ExtentId(0x0102), 0x8000_0001, &owners, &blocks).unwrap();
    let lz4 = encode(Codec::Lz4, ExtentId(0x0103), 0x8000_0001, &[], &blocks).unwrap();
    let stored = segments.append(&[raw, lz4]).unwrap();
    segments.close().unwrap();
    let all = bytes_of(&files, SegmentId(1));
    let second = stored[0].frame_bytes as usize;
    let seal = second + stored[1].frame_bytes as usize;
    assert_eq!(hex(&all[..56]), HEADER);
    assert_eq!(hex(&all[56..second - 2 * BLOCK]), META);
    assert_eq!(all[second - 2 * BLOCK..second], blocks[..]);
    assert_eq!(hex(&all[seal..]), SEAL);
    assert_eq!(hex(&stored[0].to_bytes()), RECORD);
}

/// What was written by an earlier version, with other packing of the same blocks, can be read.
#[test]
fn golden_bytes_are_read() {
    let blocks = [[0x11; BLOCK], [0x22; BLOCK]].concat();
    let parts = [unhex(HEADER), unhex(META), blocks.clone(), unhex(LZ4_FRAME), unhex(SEAL)];
    let files = Arc::new(MemoryFiles::new());
    files.create(SegmentId(1)).unwrap();
    files.write_at(SegmentId(1), 0, &[&parts.concat()]).unwrap();
    let segments = Segments::open(files, Options::default()).unwrap();
    let frames: Vec<_> = segments.frames(SegmentId(1)).unwrap().map(|f| f.unwrap()).collect();
    assert_eq!(frames.len(), 2);
    for frame in &frames {
        assert_eq!(segments.read(frame.extent, &frame.stored).unwrap()[..], blocks[..]);
    }
    assert_eq!(frames[0].stored, Stored::from_bytes(&unhex(RECORD).into()).unwrap());
    let inline = Stored::from_bytes(&unhex(INLINE_RECORD).into()).unwrap();
    assert_eq!(segments.read(ExtentId(0x0103), &inline).unwrap()[..], blocks[..]);
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

const HEADER: &str = "5454465201000200010000000000000000000000002000000201000000000000010000801e000000\
    5efcb094e16c655baeb728a9f98cd3bf";
const META: &str = "88c9298c1bce862701ac02f0a2040100ffffffffffffffffff010005011f";
const LZ4_FRAME: &str = "54544652010100000100000000000000562000002f00000003010000000000000100008008000000\
    f76dc2800e2438bb9ff6514f8b681fab20d9212f3f1655871f110100ffffffffffffffffffffffff\
    fffffffb1f220100fffffffffffffffffffffffffffffff560222222222222";
const SEAL: &str = "54544e44010000000100000000000000c520000000000000bd8f776aa92b2252";
const RECORD: &str = "000100008080400156d64088c9298c1bce8627";
const INLINE_RECORD: &str = "05010000802f20d9212f3f1655871f110100fffffffffffffffffffffffffffffffb1f220100ffff\
    fffffffffffffffffffffffffff560222222222222";

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Off), Just(Codec::Lz4), (-5..30).prop_map(Codec::Zstd)]
}

fn any_owner() -> impl Strategy<Value = Owner> {
    (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), 0..32u8).prop_map(
        |(space, object, first_block, count, index)| Owner {
            space,
            object,
            first_block,
            count,
            index,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        wish in codec(),
        id in any::<u64>(),
        present in 1..=u32::MAX,
        owners in prop::collection::vec(any_owner(), 0..=256),
        seed in any::<u64>(),
    ) {
        let (_, segments) = fresh();
        let bytes = samples::blocks(seed, present.count_ones() as usize);
        let encoded = encode(wish, ExtentId(id), present, &owners, &bytes).unwrap();
        let shared = encode_bytes(wish, ExtentId(id), present, &owners, bytes.clone().into());
        prop_assert_eq!(&shared.unwrap(), &encoded);
        let stored = segments.append(&[encoded]).unwrap().remove(0);
        prop_assert_eq!(&Stored::from_bytes(&stored.to_bytes().into()).unwrap(), &stored);
        prop_assert_eq!(&segments.read(ExtentId(id), &stored).unwrap()[..], &bytes[..]);
        let frame = segments.frames(SegmentId(1)).unwrap().next().unwrap().unwrap();
        prop_assert_eq!((frame.extent, frame.owners, frame.stored), (ExtentId(id), owners, stored));
    }

    #[test]
    fn no_record_makes_it_panic_or_give_wrong_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, segments) = fresh();
        segments.append(&[samples::extent(1, Codec::Off, 3).0]).unwrap();
        if let Ok(stored) = Stored::from_bytes(&Bytes::from(bytes)) {
            let _ = segments.read(ExtentId(1), &stored);
        }
    }

    #[test]
    fn no_segment_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in any::<bool>()) {
        let files = Arc::new(MemoryFiles::new());
        files.create(SegmentId(4)).unwrap();
        let front: &[u8] = if magic { b"TTFR\x01\x00\x00\x00" } else { b"" };
        files.write_at(SegmentId(4), 0, &[front, &bytes]).unwrap();
        let segments = Segments::open(files, Options::default()).unwrap();
        prop_assert_eq!(segments.frames(SegmentId(4)).unwrap().count(), 0);
    }
}

#[test]
fn nonsense_is_refused() {
    let refused = |present, owners: &[Owner], len| {
        let result = encode(Codec::Off, ExtentId(1), present, owners, &vec![0; len]);
        assert!(matches!(result, Err(SegmentsError::Refused { .. })));
    };
    refused(0, &[], 0);
    refused(1, &[], BLOCK - 1);
    refused(3, &[], BLOCK);
    refused(1, &[samples::owner(1); 257], BLOCK);
    refused(1, &[Owner { index: 32, ..samples::owner(1) }], BLOCK);
}

/// Every byte of a sealed segment, changed: reading each extent gives the right bytes or an error, and so does walking.
#[test]
fn every_flipped_byte_of_a_segment_is_noticed() {
    let (files, segments) = fresh();
    let made: Vec<_> =
        [(1, Codec::Off, 1), (2, Codec::Lz4, 7), (3, Codec::Zstd(1), 1), (4, Codec::Off, 2)]
            .map(|(n, codec, present)| samples::extent(n, codec, present))
            .into();
    let frames: Vec<Encoded> = made.iter().map(|(encoded, _)| encoded.clone()).collect();
    let stored = segments.append(&frames).unwrap();
    segments.close().unwrap();
    let walk = |segments: &Segments| -> Vec<Result<FrameInfo, SegmentsError>> {
        segments.frames(SegmentId(1)).unwrap().collect()
    };
    let good: Vec<FrameInfo> = walk(&segments).into_iter().map(|f| f.unwrap()).collect();
    let len = files.len(SegmentId(1)).unwrap() as usize;
    let (mut unread, mut unwalked) = (0, 0);
    for at in 0..len {
        files.tamper(SegmentId(1), |bytes| bytes[at] ^= 1 << (at % 8));
        for ((encoded, bytes), stored) in made.iter().zip(&stored) {
            match segments.read(encoded.extent(), stored) {
                Ok(read) => assert_eq!(read[..], bytes[..]),
                Err(error) => {
                    assert!(matches!(error, SegmentsError::Damaged { .. }));
                    unread += 1;
                }
            }
        }
        let frames = walk(&segments);
        assert!(frames.iter().flatten().all(|frame| good.contains(frame)));
        unwalked += usize::from(frames.iter().any(|f| f.is_err()));
        files.tamper(SegmentId(1), |bytes| bytes[at] ^= 1 << (at % 8));
    }
    let payloads: usize = stored.iter().map(|s| s.payload_len as usize).sum();
    assert_eq!((unread, unwalked), (payloads, len - payloads - 32));
}

/// Every byte of a record, changed: it is refused, or reading gives an error or the right bytes.
#[test]
fn every_flipped_byte_of_a_record_is_noticed() {
    let (_, segments) = fresh();
    for (n, codec) in [(1, Codec::Off), (2, Codec::Lz4), (4, Codec::Zstd(3))] {
        let (encoded, bytes) = samples::extent(n, codec, 0b1011);
        let placed = segments.append(std::slice::from_ref(&encoded)).unwrap().remove(0);
        for good in [placed, encoded.inline()] {
            let record = good.to_bytes();
            for at in 0..record.len() * 8 {
                let mut bad = record.clone();
                bad[at / 8] ^= 1 << (at % 8);
                let Ok(bad) = Stored::from_bytes(&bad.into()) else { continue };
                if let Ok(read) = segments.read(ExtentId(n), &bad) {
                    assert_eq!(read[..], bytes[..]);
                    assert_eq!(bad.present, good.present);
                }
                for (index, rank) in [(0, 0), (1, 1), (2, 9), (3, 2)] {
                    let mut out = [0; BLOCK];
                    if segments.read_blocks(ExtentId(n), &bad, index, 1, &mut out).is_ok() {
                        assert_eq!(out[..], bytes[rank * BLOCK..(rank + 1) * BLOCK]);
                    }
                }
            }
        }
    }
}
