//! Spans of the calendar such as `1y5m7d2h`: how far back `keep-within` reaches.
//!
//! `m` is a month, as in restic. Words and blanks are understood too: `1 year 2 months`. A span is taken from a wall clock as Go
//! does it: a day that the month has not counts on into the next month (31 March less one month is 3 March).

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp};

use crate::moment::Moment;

/// A span of years, months, days, hours and minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeepSpan {
    /// Years.
    pub years: u16,
    /// Months.
    pub months: u16,
    /// Days; a week is 7 of them.
    pub days: u32,
    /// Hours.
    pub hours: u32,
    /// Minutes.
    pub minutes: u32,
}

/// A text that is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a span such as 1y5m7d2h or 10d (y, m for months, w, d, h, min)")]
pub struct NotASpan {
    /// What was read instead.
    pub text: String,
}

impl KeepSpan {
    /// Nothing?
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The instant so long before `from`. The earliest there is when the calendar ends before.
    pub fn before(self, from: Moment) -> Timestamp {
        self.try_before(from).unwrap_or(Timestamp::MIN)
    }

    fn try_before(self, from: Moment) -> Option<Timestamp> {
        let wall = from.wall();
        let months = i32::from(wall.year()) * 12 + i32::from(wall.month()) - 1;
        let months = months - i32::from(self.years) * 12 - i32::from(self.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        let days = i64::from(wall.day()) - 1 - i64::from(self.days);
        let date = first.checked_add(Span::new().try_days(days).ok()?).ok()?;
        let back = wall.duration_since(DateTime::from_parts(date, wall.time()));
        let minutes = i64::from(self.hours) * 60 + i64::from(self.minutes);
        let back = back.checked_add(SignedDuration::from_mins(minutes))?;
        from.instant().checked_sub(back).ok()
    }

    /// Adds a number of a unit; `None` for an unknown unit or a number that is too large.
    fn add(&mut self, number: u32, unit: &str) -> Option<()> {
        let narrow = u16::try_from(number).ok();
        match unit {
            "y" | "year" | "years" => self.years = self.years.checked_add(narrow?)?,
            "m" | "mo" | "month" | "months" => self.months = self.months.checked_add(narrow?)?,
            "w" | "week" | "weeks" => self.days = self.days.checked_add(number.checked_mul(7)?)?,
            "d" | "day" | "days" => self.days = self.days.checked_add(number)?,
            "h" | "hour" | "hours" => self.hours = self.hours.checked_add(number)?,
            "min" | "minute" | "minutes" => self.minutes = self.minutes.checked_add(number)?,
            _ => return None,
        }
        Some(())
    }
}

impl FromStr for KeepSpan {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let wrong = || NotASpan { text: text.chars().take(80).collect() };
        let (mut span, mut rest) = (Self::default(), text.trim());
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, after) = split(rest, |c| c.is_ascii_digit());
            let (unit, after) = split(after.trim_start(), |c| c.is_ascii_alphabetic());
            let number = number.parse().map_err(|_| wrong())?;
            span.add(number, unit).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        Ok(span)
    }
}

/// The beginning that fits, and the rest.
fn split(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.split_at(end)
}

impl fmt::Display for KeepSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (u32::from(self.years), "y"),
            (u32::from(self.months), "m"),
            (self.days, "d"),
            (self.hours, "h"),
            (self.minutes, "min"),
        ];
        let text: String = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, unit)| format!("{number}{unit}"))
            .collect();
        f.pad(if text.is_empty() { "0d" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> KeepSpan {
        text.parse().unwrap()
    }

    #[test]
    fn spans_are_read_and_written() {
        for text in ["1y5m7d2h", "10d", "3h", "2y", "5min", "0d"] {
            assert_eq!(span(text).to_string(), text);
        }
        assert_eq!(span("1 year 2 months 1w"), span("1y2m7d"));
        for bad in ["", "d", "5", "5x", "-1d", "1.5d", "99999999999d", "99999y1d2"] {
            assert!(bad.parse::<KeepSpan>().is_err(), "{bad}");
        }
    }

    #[test]
    fn days_that_a_month_has_not_count_on() {
        let before = |text: &str, from: &str| {
            Moment::utc(span(text).before(from.parse().unwrap())).to_string()
        };
        assert_eq!(before("1m", "2026-03-31T10:00:00Z"), "2026-03-03T10:00:00Z");
        assert_eq!(before("1y", "2024-02-29T10:00:00Z"), "2023-03-01T10:00:00Z");
        assert_eq!(before("1d", "2026-03-01T00:30:00+02:00"), "2026-02-27T22:30:00Z");
        assert_eq!(before("1y5m7d2h", "2026-01-01T00:00:00Z"), "2024-07-24T22:00:00Z");
        assert_eq!(
            before("65535y", "2026-01-01T00:00:00Z"),
            Moment::utc(Timestamp::MIN).to_string()
        );
    }
}
