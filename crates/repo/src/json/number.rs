//! Whole numbers as decimal digits, without the detour over `fmt`.

const PAIRS: &[u8; 200] =
    b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
40414243444546474849505152535455565758596061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends the number.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut left: &mut [u8] = &mut digits;
    let mut count = 0;
    while number >= 10 {
        left = put_pair(left, number % 100);
        number /= 100;
        count += 2;
    }
    if number > 0 || count == 0 {
        if let Some(last) = left.last_mut() {
            *last = b'0' + (number % 10) as u8;
        }
        count += 1;
    }
    out.extend_from_slice(digits.get(20 - count..).unwrap_or_default());
}

/// Writes two digits at the end of the space and answers what is left before them.
fn put_pair(space: &mut [u8], pair: u64) -> &mut [u8] {
    let Some((rest, end)) = space.split_last_chunk_mut::<2>() else { return &mut [] };
    *end = two_digits(pair);
    rest
}

/// The number below 100 as two digits.
pub(crate) fn two_digits(number: u64) -> [u8; 2] {
    let at = (number % 100) as usize * 2;
    match PAIRS.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(pair) => *pair,
        None => *b"00",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_the_standard_library() {
        let edges =
            [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 12345, u64::MAX, u64::MAX - 1, 1 << 32];
        for number in edges.into_iter().chain(0..2000) {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
