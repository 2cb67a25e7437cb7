//! The first cut in a stretch of data, by the fastest means of this machine. All means find the same.

use super::polynomial::Polynomial;
use super::rolling::Rolling;
#[cfg(target_arch = "x86_64")]
use super::{simd, taps::Taps};

/// Tables for one polynomial and one mask.
pub(super) struct Search {
    rolling: Rolling,
    #[cfg(target_arch = "x86_64")]
    taps: Taps,
    means: Means,
}

/// How cuts are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Several sliding windows, on every machine.
    Rolling,
    /// A kernel that names candidates.
    #[cfg(target_arch = "x86_64")]
    Kernel(simd::Kernel),
}

impl Means {
    /// The fastest of this machine.
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = simd::Kernel::best() {
            return Self::Kernel(kernel);
        }
        Self::Rolling
    }
}

impl Search {
    /// For cuts where the low `bits` bits are zero.
    pub(super) fn new(polynomial: Polynomial, bits: u32) -> Self {
        Self::with(polynomial, bits, Means::best())
    }

    /// The same with the means chosen.
    pub(super) fn with(polynomial: Polynomial, bits: u32, means: Means) -> Self {
        Self {
            rolling: Rolling::new(polynomial, bits),
            #[cfg(target_arch = "x86_64")]
            taps: Taps::new(polynomial, bits),
            means,
        }
    }

    /// The smallest `n` with `from <= n < to` such that a chunk may end after `data`'s first `n` bytes. `from` is at least 64 and
    /// `to` at most one past `data`'s length.
    pub(super) fn first(&self, data: &[u8], from: usize, to: usize) -> Option<usize> {
        match self.means {
            Means::Rolling => self.rolling.first(data, from, to),
            #[cfg(target_arch = "x86_64")]
            Means::Kernel(kernel) => self.first_by(kernel, data, from, to),
        }
    }

    /// With a kernel for all positions that have two blocks before them and fill a block; the others with a sliding window.
    #[cfg(target_arch = "x86_64")]
    fn first_by(
        &self,
        kernel: simd::Kernel,
        data: &[u8],
        mut from: usize,
        to: usize,
    ) -> Option<usize> {
        const BEFORE: usize = 2 * simd::BLOCK;
        if from <= BEFORE {
            let until = to.min(BEFORE + 1);
            if let Some(found) = self.rolling.first(data, from, until) {
                return Some(found);
            }
            from = from.max(until);
        }
        // A cut at n is one after byte n - 1: the first position's byte opens block 2.
        while let Some(bytes) = data.get(from.saturating_sub(1 + BEFORE)..to.saturating_sub(1)) {
            let (blocks, _) = bytes.as_chunks();
            let Some((block, mut candidates)) = kernel.candidates(&self.taps, blocks) else {
                from += (blocks.len() * simd::BLOCK).saturating_sub(BEFORE);
                break;
            };
            let start = from + block * simd::BLOCK - BEFORE;
            while candidates != 0 {
                let n = start + candidates.trailing_zeros() as usize;
                if self.rolling.cuts_at(data, n) {
                    return Some(n);
                }
                candidates &= candidates - 1;
            }
            from = start + simd::BLOCK;
        }
        self.rolling.first(data, from, to)
    }
}
