//! Compression and checksums of payloads: pure functions over bytes.
//!
//! Decides whether compression is worth it (it must save at least 1/8), and binds each checksum to the
//! extent's id and the block's index (or the bitmap), so that bytes of another extent, or of another
//! block, never pass for the right ones. Knows nothing of files. Decoders are bounded by the size they must give.

use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{BLOCK, Codec, ExtentId, StoredCodec};

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes tried first, to see whether compressing the rest is worth the time.
const SAMPLE: usize = BLOCK;

/// Compresses `blocks` as wished; `None` when it should be stored raw.
pub(crate) fn compress(wish: Codec, blocks: &[u8]) -> Option<(StoredCodec, Bytes)> {
    let limit = blocks.len() - blocks.len() / 8;
    let (codec, packed) = match wish {
        Codec::Off => return None,
        Codec::Lz4 => (StoredCodec::Lz4, worth_trying(blocks).then(|| lz4(blocks)).flatten()?),
        Codec::Zstd(level) => {
            (StoredCodec::Zstd, worth_trying(blocks).then(|| zstd(blocks, level)).flatten()?)
        }
    };
    (packed.len() <= limit).then_some((codec, packed))
}

/// Whether a piece from the start or one from the middle shrinks at all. Small input is always tried.
fn worth_trying(blocks: &[u8]) -> bool {
    let middle = blocks.len() / 2;
    let samples = [blocks.get(..SAMPLE), blocks.get(middle..middle + SAMPLE)];
    blocks.len() <= 4 * SAMPLE
        || samples.into_iter().flatten().any(|sample| {
            with_scratch(sample, |out| block::compress_into(sample, out).ok())
                .is_some_and(|packed| packed.len() < SAMPLE - SAMPLE / 16)
        })
}

/// Runs `pack` on a reused buffer that is large enough, and copies out what it wrote.
fn with_scratch(input: &[u8], pack: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| {
        let most = block::get_maximum_output_size(input.len());
        if scratch.len() < most {
            scratch.resize(most, 0);
        }
        let len = pack(scratch)?;
        scratch.get(..len).map(Bytes::copy_from_slice)
    })
}

fn lz4(blocks: &[u8]) -> Option<Bytes> {
    with_scratch(blocks, |out| block::compress_into(blocks, out).ok())
}

fn zstd(blocks: &[u8], level: i32) -> Option<Bytes> {
    zstd::bulk::compress(blocks, level.clamp(1, 19)).ok().map(Bytes::from)
}

/// Unpacks a compressed payload into exactly `len` bytes; `None` when it does not give exactly that.
pub(crate) fn decompress(codec: StoredCodec, payload: &[u8], len: usize) -> Option<Vec<u8>> {
    let out = match codec {
        StoredCodec::Raw => payload.to_vec(),
        StoredCodec::Lz4 => {
            let mut out = vec![0; len];
            let got = block::decompress_into(payload, &mut out).ok()?;
            out.truncate(got);
            out
        }
        StoredCodec::Zstd => zstd::bulk::decompress(payload, len).ok()?,
    };
    (out.len() == len).then_some(out)
}

/// Spreads an extent's id over the seed of its checksums.
fn seed(extent: ExtentId, low: u64) -> u64 {
    extent.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ low
}

/// Checksum of one raw block: the low half of XXH3-64, seeded with extent and index.
pub(crate) fn block_sum(extent: ExtentId, index: u8, block: &[u8]) -> u32 {
    xxh3_64_with_seed(block, seed(extent, u64::from(index))) as u32
}

/// Checksum of a compressed payload: XXH3-64 as low and high half, seeded with extent, codec and bitmap.
pub(crate) fn unit_sum(
    extent: ExtentId,
    codec: StoredCodec,
    present: u32,
    bytes: &[u8],
) -> [u32; 2] {
    let low = (u64::from(present) << 8) | 0x80 | u64::from(codec as u8);
    let sum = xxh3_64_with_seed(bytes, seed(extent, low));
    [sum as u32, (sum >> 32) as u32]
}

/// The block indexes that a bitmap holds, ascending.
pub(crate) fn indexes(present: u32) -> impl Iterator<Item = u8> {
    (0..32u8).filter(move |&index| present & (1 << index) != 0)
}
