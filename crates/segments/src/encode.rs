//! Encoding an extent: from blocks to a frame that only lacks its place. Pure CPU work, no files.
//!
//! Several threads may encode at once while one appends. The header is finished by `append`, because it
//! names the segment and the offset; everything else, with all checksums of the data, is made here.

use bytes::Bytes;

use crate::codec::{block_sum, compress, indexes, unit_sum};
use crate::frame::{self, HEADER, Header};
use crate::{
    BLOCK, Codec, EXTENT_BLOCKS, ExtentId, OWNERS_MAX, Owner, Place, SegmentId, SegmentsError,
    Stored, StoredCodec,
};

/// An extent ready to be appended, or to be carried inline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    extent: ExtentId,
    codec: StoredCodec,
    present: u32,
    owners: u16,
    sums: Vec<u32>,
    meta: Vec<u8>,
    meta_sum: u64,
    payload: Bytes,
}

/// Encodes an extent. Copies the blocks when they are stored raw; see [`encode_bytes`].
///
/// `present` has bit `i` set when block `i` is given; `blocks` holds these blocks in ascending order.
///
/// # Errors
/// [`SegmentsError::Refused`] when `present` is 0, `blocks` has another length than `present` says,
/// or there are more than [`OWNERS_MAX`] owners or one with an index above 31.
pub fn encode(
    wish: Codec,
    extent: ExtentId,
    present: u32,
    owners: &[Owner],
    blocks: &[u8],
) -> Result<Encoded, SegmentsError> {
    check(present, owners, blocks)?;
    let packed = compress(wish, blocks);
    Ok(build(extent, present, owners, packed, || Bytes::copy_from_slice(blocks)))
}

/// As [`encode`], but shares the blocks instead of copying them when they are stored raw.
///
/// # Errors
/// As for [`encode`].
pub fn encode_bytes(
    wish: Codec,
    extent: ExtentId,
    present: u32,
    owners: &[Owner],
    blocks: Bytes,
) -> Result<Encoded, SegmentsError> {
    check(present, owners, &blocks)?;
    let packed = compress(wish, &blocks);
    Ok(build(extent, present, owners, packed, || blocks))
}

/// Refuses what cannot be framed.
fn check(present: u32, owners: &[Owner], blocks: &[u8]) -> Result<(), SegmentsError> {
    let refuse = |what| Err(SegmentsError::Refused { what });
    if present == 0 {
        return refuse("it has no blocks");
    }
    if blocks.len() != present.count_ones() as usize * BLOCK {
        return refuse("the bytes are not as many as the bitmap says");
    }
    if owners.len() > OWNERS_MAX {
        return refuse("it has more than 256 owners");
    }
    if owners.iter().any(|owner| usize::from(owner.index) >= EXTENT_BLOCKS) {
        return refuse("an owner's block index is above 31");
    }
    Ok(())
}

/// Puts the pieces together and computes the checksums.
fn build(
    extent: ExtentId,
    present: u32,
    owners: &[Owner],
    packed: Option<(StoredCodec, Bytes)>,
    raw: impl FnOnce() -> Bytes,
) -> Encoded {
    let (codec, payload) = packed.unwrap_or_else(|| (StoredCodec::Raw, raw()));
    let sums = sums(extent, codec, present, &payload);
    Encoded::new(extent, codec, present, owners, sums, payload)
}

/// The checksums of a payload.
fn sums(extent: ExtentId, codec: StoredCodec, present: u32, payload: &[u8]) -> Vec<u32> {
    match codec {
        StoredCodec::Raw => indexes(present)
            .zip(payload.chunks_exact(BLOCK))
            .map(|(index, block)| block_sum(extent, index, block))
            .collect(),
        _ => unit_sum(extent, codec, present, payload).to_vec(),
    }
}

impl Encoded {
    /// From pieces that fit together.
    pub(crate) fn new(
        extent: ExtentId,
        codec: StoredCodec,
        present: u32,
        owners: &[Owner],
        sums: Vec<u32>,
        payload: Bytes,
    ) -> Self {
        let (meta, meta_sum) = frame::meta(&sums, owners);
        let owners = u16::try_from(owners.len()).unwrap_or(0);
        Self { extent, codec, present, owners, sums, meta, meta_sum, payload }
    }

    /// The extent.
    #[must_use]
    pub fn extent(&self) -> ExtentId {
        self.extent
    }

    /// Length of the frame on disk in bytes.
    #[must_use]
    pub fn frame_bytes(&self) -> u32 {
        (HEADER + self.meta.len() + self.payload.len()) as u32
    }

    /// Length of the payload in bytes.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        self.payload.len() as u32
    }

    /// The extent with its payload in the value itself, for small commits. Nothing is appended.
    #[must_use]
    pub fn inline(&self) -> Stored {
        self.stored(Place::Inline(self.payload.clone()), 0)
    }

    /// The frame's header and the value to keep, when the frame lies at `offset` in `segment`.
    pub(crate) fn placed(&self, segment: SegmentId, offset: u32) -> ([u8; HEADER], Stored) {
        let header = Header {
            codec: self.codec,
            owners: self.owners,
            segment,
            offset,
            payload_len: self.payload_len(),
            extent: self.extent,
            present: self.present,
            meta_len: self.meta.len() as u32,
            meta_sum: self.meta_sum,
        };
        let payload_at = u64::from(offset) + (HEADER + self.meta.len()) as u64;
        let place = Place::At { segment, offset: payload_at };
        (header.to_bytes(), self.stored(place, self.frame_bytes()))
    }

    /// What follows the header on disk.
    pub(crate) fn body(&self) -> [&[u8]; 2] {
        [&self.meta, &self.payload]
    }

    fn stored(&self, place: Place, frame_bytes: u32) -> Stored {
        Stored {
            place,
            frame_bytes,
            payload_len: self.payload_len(),
            codec: self.codec,
            present: self.present,
            sums: self.sums.clone(),
        }
    }
}
