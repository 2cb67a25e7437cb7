//! Reading times, more generously than they are written.
//!
//! restic and rustic write RFC 3339; older and other files also hold lower-case `t` and `z`, a space between date and time, dates
//! alone, times without seconds or offset (then UTC), and a zone's name in brackets.

use std::str::FromStr;

use super::time::{GoTime, days_of_date};

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: expected something like 2026-01-02T03:04:05.6Z")]
pub struct NotATime {
    /// What was read instead, shortened.
    pub text: String,
}

impl FromStr for GoTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        read(text).ok_or_else(|| NotATime { text: text.chars().take(80).collect() })
    }
}

/// The time that the text stands for.
pub(crate) fn read(text: &str) -> Option<GoTime> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4)?;
    rest.expect(b'-')?;
    let month = rest.number(2)?;
    rest.expect(b'-')?;
    let day = rest.number(2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let (second, nanos) = rest.clock()?;
    let offset = rest.offset()?;
    rest.zone_name()?;
    let clock = days_of_date(year, month, day) * 86_400 + second;
    Some(GoTime { seconds: clock - offset, nanos, offset: offset as i32 })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What is still to be read.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn next_is(&self, wanted: &[u8]) -> bool {
        self.0.first().is_some_and(|byte| wanted.contains(byte))
    }

    fn skip(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, tail) = self.0.split_at_checked(digits)?;
        self.0 = tail;
        head.iter().try_fold(0, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
            _ => None,
        })
    }

    /// Second of the day and nanoseconds, of `Thh:mm[:ss[.fraction]]` or nothing.
    fn clock(&mut self) -> Option<(i64, u32)> {
        if !self.next_is(b"Tt ") {
            return Some((0, 0));
        }
        self.skip();
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        let mut second = 0;
        let mut nanos = 0;
        if self.next_is(b":") {
            self.skip();
            second = self.number(2)?;
            nanos = self.fraction()?;
        }
        // A leap second counts as the second before it.
        let fits = hour < 24 && minute < 60 && second <= 60;
        fits.then_some((hour * 3600 + minute * 60 + second.min(59), nanos))
    }

    /// Digits past the ninth are dropped.
    fn fraction(&mut self) -> Option<u32> {
        if !self.next_is(b".,") {
            return Some(0);
        }
        self.skip();
        let (mut nanos, mut unit) = (0, 100_000_000);
        let mut count = 0;
        while let Some(digit @ b'0'..=b'9') = self.0.first() {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
            count += 1;
            self.skip();
        }
        (count > 0).then_some(nanos)
    }

    /// Seconds ahead of UTC, of `Z`, `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss`, the same with `-`, or nothing.
    fn offset(&mut self) -> Option<i64> {
        if self.next_is(b"Zz") {
            self.skip();
            return Some(0);
        }
        if !self.next_is(b"+-") {
            return Some(0);
        }
        let sign = if self.next_is(b"-") { -1 } else { 1 };
        self.skip();
        let hour = self.number(2)?;
        let minute = self.more()?;
        let second = self.more()?;
        (hour < 24 && minute < 60 && second < 60)
            .then_some(sign * (hour * 3600 + minute * 60 + second))
    }

    /// Two more digits with or without a colon before them; 0 when there are none.
    fn more(&mut self) -> Option<i64> {
        match self.0.first() {
            Some(b':') => {
                self.skip();
                self.number(2)
            }
            Some(b'0'..=b'9') => self.number(2),
            _ => Some(0),
        }
    }

    /// The end, or a zone's name in brackets before it.
    fn zone_name(&mut self) -> Option<()> {
        match self.0 {
            [] => Some(()),
            [b'[', name @ .., b']'] if !name.is_empty() && !name.contains(&b']') => Some(()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generous_forms() {
        let same = |text: &str, seconds, nanos, offset| {
            assert_eq!(read(text), Some(GoTime { seconds, nanos, offset }), "{text}");
        };
        same("1970-01-01T00:00:00Z", 0, 0, 0);
        same("1970-01-01t00:00:00z", 0, 0, 0);
        same("1970-01-01T00:00:00-00:00", 0, 0, 0);
        same("1970-01-01T00:00:00+00:00", 0, 0, 0);
        same("1970-01-01", 0, 0, 0);
        same("1970-01-01 01:00", 3600, 0, 0);
        same("1970-01-01T01:00:00.25+01:00", 0, 250_000_000, 3600);
        same("1970-01-01T01:00:00,1234567899+01", 0, 123_456_789, 3600);
        same("1969-12-31T19:00:00-0500", 0, 0, -18_000);
        same("1970-01-01T00:53:28+00:53:28[Europe/Berlin]", 0, 0, 3208);
        same("2016-12-31T23:59:60Z", 1_483_228_799, 0, 0);
        assert_eq!(read("0001-01-01T00:00:00Z"), Some(GoTime::ZERO));
    }

    #[test]
    fn wrong_forms() {
        let wrong = [
            "",
            "1970",
            "1970-13-01",
            "1970-02-29",
            "1970-01-00",
            "1970-01-01T",
            "1970-01-01T24:00:00Z",
            "70-01-01",
        ];
        let more = [
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00Zx",
            "1970-01-01[]",
            "+970-01-01",
        ];
        for text in wrong.into_iter().chain(more) {
            assert_eq!(read(text), None, "{text}");
        }
        assert!("x".parse::<GoTime>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn written_times_are_read_back(seconds in -62_167_100_000i64..253_402_200_000, nanos in 0u32..1_000_000_000, minutes in -1439i32..1440) {
            let time = GoTime { seconds, nanos, offset: minutes * 60 };
            proptest::prop_assert_eq!(read(&time.to_string()), Some(time));
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = read(&text);
        }

        #[test]
        fn nothing_panics_near_a_time(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]?[0-9:.,Z+\\[\\]-]{0,20}") {
            let _ = read(&text);
        }
    }
}
