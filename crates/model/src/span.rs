//! Lengths of time as people write them: `30d`, `12h`, `2w`, `1d12h`.
//!
//! Units: `s`, `min`, `h`, `d` (24 hours), `w` (7 days), `y` (365 days). A lone `m` is refused: it could be
//! minutes or months. No calendar is involved: a day is 86,400 seconds.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

const UNITS: [(&str, u64); 6] =
    [("y", 31_536_000), ("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

impl Span {
    /// From whole seconds.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// In whole seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// This long after `time`; the last representable time when that is too late.
    pub fn after(self, time: Timestamp) -> Timestamp {
        self.duration().and_then(|d| time.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
    }

    /// This long before `time`; the first representable time when that is too early.
    pub fn before(self, time: Timestamp) -> Timestamp {
        self.duration().and_then(|d| time.checked_sub(d).ok()).unwrap_or(Timestamp::MIN)
    }

    fn duration(self) -> Option<SignedDuration> {
        i64::try_from(self.0).ok().map(SignedDuration::from_secs)
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut seconds = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = tail.trim_start();
    }
    Some(seconds)
}

impl FromStr for Span {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        parse(text).map(Self).ok_or_else(|| ModelError::Span { text: text.to_owned() })
    }
}

impl TryFrom<String> for Span {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut text = String::new();
        for (unit, seconds) in UNITS {
            if rest >= seconds {
                text.push_str(&format!("{}{unit}", rest / seconds));
                rest %= seconds;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip() {
        for (text, seconds) in
            [("30d", 2_592_000), ("12h", 43_200), ("2w", 1_209_600), ("1d12h", 129_600), ("0s", 0)]
        {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds);
        }
        assert_eq!(Span::from_seconds(129_661).to_string(), "1d12h1min1s");
        for bad in ["", "5", "5m", "h", "-1d", "1.5h", "99999999999999y"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn far_times_are_clamped() {
        let far = Span::from_seconds(u64::MAX);
        assert_eq!(far.after(Timestamp::UNIX_EPOCH), Timestamp::MAX);
        assert_eq!(far.before(Timestamp::UNIX_EPOCH), Timestamp::MIN);
    }
}
