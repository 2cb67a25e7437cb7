//! Where two maps of one span differ.
//!
//! Blocks at the same place of the same extent are equal; others are read and compared when asked to, so that
//! rewriting the same bytes is no change of content.

use crate::blockmap::{self, SPAN};
use crate::content::BYTES;
use crate::error::Result;
use crate::shared::BlockReader;
use crate::{BLOCK, Piece, SPAN_BLOCKS, stop};
use std::ops::ControlFlow;

/// One of the two maps.
#[derive(Clone, Copy)]
pub struct Side<'s> {
    /// Reads its blocks.
    pub reader: &'s BlockReader,
    /// The map.
    pub pieces: &'s [Piece],
}

/// What counts as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// The same bytes, wherever they lie.
    Bytes,
    /// The same place: nobody wrote the block in between. Reads nothing.
    Place,
}

/// Visits the first byte of each block of span `span` below byte `end` that differs.
///
/// Both moments have to stay while this runs (see `Store::fix`), or blocks may go meanwhile.
///
/// # Errors
/// The data is damaged, or the disk failed.
pub fn differing(
    span: u64,
    end: u64,
    old: Side<'_>,
    new: Side<'_>,
    equal: Equal,
    visit: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<()> {
    if blockmap::same_content(old.pieces, new.pieces) {
        return Ok(());
    }
    stop::check()?;
    for at in 0..SPAN {
        let offset = (span * SPAN_BLOCKS + u64::from(at)).saturating_mul(BYTES);
        if offset >= end {
            return Ok(());
        }
        let (x, y) = (place(old.pieces, at), place(new.pieces, at));
        let len = (end - offset).min(BYTES) as usize;
        let same = x == y || equal == Equal::Bytes && same_bytes((old, x), (new, y), len)?;
        if !same && visit(offset).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Extent and index of a block; `None` reads as zeroes.
fn place(pieces: &[Piece], at: u16) -> Option<(u64, u16)> {
    let piece = blockmap::find(pieces, at).filter(|piece| piece.extent != 0)?;
    Some((piece.extent, piece.first))
}

type Found<'s> = (Side<'s>, Option<(u64, u16)>);

fn same_bytes(old: Found<'_>, new: Found<'_>, len: usize) -> Result<bool> {
    let mut blocks = ([0; BLOCK], [0; BLOCK]);
    for ((side, place), block) in [(old, &mut blocks.0), (new, &mut blocks.1)] {
        let Some((extent, index)) = place else { continue };
        side.reader.read(extent, index, 1, block)?;
    }
    Ok(blocks.0.get(..len) == blocks.1.get(..len))
}
