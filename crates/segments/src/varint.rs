//! Whole numbers in as few bytes as they need: seven bits per byte, low bits first, high bit set when more follow.
//!
//! Decoding is strict: it takes the shortest form only, never reads past the end, and never panics.

/// Appends `value` (1 to 10 bytes).
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number from the front of `input`; `None` when it is cut short, too large or not the shortest form.
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// As [`take`], for a number that must fit into 32 bits.
pub(crate) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take(input)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_only_in_one_form() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut input = &out[..];
            assert_eq!(take(&mut input), Some(value));
            assert!(input.is_empty());
            let mut short = &out[..out.len() - 1];
            assert_eq!(take(&mut short), None);
        }
        assert_eq!(take(&mut &[0x80, 0x00][..]), None);
        assert_eq!(take(&mut &[0xff; 10][..]), None);
        assert_eq!(take_u32(&mut &[0x80, 0x80, 0x80, 0x80, 0x10][..]), None);
    }
}
