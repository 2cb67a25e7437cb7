//! The bytes of a segment file: frames one after the other, and at the end perhaps a seal.
//!
//! All numbers are little endian. Nothing is aligned and nothing lies between frames.
//!
//! # Frame: one extent
//!
//! ```text
//! offset size  field
//!  0      4    "TTFR"
//!  4      1    version: 1
//!  5      1    codec: 0 raw, 1 lz4 (one block, no length in front), 2 zstd (one frame)
//!  6      2    number of owners, 0 to 256
//!  8      8    segment: the id of this file
//! 16      4    offset of this frame in this file
//! 20      4    payload length
//! 24      8    extent id
//! 32      4    present: bit i is set when block i of the extent is stored; not 0
//! 36      4    meta length
//! 40      8    XXH3-64 of the meta, seed 0
//! 48      8    XXH3-64 of bytes 0 to 47, seed 0
//! 56      -    meta: checksums, then owners
//!  -      -    payload
//! ```
//!
//! Checksums are four bytes each. Raw: one per stored block, ascending: the low half of XXH3-64 of its 4096 bytes
//! with seed `extent * 0x9E3779B97F4A7C15 ^ index`. Else two: the low and the high half of XXH3-64 of the
//! payload with seed `extent * 0x9E3779B97F4A7C15 ^ (present << 8 | 0x80 | codec)`. Arithmetic is modulo 2^64.
//!
//! An owner is five varints: space, object, first block, count, index. A varint has seven bits per byte, low bits
//! first, high bit set when more follow.
//!
//! The payload holds the present blocks in ascending order of index, 4096 bytes each, packed as the codec says.
//!
//! # Seal: the end of a segment that was synced
//!
//! ```text
//!  0      4    "TTND"
//!  4      1    version: 1
//!  5      3    0
//!  8      8    segment: the id of this file
//! 16      8    length of the sound frames from the start of the file
//! 24      8    XXH3-64 of bytes 0 to 23, seed 0
//! ```
//!
//! A seal is the last 32 bytes of the file. It is written only after everything before it was synced. Its absence
//! means that the file was open when the store stopped; such a file is copied and synced before use.
//!
//! This module builds and understands these bytes; it does no input or output. Understanding is
//! strict and bounded: no input makes it panic, and lengths are checked before they are used.

use xxhash_rust::xxh3::xxh3_64;

use crate::stored::{sums_count, take_sums};
use crate::{ExtentId, OWNERS_MAX, Owner, Place, SegmentId, Stored, StoredCodec, varint};

/// Bytes of a frame before its meta.
pub(crate) const HEADER: usize = 56;
/// Bytes of a seal.
pub(crate) const SEAL: usize = 32;
/// The most bytes of meta: 32 checksums and 256 owners of five varints.
pub(crate) const META_MAX: usize = 32 * 4 + OWNERS_MAX * (3 * 10 + 5 + 2);
/// The largest offset in a segment file.
pub(crate) const OFFSET_MAX: u64 = u32::MAX as u64;

const FRAME_MAGIC: &[u8; 4] = b"TTFR";
const SEAL_MAGIC: &[u8; 4] = b"TTND";
const VERSION: u8 = 1;

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) codec: StoredCodec,
    pub(crate) owners: u16,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
    pub(crate) payload_len: u32,
    pub(crate) extent: ExtentId,
    pub(crate) present: u32,
    pub(crate) meta_len: u32,
    pub(crate) meta_sum: u64,
}

impl Header {
    /// The bytes on disk.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(FRAME_MAGIC);
        out.extend_from_slice(&[VERSION, self.codec as u8]);
        out.extend_from_slice(&self.owners.to_le_bytes());
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.extent.0.to_le_bytes());
        out.extend_from_slice(&self.present.to_le_bytes());
        out.extend_from_slice(&self.meta_len.to_le_bytes());
        out.extend_from_slice(&self.meta_sum.to_le_bytes());
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        fixed(&out)
    }

    /// Understands the bytes of the header at `offset` in `segment`; `None` when it is none.
    pub(crate) fn parse(bytes: &[u8], segment: SegmentId, offset: u64) -> Option<Self> {
        let mut rest = bytes.get(..HEADER)?;
        let sum = xxh3_64(bytes.get(..HEADER - 8)?);
        if take::<4>(&mut rest)? != *FRAME_MAGIC || take::<1>(&mut rest)? != [VERSION] {
            return None;
        }
        let header = Self {
            codec: StoredCodec::from_number(u8::from_le_bytes(take(&mut rest)?))?,
            owners: u16::from_le_bytes(take(&mut rest)?),
            segment: SegmentId(u64::from_le_bytes(take(&mut rest)?)),
            offset: u32::from_le_bytes(take(&mut rest)?),
            payload_len: u32::from_le_bytes(take(&mut rest)?),
            extent: ExtentId(u64::from_le_bytes(take(&mut rest)?)),
            present: u32::from_le_bytes(take(&mut rest)?),
            meta_len: u32::from_le_bytes(take(&mut rest)?),
            meta_sum: u64::from_le_bytes(take(&mut rest)?),
        };
        let here = header.segment == segment && u64::from(header.offset) == offset;
        let sound = u64::from_le_bytes(take(&mut rest)?) == sum;
        (here && sound && header.meta_len as usize <= META_MAX).then_some(header)
    }

    /// Length of the whole frame in bytes.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta_len) + u64::from(self.payload_len)
    }

    /// Understands the meta that belongs to this header.
    pub(crate) fn open(&self, meta: &[u8]) -> Option<(Stored, Vec<Owner>)> {
        if meta.len() != self.meta_len as usize || xxh3_64(meta) != self.meta_sum {
            return None;
        }
        let mut rest = meta;
        let sums = take_sums(&mut rest, sums_count(self.codec, self.present))?;
        let owners = (0..self.owners).map(|_| take_owner(&mut rest)).collect::<Option<Vec<_>>>()?;
        let place = Place::At {
            segment: self.segment,
            offset: u64::from(self.offset) + HEADER as u64 + u64::from(self.meta_len),
        };
        let stored = Stored {
            place,
            frame_bytes: self.frame_bytes().try_into().ok()?,
            payload_len: self.payload_len,
            codec: self.codec,
            present: self.present,
            sums,
        };
        (rest.is_empty() && stored.fits()).then_some((stored, owners))
    }
}

/// The meta of a frame and its checksum.
pub(crate) fn meta(sums: &[u32], owners: &[Owner]) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(sums.len() * 4 + owners.len() * 12);
    sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
    for owner in owners {
        varint::put(&mut out, owner.space);
        varint::put(&mut out, owner.object);
        varint::put(&mut out, owner.first_block);
        varint::put(&mut out, u64::from(owner.count));
        varint::put(&mut out, u64::from(owner.index));
    }
    let sum = xxh3_64(&out);
    (out, sum)
}

fn take_owner(rest: &mut &[u8]) -> Option<Owner> {
    Some(Owner {
        space: varint::take(rest)?,
        object: varint::take(rest)?,
        first_block: varint::take(rest)?,
        count: varint::take_u32(rest)?,
        index: varint::take(rest)?.try_into().ok()?,
    })
}

/// The bytes of a seal: `sound` is the length of the sound frames.
pub(crate) fn seal(segment: SegmentId, sound: u64) -> [u8; SEAL] {
    let mut out = Vec::with_capacity(SEAL);
    out.extend_from_slice(SEAL_MAGIC);
    out.extend_from_slice(&[VERSION, 0, 0, 0]);
    out.extend_from_slice(&segment.0.to_le_bytes());
    out.extend_from_slice(&sound.to_le_bytes());
    out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
    fixed(&out)
}

/// The length of the sound frames, when `bytes` is a seal of `segment`.
pub(crate) fn parse_seal(bytes: &[u8], segment: SegmentId) -> Option<u64> {
    let sound = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    (bytes == seal(segment, sound)).then_some(sound)
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Exactly `N` bytes: callers build exactly that many.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}
