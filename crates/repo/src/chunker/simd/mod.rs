//! The convolution of [`taps`](super::taps) with the processor's products of polynomials: which positions are worth an exact
//! test.
//!
//! One kernel per kind of processor. A kernel can only be had through [`Kernel::best`] or [`Kernel::all`], which ask the
//! processor first; that is the proof for calling code that is compiled for features the processor might lack. Kernels never
//! decide where to cut: what they name is tested again, and what they miss would be seen by the tests that compare them with
//! sliding windows.

#![allow(unsafe_code)]

mod avx;
mod avx512;

use super::taps::Taps;

/// Bytes and positions that a kernel takes at once.
pub(super) const BLOCK: usize = 64;

/// A kernel that this processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 64 positions by 16 instructions that multiply four pairs of words each.
    Avx512,
    /// 16 positions by 16 instructions that multiply one pair of words.
    Avx,
}

impl Kernel {
    /// All that this processor can run, the fastest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [(Kind::Avx512, avx512::detected()), (Kind::Avx, avx::detected())]
            .into_iter()
            .filter_map(|(kind, detected)| detected.then_some(Self(kind)))
    }

    /// The fastest that this processor can run.
    pub(super) fn best() -> Option<Self> {
        Self::all().next()
    }

    /// The first block with candidates, and which of its 64 bytes are (bit `i` for byte `i`): a cut after such a byte is
    /// possible, and after no other byte of this block and of those before. Blocks 0 and 1 are only there to be looked back upon.
    pub(super) fn candidates(self, taps: &Taps, blocks: &[[u8; BLOCK]]) -> Option<(usize, u64)> {
        match self.0 {
            // SAFETY: a value with this kind is only made by `all`, after `avx512::detected` has found every feature of
            // `candidates`.
            Kind::Avx512 => unsafe { avx512::candidates(taps, blocks) },
            // SAFETY: a value with this kind is only made by `all`, after `avx::detected` has found every feature of
            // `candidates`.
            Kind::Avx => unsafe { avx::candidates(taps, blocks) },
        }
    }
}
