//! The kernel for AVX-512 with wide products: 64 positions in some 40 instructions.
//!
//! A 128-bit lane holds two words. The words of the product `data * g` are summed apart, even ones with the one behind (`even`)
//! and odd ones with the one behind (`odd`), as the multiplication gives them: two words each, of which the upper one is added to
//! the next.

use std::arch::x86_64::*;

use super::BLOCK;
use crate::chunker::taps::{Matrix, Taps};

/// Reverses the bits of a byte.
const REVERSE: Matrix = 0x8040_2010_0804_0201;

/// Whether the processor has what [`candidates`] is compiled for.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("gfni")
}

/// See [`Kernel::candidates`](super::Kernel::candidates).
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq,gfni")]
pub(super) fn candidates(taps: &Taps, blocks: &[[u8; BLOCK]]) -> Option<(usize, u64)> {
    let [g01, g23, g45, g67] = pairs(taps);
    let [coming, gone, coming_high, gone_high] =
        [taps.coming, taps.gone, taps.coming_high, taps.gone_high].map(|matrix| every(matrix));
    let (mask, mask_high) =
        (_mm512_set1_epi8(taps.mask.cast_signed()), _mm512_set1_epi8(taps.mask_high.cast_signed()));
    let (mut odd_before, mut f_before) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (before, pair) in blocks.array_windows::<2>().enumerate() {
        // d0 ends with this block; each next one lies two words earlier; d8 is the block before.
        let (d0, d2, d4, d6, d8) = (
            load::<64>(pair),
            load::<48>(pair),
            load::<32>(pair),
            load::<16>(pair),
            load::<0>(pair),
        );
        let even = add3(
            add3(low_low(d0, g01), high_high(d2, g01), low_low(d2, g23)),
            add3(high_high(d4, g23), low_low(d4, g45), high_high(d6, g45)),
            _mm512_xor_si512(low_low(d6, g67), high_high(d8, g67)),
        );
        let odd = add3(
            add3(high_low(d0, g01), low_high(d0, g01), high_low(d2, g23)),
            add3(low_high(d2, g23), high_low(d4, g45), low_high(d4, g45)),
            _mm512_xor_si512(high_low(d6, g67), low_high(d6, g67)),
        );
        let odd_earlier = _mm512_alignr_epi64::<6>(odd, odd_before);
        let sums = _mm512_xor_si512(
            _mm512_unpacklo_epi64(even, odd),
            _mm512_unpackhi_epi64(odd_earlier, even),
        );
        let f = add3(sums, times(d0, coming), times(d8, gone));
        let f_earlier = _mm512_alignr_epi8::<15>(f, _mm512_alignr_epi64::<6>(f, f_before));
        let high = add3(f_earlier, times(d0, coming_high), times(d8, gone_high));
        let found = _mm512_testn_epi8_mask(f, mask) & _mm512_testn_epi8_mask(high, mask_high);
        // The first pair has nothing before it that could be carried over, and is only there to begin with.
        if found != 0 && before > 0 {
            return Some((before + 1, found));
        }
        (odd_before, f_before) = (odd, f);
    }
    None
}

/// The words of `g` by two, each pair in all lanes.
#[target_feature(enable = "avx512f")]
fn pairs(taps: &Taps) -> [__m512i; 4] {
    let [a, b, c, d, e, f, g, h] = taps.words.map(u64::cast_signed);
    [(a, b), (c, d), (e, f), (g, h)]
        .map(|(low, high)| _mm512_set_epi64(high, low, high, low, high, low, high, low))
}

/// The matrix for all words.
#[target_feature(enable = "avx512f")]
fn every(matrix: Matrix) -> __m512i {
    _mm512_set1_epi64(matrix.cast_signed())
}

/// The 64 bytes from `AT`, the bits of each reversed: the file's sequence of bits, lowest first.
#[target_feature(enable = "avx512f,gfni")]
fn load<const AT: usize>(pair: &[[u8; BLOCK]; 2]) -> __m512i {
    const { assert!(AT + 64 <= 2 * BLOCK) };
    // SAFETY: the array has 128 bytes one after the other, of which those from `AT` to `AT + 64` are read; it needs no alignment.
    let bytes = unsafe { _mm512_loadu_si512(pair.as_ptr().cast::<u8>().add(AT).cast()) };
    times(bytes, every(REVERSE))
}

/// The matrix applied to each byte.
#[target_feature(enable = "avx512f,gfni")]
fn times(bytes: __m512i, matrix: __m512i) -> __m512i {
    _mm512_gf2p8affine_epi64_epi8::<0>(bytes, matrix)
}

#[target_feature(enable = "avx512f")]
fn add3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// The products of each lane's lower words.
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn low_low(data: __m512i, g: __m512i) -> __m512i {
    _mm512_clmulepi64_epi128::<0x00>(data, g)
}

/// The products of each lane's upper words.
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn high_high(data: __m512i, g: __m512i) -> __m512i {
    _mm512_clmulepi64_epi128::<0x11>(data, g)
}

/// The products of the data's upper words and the lower ones of `g`.
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn high_low(data: __m512i, g: __m512i) -> __m512i {
    _mm512_clmulepi64_epi128::<0x01>(data, g)
}

/// The products of the data's lower words and the upper ones of `g`.
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn low_high(data: __m512i, g: __m512i) -> __m512i {
    _mm512_clmulepi64_epi128::<0x10>(data, g)
}
