//! Whether and where the content of a file differs.
//!
//! Blocks at the same place of the same extent are equal; others are read and compared, so that
//! rewriting the same bytes is no change of content.

use super::Diff;
use super::side::Found;
use crate::blocks::{self, SPAN};
use crate::error::Result;
use crate::read::{BYTES, SPAN_BLOCKS};
use tintype_store::{BLOCK, BlockReader, Key, Piece};

impl Diff {
    /// The ranges that differ (at most the first one unless ranges are wanted); `None` when the
    /// content is the same.
    pub(super) fn content(
        &mut self,
        ino: u64,
        old: &Found,
        new: &Found,
        spans: &[Key],
    ) -> Result<Option<Vec<(u64, u64)>>> {
        let end = new.0.size;
        let mut differs = old.0.size != new.0.size;
        if differs && !self.ranges {
            return Ok(Some(Vec::new()));
        }
        let mut list = Vec::new();
        let zero = (0, old.1.pieces.clone(), new.1.pieces.clone());
        let mut next = Some(zero);
        let mut rest = spans.iter();
        while let Some((span, a, b)) = next {
            if !blocks::same_content(&a, &b) {
                self.span(span, &a, &b, end, &mut list)?;
            }
            differs |= !list.is_empty();
            if differs && !self.ranges {
                return Ok(Some(Vec::new()));
            }
            next = match rest.next() {
                Some(key) => {
                    let pieces = |record: Option<std::sync::Arc<tintype_store::Record>>| {
                        record.map_or_else(Box::default, |record| record.pieces.clone())
                    };
                    debug_assert_eq!(key.a, ino);
                    Some((key.b, pieces(self.a.record(*key)?), pieces(self.b.record(*key)?)))
                }
                None => None,
            };
        }
        let size = new.0.size;
        for range in &mut list {
            range.1 = range.1.min(size.saturating_sub(range.0));
        }
        Ok(differs.then_some(list))
    }

    /// Adds the blocks of one span that differ below byte `end` of the file.
    fn span(
        &self,
        span: u64,
        a: &[Piece],
        b: &[Piece],
        end: u64,
        list: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let (old, new) = (self.a.reader(), self.b.reader());
        for at in 0..SPAN {
            let block = span * SPAN_BLOCKS + u64::from(at);
            let offset = block * BYTES;
            if offset >= end {
                return Ok(());
            }
            let (x, y) = (data(a, at), data(b, at));
            if x == y || same_bytes(&old, x, &new, y, (end - offset).min(BYTES) as usize)? {
                continue;
            }
            match list.last_mut() {
                Some(last) if last.0 + last.1 == offset => last.1 += BYTES,
                _ => list.push((offset, BYTES)),
            }
            if !self.ranges {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Extent and index of a block; `None` reads as zeroes.
fn data(pieces: &[Piece], at: u16) -> Option<(u64, u16)> {
    let piece = blocks::find(pieces, at).filter(|piece| piece.extent != 0)?;
    Some((piece.extent, piece.first))
}

fn same_bytes(
    old: &BlockReader,
    x: Option<(u64, u16)>,
    new: &BlockReader,
    y: Option<(u64, u16)>,
    len: usize,
) -> Result<bool> {
    let mut blocks = ([0; BLOCK], [0; BLOCK]);
    for (reader, place, block) in [(old, x, &mut blocks.0), (new, y, &mut blocks.1)] {
        let Some((extent, index)) = place else { continue };
        reader.read(extent, index, 1, block)?;
    }
    Ok(blocks.0.get(..len) == blocks.1.get(..len))
}
