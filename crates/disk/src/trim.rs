//! Discarding and zeroing ranges, in bounded operations.

use crate::disk::{Disk, State, map};
use crate::error::Result;
use crate::keys;
use crate::view::check_range;
use std::ops::ControlFlow;
use tintype_store::content::{BYTES, locate};
use tintype_store::patch::Step;
use tintype_store::{BLOCK, Moment, SPAN_BLOCKS, blockmap};

/// Maps that one operation changes, at most.
const SPANS: usize = 16_384;
/// Spans that one operation reserves, at most.
const RESERVE: u64 = 4096;

impl Disk {
    /// The whole blocks of the range hold nothing afterwards and read as zeroes; what the range covers of other blocks stays.
    ///
    /// # Errors
    /// The range does not lie inside the disk, or the store failed.
    pub fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.in_whole_blocks(offset, length, |state, from, to| state.unmap(from, to))
    }

    /// The range reads as zeroes afterwards. With `reserve` its blocks count as held, so that later writes to them need no room
    /// that others could take.
    ///
    /// # Errors
    /// The range does not lie inside the disk, a limit forbids it, or the store failed.
    pub fn write_zeroes(&self, offset: u64, length: u64, reserve: bool) -> Result<()> {
        check_range(self.state.lock().head.size, offset, length)?;
        let end = offset + length;
        let (first, last) = (offset.div_ceil(BYTES) * BYTES, end / BYTES * BYTES);
        if first >= last {
            // Less than one whole block; it may lie in two.
            return self.write_at(offset, zeroes(length));
        }
        self.write_at(offset, zeroes(first - offset))?;
        self.write_at(last, zeroes(end - last))?;
        if reserve {
            self.limits.refresh(&self.store);
            self.in_whole_blocks(first, last - first, |state, from, to| {
                let to = to.min((from / SPAN_BLOCKS + RESERVE) * SPAN_BLOCKS);
                let need = state.need(from, to)?;
                self.limits.check(state.live(), need)?;
                state.reserve(from, to)?;
                Ok(to)
            })
        } else {
            self.discard(first, last - first)
        }
    }

    /// Calls `f` with the whole blocks of the range until it has done all; `f` answers how far it came.
    fn in_whole_blocks(
        &self,
        offset: u64,
        length: u64,
        mut f: impl FnMut(&mut State, u64, u64) -> Result<u64>,
    ) -> Result<()> {
        let mut next = offset.div_ceil(BYTES);
        while self.edit(|state, _| {
            let size = state.head.size;
            check_range(size, offset, length)?;
            let end = offset + length;
            // The last block of a disk may be cut: behind its end there is nothing to keep.
            let last = if end == size { end.div_ceil(BYTES) } else { end / BYTES };
            if next < last {
                next = f(state, next, last)?.max(next + 1);
            }
            Ok(Step::Done(next < last))
        })? {}
        Ok(())
    }
}

/// Less than two blocks of zeroes.
fn zeroes(length: u64) -> &'static [u8] {
    static ZEROES: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
    ZEROES.get(..length as usize).unwrap_or(&ZEROES)
}

impl State {
    /// Unmaps blocks of [from, to); answers how far it came.
    pub(crate) fn unmap(&mut self, from: u64, to: u64) -> Result<u64> {
        let mut spans = Vec::new();
        let (first, last) = (from / SPAN_BLOCKS, to.div_ceil(SPAN_BLOCKS));
        self.line.scan(keys::span(first), keys::span(last), &mut |key, _| {
            spans.push(key.b);
            if spans.len() < SPANS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let done = match spans.last() {
            Some(last) if spans.len() >= SPANS => to.min((last + 1).saturating_mul(SPAN_BLOCKS)),
            _ => to,
        };
        for span in spans {
            let base = span * SPAN_BLOCKS;
            let start = from.saturating_sub(base).min(SPAN_BLOCKS) as u16;
            let stop = to.saturating_sub(base).min(SPAN_BLOCKS) as u16;
            let old = map(&mut self.line, span)?;
            if blockmap::mapped(old.as_ref(), start, stop) > 0 {
                let new = blockmap::replace(old.as_ref(), start, stop, &[]);
                self.set_map(span, old.as_ref(), new);
            }
        }
        Ok(done)
    }

    /// Maps the blocks [from, to) to reserved ones.
    fn reserve(&mut self, from: u64, to: u64) -> Result<()> {
        let mut block = from;
        while block < to {
            let (span, at) = locate(block);
            let stop = to.min((span + 1) * SPAN_BLOCKS);
            let count = (stop - block) as u16;
            let old = map(&mut self.line, span)?;
            let new = self.line.reserve(at, count);
            let pieces = blockmap::replace(old.as_ref(), at, at + count, &[new]);
            self.set_map(span, old.as_ref(), pieces);
            block = stop;
        }
        Ok(())
    }
}
