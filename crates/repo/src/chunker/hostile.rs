//! Cuts of any data, by every means, whole and in pieces: for tests and fuzzers.

use std::sync::LazyLock;

use super::search::{Means, Search};
use super::{Chunks, Cutter, Limits, Polynomial};

/// Small chunks, so that short inputs have many cuts.
const LIMITS: Limits = Limits { min: 64, max: 1024 };
const BITS: u32 = 6;

/// The means of every machine and the fastest of this one.
static CUTTERS: LazyLock<Option<[Cutter; 2]>> = LazyLock::new(|| {
    let polynomial = Polynomial::new(0x2f_ad7a_b11e_fe19).ok()?;
    let portable = Search::with(polynomial, BITS, Means::Rolling);
    let fast = Search::new(polynomial, BITS);
    Some([portable, fast].map(|search| Cutter::with(polynomial, LIMITS, search)))
});

/// The lengths of all chunks, when no more than `piece` bytes come at once.
pub(crate) fn lengths(which: usize, data: &[u8], piece: usize) -> Option<Vec<usize>> {
    let cutter = CUTTERS.as_ref()?.get(which)?.clone();
    let mut chunks = Chunks::new(cutter, Slow { data, piece });
    let mut lengths = Vec::new();
    while let Some(chunk) = chunks.next_chunk().ok()? {
        lengths.push(chunk.len());
    }
    Some(lengths)
}

/// Gives its bytes in small pieces.
struct Slow<'d> {
    data: &'d [u8],
    piece: usize,
}

impl std::io::Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let some = self.data.get(..self.piece.max(1)).unwrap_or(self.data);
        let count = std::io::Read::read(&mut &*some, buf)?;
        self.data = self.data.get(count..).unwrap_or_default();
        Ok(count)
    }
}
