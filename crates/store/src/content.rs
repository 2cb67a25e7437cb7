//! Reading byte ranges of mapped content: the pieces are resolved under the owner's lock, the bytes move outside of it.
//!
//! A piece that was resolved stays right, for blocks on disk never change; when its extent has gone meanwhile, the read answers
//! [`StoreError::Moved`] and the range has to be resolved again ([`TRIES`]).

use crate::blockmap;
use crate::error::{Result, StoreError};
use crate::shared::BlockReader;
use crate::{BLOCK, Piece, SPAN_BLOCKS};

/// How often a range is resolved again before the read fails.
pub const TRIES: usize = 16;
/// Bytes of a block.
pub const BYTES: u64 = BLOCK as u64;

/// A stretch of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Bytes to skip in the first block.
    skip: usize,
    /// Bytes of the answer.
    len: usize,
    /// Where they lie; zeroes otherwise.
    piece: Option<Piece>,
}

/// Span and position in it of a block.
#[must_use]
pub const fn locate(block: u64) -> (u64, u16) {
    (block / SPAN_BLOCKS, (block % SPAN_BLOCKS) as u16)
}

/// Resolves `len` bytes from `offset`; `map` gives the block map of a span.
///
/// # Errors
/// What `map` answers.
pub fn resolve<P: AsRef<[Piece]>, E>(
    offset: u64,
    len: usize,
    mut map: impl FnMut(u64) -> std::result::Result<P, E>,
) -> std::result::Result<Vec<Part>, E> {
    let mut parts = Vec::new();
    let end = offset.saturating_add(len as u64);
    let mut at = offset;
    while at < end {
        let span = at / (BYTES * SPAN_BLOCKS);
        let base = span * SPAN_BLOCKS;
        let stop = end.min((base + SPAN_BLOCKS).saturating_mul(BYTES));
        let (from, to) = (at / BYTES - base, stop.div_ceil(BYTES) - base);
        let pieces = map(span)?;
        for run in blockmap::runs(pieces.as_ref(), from as u16, to as u16) {
            let run_end = stop.min((base + u64::from(run.at + run.len)).saturating_mul(BYTES));
            let piece = run.piece.filter(|piece| piece.extent != 0);
            parts.push(Part { skip: (at % BYTES) as usize, len: (run_end - at) as usize, piece });
            at = run_end;
        }
    }
    Ok(parts)
}

/// Reads resolved parts into `buf`; answers how many bytes they were.
///
/// # Errors
/// [`StoreError::Moved`]: resolve again. The data is damaged, or the disk failed.
pub fn fill(reader: &BlockReader, parts: &[Part], buf: &mut [u8]) -> Result<usize> {
    let mut rest = buf;
    let mut count = 0;
    for part in parts {
        let Some((out, tail)) = rest.split_at_mut_checked(part.len) else { break };
        match &part.piece {
            Some(piece) => read_piece(reader, piece, part.skip, out)?,
            None => out.fill(0),
        }
        count += part.len;
        rest = tail;
    }
    Ok(count)
}

/// Reads `out.len()` bytes from byte `skip` of a piece.
fn read_piece(reader: &BlockReader, piece: &Piece, skip: usize, out: &mut [u8]) -> Result<()> {
    let mut index = piece.first;
    let head = if skip == 0 { 0 } else { out.len().min(BLOCK - skip) };
    let (front, rest) = out.split_at_mut(head);
    if head > 0 {
        copy_part(reader, piece.extent, index, skip, front)?;
        index += 1;
    }
    let whole = rest.len() / BLOCK;
    let (middle, tail) = rest.split_at_mut(whole * BLOCK);
    if whole > 0 {
        reader.read(piece.extent, index, whole as u16, middle)?;
        index += whole as u16;
    }
    if tail.is_empty() { Ok(()) } else { copy_part(reader, piece.extent, index, 0, tail) }
}

fn copy_part(
    reader: &BlockReader,
    extent: u64,
    index: u16,
    skip: usize,
    out: &mut [u8],
) -> Result<()> {
    let mut block = [0; BLOCK];
    reader.read(extent, index, 1, &mut block)?;
    match block.get(skip..skip + out.len()) {
        Some(part) => out.copy_from_slice(part),
        None => return Err(StoreError::Moved(extent)),
    }
    Ok(())
}
