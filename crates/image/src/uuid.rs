//! Sixteen bytes that name an image.

use std::fmt;
use std::str::FromStr;

/// The name that an image carries inside, and that a delta gives for what it goes upon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// From 16 bytes of a hash, or random ones: the bits that say so are set (version 8, variant 1).
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
        Self(bits.to_be_bytes())
    }

    /// Nothing but zeroes: no name at all.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no name of an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no UUID: write 32 hexadecimal digits, as in 01234567-89ab-cdef-0123-456789abcdef"
)]
pub struct NotAUuid {
    text: String,
}

impl FromStr for Uuid {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Self, NotAUuid> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or_else(|| NotAUuid { text: text.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may stop")]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let uuid = Uuid::from_bits(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(uuid.to_string(), "01234567-89ab-8def-8123-456789abcdef");
        assert_eq!(uuid.to_string().parse::<Uuid>().unwrap(), uuid);
        for bad in
            ["", "1", "01234567-89ab-8def-8123-456789abcdeg", "+1234567-89ab-8def-8123-456789abcde"]
        {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }
}
