//! The kernel for every processor with AVX and products of polynomials: 16 positions in some 60 instructions.
//!
//! The same sums as with AVX-512, of one lane instead of four. Matrices are applied by looking up both halves of a byte.

use std::arch::x86_64::*;

use super::BLOCK;
use crate::chunker::taps::{Matrix, Taps};

/// Lanes of a block.
const LANES: usize = BLOCK / 16;

/// What a block leaves for the next one.
struct Past {
    /// Its sequence of bits, lowest first, lane by lane.
    data: [__m128i; LANES],
    /// What its bytes will add when they are gone.
    gone: [__m128i; LANES],
    gone_high: [__m128i; LANES],
    /// The last lane's odd sums, whose upper word belongs to the next word.
    odd: __m128i,
    /// The last lane's `f_0..8`.
    f: __m128i,
}

/// A matrix as two tables of 16 entries: for a byte's lower and upper half.
#[derive(Clone, Copy)]
struct Halves(__m128i, __m128i);

/// The matrices.
struct Tables {
    reverse: Halves,
    coming: Halves,
    gone: Halves,
    coming_high: Halves,
    gone_high: Halves,
}

/// Whether the processor has what [`candidates`] is compiled for.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx") && is_x86_feature_detected!("pclmulqdq")
}

/// See [`Kernel::candidates`](super::Kernel::candidates).
#[target_feature(enable = "avx,pclmulqdq")]
pub(super) fn candidates(taps: &Taps, blocks: &[[u8; BLOCK]]) -> Option<(usize, u64)> {
    let [a, b, c, d, e, f, g, h] = taps.words.map(u64::cast_signed);
    let g = [(a, b), (c, d), (e, f), (g, h)].map(|(low, high)| _mm_set_epi64x(high, low));
    let tables = tables(taps);
    let masks = [taps.mask, taps.mask_high].map(|mask| _mm_set1_epi8(mask.cast_signed()));
    let zero = [_mm_setzero_si128(); LANES];
    let mut past = Past { data: zero, gone: zero, gone_high: zero, odd: zero[0], f: zero[0] };
    for (at, block) in blocks.iter().enumerate() {
        let found = step(&g, &tables, masks, &mut past, block);
        // The first two blocks have not all of a window before them.
        if found != 0 && at > 1 {
            return Some((at, found));
        }
    }
    None
}

/// The candidates of one block.
#[inline]
#[target_feature(enable = "avx,pclmulqdq")]
fn step(
    g: &[__m128i; 4],
    tables: &Tables,
    masks: [__m128i; 2],
    past: &mut Past,
    block: &[u8; BLOCK],
) -> u64 {
    let [g01, g23, g45, g67] = *g;
    let mut found = 0;
    // A lane's data, and that of the four lanes before.
    let [mut d8, mut d6, mut d4, mut d2] = past.data;
    for (lane, (((bytes, data), gone), gone_high)) in block
        .as_chunks::<16>()
        .0
        .iter()
        .zip(&mut past.data)
        .zip(&mut past.gone)
        .zip(&mut past.gone_high)
        .enumerate()
    {
        let halves = halves(load(bytes));
        let d0 = times(halves, tables.reverse);
        let even = add(
            add(
                add(low_low(d0, g01), high_high(d2, g01)),
                add(low_low(d2, g23), high_high(d4, g23)),
            ),
            add(
                add(low_low(d4, g45), high_high(d6, g45)),
                add(low_low(d6, g67), high_high(d8, g67)),
            ),
        );
        let odd = add(
            add(
                add(high_low(d0, g01), low_high(d0, g01)),
                add(high_low(d2, g23), low_high(d2, g23)),
            ),
            add(
                add(high_low(d4, g45), low_high(d4, g45)),
                add(high_low(d6, g67), low_high(d6, g67)),
            ),
        );
        let sums = add(_mm_unpacklo_epi64(even, odd), _mm_unpackhi_epi64(past.odd, even));
        let f = add(add(sums, *gone), times(halves, tables.coming));
        let high = add(
            add(_mm_alignr_epi8::<15>(f, past.f), *gone_high),
            times(halves, tables.coming_high),
        );
        let left = _mm_or_si128(_mm_and_si128(f, masks[0]), _mm_and_si128(high, masks[1]));
        let none = _mm_movemask_epi8(_mm_cmpeq_epi8(left, _mm_setzero_si128()));
        found |= u64::from(none.cast_unsigned()) << (16 * lane);
        (*data, *gone, *gone_high) =
            (d0, times(halves, tables.gone), times(halves, tables.gone_high));
        (past.odd, past.f) = (odd, f);
        (d2, d4, d6, d8) = (d0, d2, d4, d6);
    }
    found
}

/// The matrices as tables.
#[target_feature(enable = "avx")]
fn tables(taps: &Taps) -> Tables {
    Tables {
        reverse: lookup(u8::reverse_bits),
        coming: lookup(|byte| apply(taps.coming, byte)),
        gone: lookup(|byte| apply(taps.gone, byte)),
        coming_high: lookup(|byte| apply(taps.coming_high, byte)),
        gone_high: lookup(|byte| apply(taps.gone_high, byte)),
    }
}

/// A linear function of a byte as tables.
#[target_feature(enable = "avx")]
fn lookup(of: impl Fn(u8) -> u8) -> Halves {
    let table = |shift: u32| std::array::from_fn(|half| of((half as u8) << shift));
    Halves(load(&table(0)), load(&table(4)))
}

/// The matrix applied to a byte, whose bits it takes in reverse.
fn apply(matrix: Matrix, byte: u8) -> u8 {
    let row_of = |row: u8| (row & byte.reverse_bits()).count_ones() as u8 & 1;
    matrix.to_le_bytes().into_iter().fold(0, |sum, row| sum << 1 | row_of(row))
}

/// The lower and the upper half of each byte.
#[target_feature(enable = "avx")]
fn halves(bytes: __m128i) -> [__m128i; 2] {
    let mask = _mm_set1_epi8(15);
    [_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask)]
}

/// The matrix applied to each byte.
#[target_feature(enable = "avx")]
fn times([low, high]: [__m128i; 2], Halves(of_low, of_high): Halves) -> __m128i {
    add(_mm_shuffle_epi8(of_low, low), _mm_shuffle_epi8(of_high, high))
}

#[target_feature(enable = "avx")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array has the 16 bytes that are read; it needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx")]
fn add(a: __m128i, b: __m128i) -> __m128i {
    _mm_xor_si128(a, b)
}

/// The product of the lower words.
#[target_feature(enable = "avx,pclmulqdq")]
fn low_low(data: __m128i, g: __m128i) -> __m128i {
    _mm_clmulepi64_si128::<0x00>(data, g)
}

/// The product of the upper words.
#[target_feature(enable = "avx,pclmulqdq")]
fn high_high(data: __m128i, g: __m128i) -> __m128i {
    _mm_clmulepi64_si128::<0x11>(data, g)
}

/// The product of the data's upper word and the lower one of `g`.
#[target_feature(enable = "avx,pclmulqdq")]
fn high_low(data: __m128i, g: __m128i) -> __m128i {
    _mm_clmulepi64_si128::<0x01>(data, g)
}

/// The product of the data's lower word and the upper one of `g`.
#[target_feature(enable = "avx,pclmulqdq")]
fn low_high(data: __m128i, g: __m128i) -> __m128i {
    _mm_clmulepi64_si128::<0x10>(data, g)
}
