//! Where an extent lies and how to verify it: the value that the caller keeps per extent.
//!
//! # Bytes
//!
//! ```text
//! byte 0        bits 0-1 codec (0 raw, 1 lz4, 2 zstd), bit 2 set when inline, bits 3-7 version (0)
//! 4 bytes       present: bitmap of the block indexes that are stored, little endian, not 0
//! varint        payload length in bytes
//! -- when not inline --
//! varint        segment
//! varint        offset of the payload in the segment file
//! varint        length of the whole frame
//! -- then --
//! 4 bytes each  checksums, little endian: one per stored block (raw), or the low and the high half of one (else)
//! -- when inline --
//! the payload
//! ```
//!
//! A varint has seven bits per byte, low bits first, the high bit set when more follow, shortest form only.
//! Decoding is strict: every length must fit, nothing may follow, and no input makes it panic or allocate
//! more than the input holds. The record carries no checksum of its own: the checksums in it are bound to extent,
//! index, bitmap and codec, so a damaged record is noticed at the read, before any wrong byte is given out.

use bytes::Bytes;

use crate::{BLOCK, SegmentId, SegmentsError, frame, varint};

/// How a payload is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StoredCodec {
    /// As it is: block by block.
    Raw = 0,
    /// One LZ4 block without a length in front.
    Lz4 = 1,
    /// One Zstandard frame.
    Zstd = 2,
}

impl StoredCodec {
    /// The codec with a number from disk.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Where a payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this value itself.
    Inline(Bytes),
    /// In a segment.
    At {
        /// The segment.
        segment: SegmentId,
        /// Offset of the payload in the segment file, in bytes.
        offset: u64,
    },
}

/// Everything needed to read and verify one extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the payload is.
    pub place: Place,
    /// Length of the whole frame on disk in bytes; 0 when inline.
    pub frame_bytes: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// How the payload is packed.
    pub codec: StoredCodec,
    /// Bitmap of the block indexes that are stored; never 0.
    pub present: u32,
    /// Raw: one checksum per stored block. Else: low and high half of the payload's checksum.
    pub sums: Vec<u32>,
}

const INLINE: u8 = 0b100;

impl Stored {
    /// Number of blocks that are stored, 1 to 32.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.present.count_ones()
    }

    /// Bytes of the blocks after unpacking.
    #[must_use]
    pub fn unpacked_len(&self) -> usize {
        self.blocks() as usize * BLOCK
    }

    /// Whether the payload is in the value itself.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self.place, Place::Inline(_))
    }

    /// The bytes for a record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let inline = match &self.place {
            Place::Inline(payload) => payload.len(),
            Place::At { .. } => 0,
        };
        let mut out = Vec::with_capacity(40 + self.sums.len() * 4 + inline);
        out.push(self.codec as u8 | if self.is_inline() { INLINE } else { 0 });
        out.extend_from_slice(&self.present.to_le_bytes());
        varint::put(&mut out, u64::from(self.payload_len));
        if let Place::At { segment, offset } = self.place {
            varint::put(&mut out, segment.0);
            varint::put(&mut out, offset);
            varint::put(&mut out, u64::from(self.frame_bytes));
        }
        self.sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
        if let Place::Inline(payload) = &self.place {
            out.extend_from_slice(payload);
        }
        out
    }

    /// Understands the bytes of a record. An inline payload shares them.
    ///
    /// # Errors
    /// [`SegmentsError::BadRecord`] for anything that [`Stored::to_bytes`] does not write.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, SegmentsError> {
        parse(bytes).ok_or(SegmentsError::BadRecord { what: "it is not in the known form" })
    }

    /// Whether all lengths fit together.
    pub(crate) fn fits(&self) -> bool {
        let payload = self.payload_len as usize;
        let packed = match self.codec {
            StoredCodec::Raw => {
                payload == self.unpacked_len() && self.sums.len() == self.blocks() as usize
            }
            _ => payload > 0 && payload < self.unpacked_len() && self.sums.len() == 2,
        };
        let placed = match &self.place {
            Place::Inline(bytes) => bytes.len() == payload && self.frame_bytes == 0,
            Place::At { offset, .. } => {
                let frame = self.frame_bytes as usize;
                *offset >= frame::HEADER as u64
                    && *offset <= frame::OFFSET_MAX
                    && frame >= frame::HEADER + payload
                    && frame <= frame::HEADER + frame::META_MAX + payload
            }
        };
        self.present != 0 && packed && placed
    }
}

/// Number of checksums that go with a codec and a bitmap.
pub(crate) fn sums_count(codec: StoredCodec, present: u32) -> usize {
    if codec == StoredCodec::Raw { present.count_ones() as usize } else { 2 }
}

/// Takes `count` little-endian checksums from the front.
pub(crate) fn take_sums(input: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (sums, rest) = input.split_at_checked(count * 4)?;
    *input = rest;
    Some(sums.chunks_exact(4).filter_map(|c| c.try_into().ok().map(u32::from_le_bytes)).collect())
}

/// The whole of [`Stored::from_bytes`].
fn parse(bytes: &Bytes) -> Option<Stored> {
    let (&first, mut rest) = bytes.split_first()?;
    let codec = StoredCodec::from_number(first & 0b11)?;
    let (present, after) = rest.split_first_chunk::<4>()?;
    rest = after;
    let present = u32::from_le_bytes(*present);
    let payload_len = varint::take_u32(&mut rest)?;
    let (at, frame_bytes) = match first & !0b11 {
        0 => {
            let (segment, offset) = (varint::take(&mut rest)?, varint::take(&mut rest)?);
            let frame_bytes = varint::take_u32(&mut rest)?;
            (Some(Place::At { segment: SegmentId(segment), offset }), frame_bytes)
        }
        INLINE => (None, 0),
        _ => return None,
    };
    let sums = take_sums(&mut rest, sums_count(codec, present))?;
    let place = match at {
        Some(place) if rest.is_empty() => place,
        Some(_) => return None,
        None => Place::Inline(bytes.slice(bytes.len() - rest.len()..)),
    };
    let stored = Stored { place, frame_bytes, payload_len, codec, present, sums };
    stored.fits().then_some(stored)
}
