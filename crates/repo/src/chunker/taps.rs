//! The test for cuts as a convolution of bits, for processors that multiply polynomials.
//!
//! Let `W(m)` be the window that ends with byte `m`, and `c(w)` the lowest coefficient of `w mod P`. The lowest coefficient of P
//! is 1, so dividing a polynomial by `x` drops its lowest bit and adds a multiple of that bit: by induction, the low `k` bits of
//! `W mod P` are zero exactly if `f_i = c(W / x^i)` is zero for all `i < k`. With `g_e = c(x^e)`, each `f_i` is a sum over the
//! window's bits:
//!
//! ```text
//! f_i(m) = sum over e in 0..512 of  g_(e-i) * (bit of W(m) at x^e)
//! ```
//!
//! Now let the whole file be one sequence of bits, highest bit of a byte first, and `F(s)` the sum over `e` of `g_e` times the
//! bit `e` places before `s`. That is the product of two polynomials, which one instruction finds for 64 bits by 64. With `s` the
//! last bit of byte `m`, `F(s - i)` is `f_i(m)` but for terms at the window's two ends, since its window is `i` bits earlier. For
//! `i < 8` these touch only byte `m` (coming) and byte `m - 64` (gone): two 8 by 8 matrices. So byte `m` of `F` gives `f_0` to
//! `f_7` for the window ending with byte `m`. And because `W(m) = x^8 W(m-1) + new byte - x^512 old byte`, `f_(8+i)(m)` is
//! `f_i(m-1)` and two more matrices.
//!
//! Together 16 of the 20 bits, for all positions, without a single table in memory. One position in 65536 is left for the exact
//! test.

use super::polynomial::Polynomial;

/// Words of 64 bits in the sequence `g`.
pub(super) const WORDS: usize = 8;

/// Exponents below zero for which `g` is needed.
const NEGATIVE: usize = 15;
const COUNT: usize = NEGATIVE + 64 * WORDS;

/// An 8 by 8 matrix over F2. Byte `i` is the row that gives `f_i`, at bit `7 - i` of the result; bit `7 - j` of a row belongs to
/// the input's bit `j`, since the bits of input bytes are reversed. This is also the order of the processors' affine instruction.
pub(super) type Matrix = u64;

/// What the search needs to know about a polynomial.
pub(super) struct Taps {
    /// `g_0` to `g_511`, lowest bit first.
    pub(super) words: [u64; WORDS],
    /// `f_0..8` from byte `m`, beyond `F`.
    pub(super) coming: Matrix,
    /// `f_0..8` from byte `m - 64`, beyond `F`.
    pub(super) gone: Matrix,
    /// `f_8..16` from byte `m`, beyond `f_0..8` of byte `m - 1`.
    pub(super) coming_high: Matrix,
    /// `f_8..16` from byte `m - 64`, beyond `f_0..8` of byte `m - 1`.
    pub(super) gone_high: Matrix,
    /// Which bits of `f_0..8` must be zero.
    pub(super) mask: u8,
    /// Which bits of `f_8..16` must be zero.
    pub(super) mask_high: u8,
}

impl Taps {
    /// For cuts where the low `bits` bits are zero.
    pub(super) fn new(polynomial: Polynomial, bits: u32) -> Self {
        let g = sequence(polynomial);
        let g = |exponent: i32| {
            exponent
                .checked_add(NEGATIVE as i32)
                .and_then(|at| g.get(usize::try_from(at).ok()?))
                .copied()
                == Some(true)
        };
        let below = |j: i32, i: i32| j < i;
        Self {
            words: std::array::from_fn(|word| {
                (0..64).fold(0, |sum, bit| sum | u64::from(g((64 * word + bit) as i32)) << bit)
            }),
            coming: matrix(|i, j| below(j, i) && g(j - i)),
            gone: matrix(|i, j| below(j, i) && g(512 + j - i)),
            coming_high: matrix(|i, j| g(j - 8 - i)),
            gone_high: matrix(|i, j| g(504 + j - i)),
            mask: high_bits(bits),
            mask_high: high_bits(bits.saturating_sub(8)),
        }
    }
}

/// `g_-15` to `g_511`.
fn sequence(polynomial: Polynomial) -> [bool; COUNT] {
    let mut power = (0..NEGATIVE).fold(1, |power, _| polynomial.over_x(power));
    std::array::from_fn(|_| {
        let lowest = power & 1 == 1;
        power = polynomial.times_x(power);
        lowest
    })
}

/// The matrix whose result `f_i` has the input's bit `j` in it where `has(i, j)`.
fn matrix(has: impl Fn(i32, i32) -> bool) -> Matrix {
    let places = (0..8).flat_map(|i| (0..8).map(move |j| (i, j)));
    places.filter(|(i, j)| has(*i, *j)).fold(0, |sum, (i, j)| sum | 1 << (8 * i + 7 - j))
}

/// The places of the first `count` of `f_0..8`, 8 at most.
fn high_bits(count: u32) -> u8 {
    !(0xff_u32 >> count.min(8)) as u8
}
