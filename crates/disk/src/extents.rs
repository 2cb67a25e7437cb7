//! How the bytes of a disk are allocated.

use crate::error::Result;
use crate::keys;
use std::ops::ControlFlow;
use tintype_store::content::BYTES;
use tintype_store::{Moment, SPAN_BLOCKS, blockmap};

/// Maps that one question reads, at most.
const SPANS: usize = 8192;

/// What is below some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Nothing: they read as zeroes.
    Hole,
    /// Reserved: they read as zeroes.
    Reserved,
    /// Data.
    Data,
}

impl Allocation {
    /// Whether the bytes are known to be zero without reading them.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        !matches!(self, Self::Data)
    }
}

/// A stretch of bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte.
    pub offset: u64,
    /// Bytes, at least one.
    pub length: u64,
    /// What is below them.
    pub allocation: Allocation,
}

/// Runs being collected, cut to the range that was asked for.
struct Runs {
    list: Vec<Run>,
    /// Where the next run starts.
    at: u64,
    end: u64,
    max: usize,
}

impl Runs {
    /// Adds blocks up to `block`.
    fn up_to(&mut self, block: u64, allocation: Allocation) {
        let stop = block.saturating_mul(BYTES).min(self.end);
        if stop <= self.at {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.allocation == allocation => last.length += stop - self.at,
            _ => self.list.push(Run { offset: self.at, length: stop - self.at, allocation }),
        }
        self.at = stop;
    }

    fn is_full(&self) -> bool {
        self.list.len() > self.max || self.at >= self.end
    }
}

/// The runs of [offset, offset + length), which lies inside the disk: at most `max` (at least 1), and perhaps not all.
pub(crate) fn runs(
    moment: &mut dyn Moment,
    offset: u64,
    length: u64,
    max: usize,
) -> Result<Vec<Run>> {
    let end = offset + length;
    let max = max.max(1);
    let mut runs = Runs { list: Vec::new(), at: offset, end, max };
    let (first, last) = (offset / BYTES / SPAN_BLOCKS, end.div_ceil(BYTES).div_ceil(SPAN_BLOCKS));
    let mut seen = 0;
    let mut all = true;
    moment.scan(keys::span(first), keys::span(last), &mut |key, record| {
        let base = key.b.saturating_mul(SPAN_BLOCKS);
        runs.up_to(base, Allocation::Hole);
        for run in blockmap::runs(&record.pieces, 0, blockmap::SPAN) {
            let allocation = match run.piece {
                None => Allocation::Hole,
                Some(piece) if piece.extent == 0 => Allocation::Reserved,
                Some(_) => Allocation::Data,
            };
            runs.up_to(base.saturating_add(u64::from(run.at + run.len)), allocation);
        }
        seen += 1;
        if runs.is_full() || seen >= SPANS {
            all = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if all {
        runs.up_to(u64::MAX / BYTES, Allocation::Hole);
    }
    runs.list.truncate(max);
    Ok(runs.list)
}
