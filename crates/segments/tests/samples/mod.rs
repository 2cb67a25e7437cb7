//! Extents and owners for tests: the same number always gives the same bytes.

#![allow(dead_code, reason = "no test file uses all of them")]

use tintype_segments::*;

/// An owner for tests.
pub fn owner(n: u64) -> Owner {
    Owner { space: n, object: n * 3, first_block: n * 1000, count: 3, index: 2 }
}

/// `count` blocks: compressible text for even `n`, noise for odd.
pub fn blocks(n: u64, count: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut byte = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count * BLOCK)
        .map(|i| if n.is_multiple_of(2) { ((i / 64) as u8) ^ (n as u8) } else { byte() })
        .collect()
}

/// An encoded extent with the id `n`.
pub fn extent(n: u64, wish: Codec, present: u32) -> (Encoded, Vec<u8>) {
    let bytes = blocks(n, present.count_ones() as usize);
    (encode(wish, ExtentId(n), present, &[owner(n)], &bytes).unwrap(), bytes)
}
