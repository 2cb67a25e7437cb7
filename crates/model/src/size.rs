//! Sizes in bytes as people write and read them.
//!
//! `K`, `M`, `G`, `T`, `P`, `E`, alone or with `iB`, are powers of 1,024; with `B` alone (`KB`)
//! they are powers of 1,000. Case does not matter. A fraction is allowed and rounded down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A number of bytes. On wires it is a plain number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

fn multiplier(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let (letter, base): (&str, u128) = match unit.as_str() {
        "" | "b" => return Some(1),
        u if u.len() == 3 && u.ends_with("ib") => (u.get(..1)?, 1024),
        u if u.len() == 2 && u.ends_with('b') => (u.get(..1)?, 1000),
        u => (u, 1024),
    };
    let power = ["k", "m", "g", "t", "p", "e"].iter().position(|l| *l == letter)?;
    base.checked_pow(u32::try_from(power).ok()? + 1)
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = multiplier(unit.trim_start())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut bytes = whole.parse::<u64>().ok().map(u128::from)?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        bytes += fraction.parse::<u64>().ok().map(u128::from)?.checked_mul(unit)? / scale;
    }
    u64::try_from(bytes).ok()
}

impl FromStr for ByteSize {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        parse(text).map(Self).ok_or_else(|| ModelError::Size { text: text.to_owned() })
    }
}

impl fmt::Display for ByteSize {
    /// Three or four significant digits: `4.0 KiB`, `117 MiB`, `512 B`.
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut units = UNITS.iter();
        let mut unit = units.next().unwrap_or(&"B");
        while value >= 1023.5 {
            let Some(next) = units.next() else { break };
            value /= 1024.0;
            unit = next;
        }
        let text = if *unit == "B" || value >= 99.95 {
            format!("{value:.0} {unit}")
        } else {
            format!("{value:.1} {unit}")
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("4096", 4096),
            ("0", 0),
            ("10G", 10 << 30),
            ("10gib", 10 << 30),
            ("1.5TiB", 3 << 39),
            ("2KB", 2000),
            ("7 M", 7 << 20),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, want, "{text}");
        }
        for bad in ["", "G", "-1", "1.2.3", "10X", "16E", "1e9", "."] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (4096, "4.0 KiB"),
            (117 << 20, "117 MiB"),
            ((10 << 20) - 1, "10.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(ByteSize(bytes).to_string(), want);
        }
    }
}
