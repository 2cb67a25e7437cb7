//! Times as Go's `time.Time` writes them into JSON: RFC 3339 with up to nine digits of fraction and the offset of a zone.
//!
//! The offset is part of the written bytes, so it is part of the value. Reading is in `time_read`, the local zone in `zone`.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::two_digits;

const DAY: i64 = 86_400;

/// A point in time and the offset from UTC with which it is written.
///
/// Two values are equal when they are written alike; [`GoTime::cmp_instant`] compares the points in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoTime {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, 0 to 999 999 999.
    pub nanos: u32,
    /// Seconds that the zone's clock is ahead of UTC. Only whole minutes are written.
    pub offset: i32,
}

impl Default for GoTime {
    fn default() -> Self {
        Self::ZERO
    }
}

impl GoTime {
    /// Go's zero time, which stands for "none": 0001-01-01T00:00:00Z.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, offset: 0 };

    /// A time in UTC.
    pub fn utc(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: nanos.min(999_999_999), offset: 0 }
    }

    /// The point in time. `None` outside of the years -9999 to 9999.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let nanos = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        Timestamp::from_nanosecond(nanos).ok()
    }

    /// Compares the points in time, whatever the offsets.
    pub fn cmp_instant(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }

    /// Appends the text without quotes. Years are clamped to 0 to 9999, with month, day and time of day kept, as restic does it.
    pub fn push_text(&self, out: &mut Vec<u8>) {
        let clock = self.seconds.saturating_add(i64::from(self.offset));
        let (year, month, day) = date_of_days(clock.div_euclid(DAY));
        let second = clock.rem_euclid(DAY) as u64;
        let (year, month, day) = within_four_digits(year, month, day);
        let mut text = *b"0000-00-00T00:00:00";
        let parts =
            [year / 100, year % 100, month, day, second / 3600, second / 60 % 60, second % 60];
        for (part, at) in parts.into_iter().zip([0usize, 2, 5, 8, 11, 14, 17]) {
            if let Some(space) = text.get_mut(at..at + 2) {
                space.copy_from_slice(&two_digits(part));
            }
        }
        out.extend_from_slice(&text);
        push_fraction(out, self.nanos);
        push_offset(out, self.offset);
    }
}

/// The point and the digits without zeroes at the end; nothing for whole seconds.
fn push_fraction(out: &mut Vec<u8>, nanos: u32) {
    if nanos == 0 {
        return;
    }
    let mut digits = *b".000000000";
    let mut rest = nanos;
    for digit in digits.iter_mut().skip(1).rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(digits.get(..end).unwrap_or_default());
}

fn push_offset(out: &mut Vec<u8>, offset: i32) {
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    // As in Go, an offset below a minute is written `+00:00` and not `Z`.
    let minutes = offset / 60;
    let size = u64::from(minutes.unsigned_abs());
    let [a, b] = two_digits(size / 60);
    let [c, d] = two_digits(size % 60);
    out.extend_from_slice(&[if minutes < 0 { b'-' } else { b'+' }, a, b, b':', c, d]);
}

fn within_four_digits(year: i64, month: u64, day: u64) -> (u64, u64, u64) {
    match u64::try_from(year) {
        Ok(year @ ..=9999) => (year, month, day),
        // The year 9999 has no 29th of February; Go counts on.
        Ok(_) if (month, day) == (2, 29) => (9999, 3, 1),
        Ok(_) => (9999, month, day),
        Err(_) => (0, month, day),
    }
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar extended to all times.
///
/// Years begin in March here, so that the day which comes and goes is the last one of a year.
fn date_of_days(days: i64) -> (i64, u64, u64) {
    // Days since 0000-03-01; 400 years always have 146,097 days.
    let days = days.saturating_add(719_468);
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, again and again: 153 days for five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + carry, month.unsigned_abs(), day.unsigned_abs())
}

/// Days since 1970-01-01 of a date of the years 0 to 9999.
pub(super) fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    cycle * 146_097 + 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(40);
        self.push_text(&mut text);
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Timestamp> for GoTime {
    fn from(time: Timestamp) -> Self {
        let nanos = time.as_nanosecond();
        let seconds = nanos.div_euclid(1_000_000_000) as i64;
        Self::utc(seconds, nanos.rem_euclid(1_000_000_000) as u32)
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let text = |seconds, nanos, offset| GoTime { seconds, nanos, offset }.to_string();
        assert_eq!(text(0, 0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1, 500_000_000, 0), "1969-12-31T23:59:59.5Z");
        assert_eq!(text(0, 1, 3600), "1970-01-01T01:00:00.000000001+01:00");
        assert_eq!(text(0, 120_000_000, -12_600), "1969-12-31T20:30:00.12-03:30");
        assert_eq!(text(0, 0, 30), "1970-01-01T00:00:30+00:00");
        assert_eq!(text(0, 0, -30), "1969-12-31T23:59:30+00:00");
        assert_eq!(text(0, 0, 3208), "1970-01-01T00:53:28+00:53");
        assert_eq!(GoTime::ZERO.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(text(1_582_934_400, 0, 0), "2020-02-29T00:00:00Z");
        assert_eq!(text(253_402_300_799, 0, 0), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn years_are_clamped() {
        let text = |seconds| GoTime::utc(seconds, 0).to_string();
        assert_eq!(text(253_402_300_800), "9999-01-01T00:00:00Z");
        assert_eq!(text(days_of_date(12_000, 2, 29) * DAY), "9999-03-01T00:00:00Z");
        assert_eq!(text(days_of_date(-5, 6, 7) * DAY), "0000-06-07T00:00:00Z");
        assert_eq!(text(i64::MAX).len(), 20);
        assert_eq!(text(i64::MIN).len(), 20);
    }

    #[test]
    fn every_day_of_the_calendar() {
        let mut date = jiff::civil::date(0, 1, 1);
        for days in days_of_date(0, 1, 1)..=days_of_date(9999, 12, 31) {
            let (year, month, day) =
                (i64::from(date.year()), date.month() as u64, date.day() as u64);
            assert_eq!(date_of_days(days), (year, month, day));
            assert_eq!(days_of_date(year, month as i64, day as i64), days);
            date = date.tomorrow().unwrap_or(date);
        }
    }
}
