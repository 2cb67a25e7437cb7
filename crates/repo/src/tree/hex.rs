//! Ids as hexadecimal digits, in bulk: a large file's node is little else.

use crate::id::{BlobId, Id};
use crate::json::string::hex_pair;

/// What is no lower-case digit.
const NONE: u8 = 0xff;

/// Value of each digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16u8 {
        let digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        // In bounds by type, and evaluated when compiling.
        #[allow(clippy::indexing_slicing)]
        {
            values[digit as usize] = value;
        }
        value += 1;
    }
    values
};

/// The id written as these 64 lower-case digits.
pub(super) fn read_id(digits: &str) -> Option<BlobId> {
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let mut id = [0u8; 32];
    let mut seen = 0;
    for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| VALUES.get(usize::from(digit)).copied().unwrap_or(NONE));
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen < 16).then_some(BlobId(Id(id)))
}

/// Appends the id with quotes.
pub(super) fn push_id(out: &mut Vec<u8>, id: &BlobId) {
    let mut text = [b'"'; 66];
    let digits = text.iter_mut().skip(1);
    let mut pairs = [[0u8; 2]; 32];
    for (pair, byte) in pairs.iter_mut().zip(id.0.0) {
        *pair = hex_pair(byte);
    }
    for (place, digit) in digits.zip(pairs.as_flattened()) {
        *place = *digit;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let id = BlobId::of(b"x");
        let mut out = Vec::new();
        push_id(&mut out, &id);
        assert_eq!(out, format!("\"{id}\"").as_bytes());
        assert_eq!(read_id(&id.to_string()), Some(id));
        for wrong in [id.to_string().to_uppercase(), "0".repeat(63), "g".repeat(64), "é".repeat(32)]
        {
            assert_eq!(read_id(&wrong), None);
        }
    }
}
