//! Reading extents: from the record itself or from a segment, always verified.
//!
//! A raw extent is read block by block when only some blocks are wanted; a compressed one as a whole. Nothing is
//! cached here. Safe because bytes reach the caller only after their checksum, bound to extent and index, fits.

use std::io;

use bytes::Bytes;

use super::Segments;
use crate::codec::{block_sum, decompress, indexes, unit_sum};
use crate::{BLOCK, EXTENT_BLOCKS, ExtentId, Place, SegmentsError, Stored, StoredCodec};

impl Segments {
    /// All stored blocks of an extent, in ascending order of index, 4096 bytes each.
    ///
    /// # Errors
    /// [`SegmentsError::Damaged`] and [`SegmentsError::DamagedInline`] when the bytes are not those that were
    /// written, [`SegmentsError::Gone`] when the segment does not exist: look the extent up again.
    pub fn read(&self, extent: ExtentId, stored: &Stored) -> Result<Bytes, SegmentsError> {
        let payload = self.payload(extent, stored)?;
        if stored.codec == StoredCodec::Raw {
            return Ok(payload);
        }
        unpack(extent, stored, &payload).map(Bytes::from)
    }

    /// Blocks `first_index` to `first_index + count - 1` into `out`, reading no more than needed.
    ///
    /// # Errors
    /// As for [`Segments::read`]; [`SegmentsError::NotPresent`] when one of them is not stored,
    /// [`SegmentsError::Refused`] when `out` is not `count * 4096` bytes long or the range leaves the extent.
    pub fn read_blocks(
        &self,
        extent: ExtentId,
        stored: &Stored,
        first_index: u8,
        count: u8,
        out: &mut [u8],
    ) -> Result<(), SegmentsError> {
        let rank = rank(extent, stored, first_index, count, out.len())?;
        let start = rank * BLOCK;
        if stored.codec != StoredCodec::Raw {
            let payload = self.payload(extent, stored)?;
            let blocks = unpack(extent, stored, &payload)?;
            let wanted = blocks.get(start..start + out.len());
            out.copy_from_slice(wanted.ok_or_else(|| damaged(extent, stored, 0, "too short"))?);
            return Ok(());
        }
        self.fetch(extent, stored, start, out)?;
        verify_blocks(extent, stored, rank, out)
    }

    /// The payload as it is stored, verified.
    pub(super) fn payload(
        &self,
        extent: ExtentId,
        stored: &Stored,
    ) -> Result<Bytes, SegmentsError> {
        if !stored.fits() {
            return Err(SegmentsError::BadRecord { what: "its lengths do not fit together" });
        }
        let payload = match &stored.place {
            Place::Inline(payload) => payload.clone(),
            Place::At { .. } => {
                let mut payload = vec![0; stored.payload_len as usize];
                self.fetch(extent, stored, 0, &mut payload)?;
                Bytes::from(payload)
            }
        };
        match stored.codec {
            StoredCodec::Raw => verify_blocks(extent, stored, 0, &payload)?,
            codec => {
                if unit_sum(extent, codec, stored.present, &payload)[..] != stored.sums[..] {
                    return Err(damaged(extent, stored, 0, "the checksum does not fit"));
                }
            }
        }
        Ok(payload)
    }

    /// Unverified bytes of the payload from `start` on.
    fn fetch(
        &self,
        extent: ExtentId,
        stored: &Stored,
        start: usize,
        out: &mut [u8],
    ) -> Result<(), SegmentsError> {
        match &stored.place {
            Place::Inline(payload) => {
                let bytes = payload.get(start..start + out.len());
                out.copy_from_slice(
                    bytes.ok_or_else(|| damaged(extent, stored, start, "too short"))?,
                );
                Ok(())
            }
            Place::At { segment, offset } => self
                .files
                .read_at(*segment, offset + start as u64, out)
                .map_err(|e| match e.kind() {
                    io::ErrorKind::UnexpectedEof => {
                        damaged(extent, stored, start, "the segment ends before")
                    }
                    _ => SegmentsError::io("read", *segment, e),
                }),
        }
    }
}

/// Where the first wanted block lies among the stored ones.
fn rank(
    extent: ExtentId,
    stored: &Stored,
    first: u8,
    count: u8,
    room: usize,
) -> Result<usize, SegmentsError> {
    let end = usize::from(first) + usize::from(count);
    if end > EXTENT_BLOCKS || room != usize::from(count) * BLOCK {
        return Err(SegmentsError::Refused {
            what: "the wanted blocks do not fit the extent or the buffer",
        });
    }
    if !stored.fits() {
        return Err(SegmentsError::BadRecord { what: "its lengths do not fit together" });
    }
    let missing = (first..first + count).find(|&index| stored.present & (1 << index) == 0);
    if let Some(index) = missing {
        return Err(SegmentsError::NotPresent { extent, index });
    }
    let before = if count == 0 { 0 } else { stored.present & ((1u32 << first) - 1) };
    Ok(before.count_ones() as usize)
}

/// Verifies raw blocks, of which the first is the `rank`-th stored one.
fn verify_blocks(
    extent: ExtentId,
    stored: &Stored,
    rank: usize,
    blocks: &[u8],
) -> Result<(), SegmentsError> {
    let expected = indexes(stored.present).zip(&stored.sums).skip(rank);
    for (at, ((index, &sum), block)) in expected.zip(blocks.chunks(BLOCK)).enumerate() {
        if block_sum(extent, index, block) != sum {
            let start = (rank + at) * BLOCK;
            return Err(damaged(extent, stored, start, "the checksum of a block does not fit"));
        }
    }
    Ok(())
}

/// The blocks in a verified compressed payload.
fn unpack(extent: ExtentId, stored: &Stored, payload: &[u8]) -> Result<Vec<u8>, SegmentsError> {
    decompress(stored.codec, payload, stored.unpacked_len())
        .ok_or_else(|| damaged(extent, stored, 0, "it cannot be unpacked"))
}

/// Names the damage at `start` bytes into the payload.
fn damaged(extent: ExtentId, stored: &Stored, start: usize, what: &'static str) -> SegmentsError {
    match stored.place {
        Place::Inline(_) => SegmentsError::DamagedInline { extent, what },
        Place::At { segment, offset } => {
            SegmentsError::Damaged { segment, offset: offset + start as u64, extent, what }
        }
    }
}
