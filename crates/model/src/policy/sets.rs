//! Sets of days, hours, days of the month and months, as policies and cron lines write them: `monday, friday`, `mon-fri`, `9-17/2`, `all`.
//!
//! A range may go over the end: `sat-mon`. Names may be cut to three letters. Nothing here knows the calendar.

use std::fmt;
use std::str::FromStr;

use super::PolicyError;

/// What numbers a set is made of.
pub(super) struct Domain {
    pub(super) what: &'static str,
    pub(super) low: u8,
    pub(super) high: u8,
    /// Names of numbers, in order; the first belongs to `named`.
    pub(super) names: &'static [&'static str],
    pub(super) named: u8,
    pub(super) wanted: &'static str,
}

pub(super) const WEEKDAYS: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
pub(super) const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Domain {
    /// All numbers of the domain, as bits.
    pub(super) fn all(&self) -> u64 {
        (self.low..=self.high).fold(0, |bits, number| bits | 1 << number)
    }

    /// Reads a list of numbers, names, ranges and steps.
    pub(super) fn read(&self, text: &str) -> Result<u64, PolicyError> {
        let wrong = || PolicyError::value(self.what, text, self.wanted);
        let mut bits = 0;
        for item in text.split(',').map(str::trim) {
            bits |= self.item(item).ok_or_else(wrong)?;
        }
        Ok(bits)
    }

    fn item(&self, item: &str) -> Option<u64> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.one(from.trim())?, self.one(to.trim())?),
            None if matches!(range, "*" | "?") || range.eq_ignore_ascii_case("all") => {
                (self.low, self.high)
            }
            // `5/15`: from there on.
            None => {
                let one = self.one(range)?;
                (one, if step.is_some() { self.high } else { one })
            }
        };
        let size = self.high - self.low + 1;
        let steps = if to >= from { to - from } else { to + size - from };
        let step = usize::from(step.unwrap_or(1));
        if step == 0 {
            return None;
        }
        let place = |offset: u8| self.low + (from - self.low + offset) % size;
        Some((0..=steps).step_by(step).fold(0, |bits, offset| bits | 1 << place(offset)))
    }

    fn one(&self, text: &str) -> Option<u8> {
        if let Some(number) = number(text) {
            return (self.low..=self.high).contains(&number).then_some(number);
        }
        let lower = text.to_ascii_lowercase();
        let found = self.names.iter().position(|name| lower.len() >= 3 && name.starts_with(&lower));
        Some(self.named + u8::try_from(found?).ok()?)
    }

    /// The list in words; `all` for all of them.
    fn write(&self, bits: u64) -> String {
        if bits == self.all() {
            return "all".to_owned();
        }
        let word = |number: u8| match self.names.get(usize::from(number.wrapping_sub(self.named))) {
            Some(name) => (*name).to_owned(),
            None => format!("{number:02}"),
        };
        let numbers = (self.low..=self.high).filter(|number| bits & 1 << number != 0);
        numbers.map(word).collect::<Vec<_>>().join(", ")
    }
}

fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

macro_rules! set {
    ($(#[$doc:meta])* $name:ident, $domain:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(u64);

        impl $name {
            const DOMAIN: Domain = $domain;

            /// All there are.
            pub fn all() -> Self {
                Self(Self::DOMAIN.all())
            }

            /// Is this number in it?
            pub fn contains(self, number: u8) -> bool {
                number < 64 && self.0 & 1 << number != 0
            }

            /// How many are in it.
            pub fn count(self) -> u32 {
                self.0.count_ones()
            }
        }

        impl FromStr for $name {
            type Err = PolicyError;

            fn from_str(text: &str) -> Result<Self, PolicyError> {
                Self::DOMAIN.read(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&Self::DOMAIN.write(self.0))
            }
        }
    };
}

set! {
    /// Days of the week; Monday is 1.
    Days, Domain {
        what: "days", low: 1, high: 7, names: WEEKDAYS, named: 1,
        wanted: "days of the week such as `monday, friday`, `mon-fri` or `all`",
    }
}
set! {
    /// Hours of the day.
    Hours, Domain {
        what: "hours", low: 0, high: 23, names: &[], named: 0,
        wanted: "hours such as `09, 10`, `9-17` or `all`",
    }
}
set! {
    /// Days of the month. One that a month has not is its last day.
    MonthDays, Domain {
        what: "days", low: 1, high: 31, names: &[], named: 0,
        wanted: "days of the month from 1 to 31 such as `1, 15`",
    }
}
set! {
    /// Months; January is 1.
    Months, Domain {
        what: "months", low: 1, high: 12, names: MONTHS, named: 1,
        wanted: "months such as `january, july`, `1-6` or `all`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_steps_and_names() {
        let days = |text: &str| text.parse::<Days>().unwrap().to_string();
        assert_eq!(days("friday,Monday"), "monday, friday");
        assert_eq!(days("sat-mon"), "monday, saturday, sunday");
        assert_eq!(days("mon-sun"), "all");
        let hours = |text: &str| text.parse::<Hours>().unwrap().to_string();
        assert_eq!(hours("09, 10, 18"), "09, 10, 18");
        assert_eq!(hours("*/6"), "00, 06, 12, 18");
        assert_eq!(hours("22-2/2"), "00, 02, 22");
        assert_eq!(hours("20/2"), "20, 22");
        assert_eq!("7".parse::<MonthDays>().unwrap().to_string(), "07");
        assert_eq!("all".parse::<Months>().unwrap(), Months::all());
        for bad in ["", "mo", "someday", "8", "0", "mon-", "mon/0", "1,,2", "mon-fri-sun", "+1"] {
            assert!(bad.parse::<Days>().is_err(), "{bad}");
        }
        assert!("24".parse::<Hours>().is_err());
        assert!("0".parse::<MonthDays>().is_err());
    }
}
