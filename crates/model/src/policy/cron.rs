//! Cron lines: minute, hour, day of the month, month, day of the week.
//!
//! When both kinds of days are given, a day that fits either of them counts; a field that starts with `*` is not given. Days of the week
//! count from 0 or 7, both Sunday. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` are short for lines.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::PolicyError;
use super::sets::{Domain, MONTHS};

const WANTED: &str = "five fields such as `*/15 9-17 * * mon-fri`: minute, hour, day, month, weekday; or @daily and the like";
const SUNDAY_FIRST: &[&str] =
    &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MINUTES: Domain =
    Domain { what: "minutes", low: 0, high: 59, names: &[], named: 0, wanted: WANTED };
const HOURS: Domain =
    Domain { what: "hours", low: 0, high: 23, names: &[], named: 0, wanted: WANTED };
const DAYS: Domain =
    Domain { what: "days", low: 1, high: 31, names: &[], named: 0, wanted: WANTED };
const MONTH: Domain =
    Domain { what: "months", low: 1, high: 12, names: MONTHS, named: 1, wanted: WANTED };
const WEEKDAY: Domain =
    Domain { what: "weekdays", low: 0, high: 6, names: SUNDAY_FIRST, named: 0, wanted: WANTED };
/// As in old programs: 7 is a Sunday too.
const WEEKDAY_OF_8: Domain =
    Domain { what: "weekdays", low: 0, high: 7, names: SUNDAY_FIRST, named: 0, wanted: WANTED };

/// A cron line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of days are given: one of them is enough.
    either: bool,
}

impl Cron {
    /// Does it come on this day?
    pub(super) fn fits(&self, date: Date) -> bool {
        let has = |bits: u64, number: i8| bits & 1 << number.max(0) != 0;
        if !has(self.months, date.month()) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either { day || weekday } else { day && weekday }
    }

    /// Minutes of a day, ascending.
    pub(super) fn minutes(&self) -> impl Iterator<Item = u16> + '_ {
        let hours = (0..24u16).filter(|hour| self.hours & 1 << hour != 0);
        hours.flat_map(|hour| {
            let minutes = (0..60u16).filter(|minute| self.minutes & 1 << minute != 0);
            minutes.map(move |minute| hour * 60 + minute)
        })
    }
}

/// Days of the week: ranges such as `fri-sun` go over the end, `5-7` does not.
fn weekdays(field: &str) -> Result<u64, PolicyError> {
    let mut bits = 0;
    for item in field.split(',') {
        bits |= match WEEKDAY.read(item) {
            Ok(bits) => bits,
            Err(_) => WEEKDAY_OF_8.read(item)?,
        };
    }
    Ok(if bits & 1 << 7 != 0 { bits & !(1 << 7) | 1 } else { bits })
}

impl FromStr for Cron {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError::value("cron line", text, WANTED);
        let line = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            line => line,
        };
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.try_into().map_err(|_| wrong())?;
        let given = |field: &str| !field.starts_with(['*', '?']);
        Ok(Self {
            text: text.trim().to_owned(),
            minutes: MINUTES.read(minute)?,
            hours: HOURS.read(hour)?,
            days: DAYS.read(day)?,
            months: MONTH.read(month)?,
            weekdays: weekdays(weekday)?,
            either: given(day) && given(weekday),
        })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn days(line: &str) -> Vec<i8> {
        let cron: Cron = line.parse().unwrap();
        (1..=31).filter(|day| cron.fits(date(2026, 5, *day))).collect()
    }

    #[test]
    fn days_of_either_kind_count() {
        // 1 May 2026 is a Friday.
        assert_eq!(days("0 0 13 * fri"), [1, 8, 13, 15, 22, 29]);
        assert_eq!(days("0 0 * * FRI"), [1, 8, 15, 22, 29]);
        assert_eq!(days("0 0 13 * *"), [13]);
        assert_eq!(days("0 0 */10 * *"), [1, 11, 21, 31]);
        assert_eq!(days("0 0 ? * 5-7"), [1, 2, 3, 8, 9, 10, 15, 16, 17, 22, 23, 24, 29, 30, 31]);
        assert_eq!(days("0 0 ? * 7"), days("0 0 * * sun"));
        assert_eq!(days("0 0 * * 0,1-5/2"), days("0 0 * * sun,mon,wed,fri"));
        assert_eq!(days("0 0 1 6 *"), [0i8; 0]);
        // A day that starts with a star is not given, so both must fit.
        assert_eq!(days("0 0 */2 * fri"), [1, 15, 29]);
    }

    #[test]
    fn minutes_and_short_forms() {
        let minutes = |line: &str| line.parse::<Cron>().unwrap().minutes().collect::<Vec<_>>();
        assert_eq!(minutes("*/20 9,17 * * *"), [540, 560, 580, 1020, 1040, 1060]);
        assert_eq!(minutes("@hourly").len(), 24);
        assert_eq!(minutes("5-7 0 * * *"), [5, 6, 7]);
        for bad in
            ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "@reboot"]
        {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}
