//! When snapshots are due: the classes and their schedules, as minutes of days.
//!
//! Which instants these are in a time zone is told by `instants`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::PolicyError;
use super::cron::Cron;
use super::sets::{Days, Hours, MonthDays, Months};
use crate::Span;

/// Classes of schedules, from the lowest to the highest: of several that are due at once, the highest gets the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Every so many minutes.
    Periodic,
    /// As a cron line says.
    Cron,
    /// Each hour, or some of them.
    Hourly,
    /// Each day, or some of them.
    Daily,
    /// On days of the week.
    Weekly,
    /// On days of the month.
    Monthly,
}

impl Class {
    /// All of them, the highest first.
    pub const ALL: [Self; 6] =
        [Self::Monthly, Self::Weekly, Self::Daily, Self::Hourly, Self::Cron, Self::Periodic];
    /// Their names.
    pub const NAMES: &'static str = "monthly, weekly, daily, hourly, cron, periodic";

    /// As documents name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Cron => "cron",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Class {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| PolicyError::value("class", text, Self::NAMES))
    }
}

/// A minute of a day, written `22:05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime(u16);

impl ClockTime {
    /// The first and the last one.
    pub const FIRST: Self = Self(0);
    /// 23:59.
    pub const LAST: Self = Self(24 * 60 - 1);

    /// Minutes since midnight.
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl FromStr for ClockTime {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let read = || {
            let (hour, minute) = text.trim().split_once(':')?;
            let digits = |text: &str| text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
            if !(digits(hour) && digits(minute)) {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(Self(hour * 60 + minute))
        };
        read().ok_or_else(|| PolicyError::value("time", text, "hours and minutes such as 22:05"))
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

/// Minutes of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// In these hours of these days, so many minutes behind the full hour.
    Hours {
        /// Days.
        days: Days,
        /// Hours.
        hours: Hours,
        /// Minutes.
        minute: u8,
    },
    /// At this time of these days.
    Days {
        /// Days.
        days: Days,
        /// Time.
        time: ClockTime,
    },
    /// At this time of these days of these months.
    MonthDays {
        /// Days of the month.
        days: MonthDays,
        /// Months.
        months: Months,
        /// Time.
        time: ClockTime,
    },
    /// Every so many minutes of these days, from one time to another.
    Every {
        /// Days.
        days: Days,
        /// The first.
        start: ClockTime,
        /// None after this.
        end: ClockTime,
        /// Minutes from one to the next, never 0.
        minutes: u16,
    },
    /// As a cron line says.
    Cron(Cron),
}

impl When {
    /// Minutes of a day, ascending.
    pub(super) fn minutes_on(&self, date: Date) -> Vec<u16> {
        let weekday = date.weekday().to_monday_one_offset().unsigned_abs();
        let one = |fits: bool, time: &ClockTime| if fits { vec![time.0] } else { Vec::new() };
        match self {
            Self::Hours { days, hours, minute } if days.contains(weekday) => {
                let hours = (0..24u8).filter(|hour| hours.contains(*hour));
                hours.map(|hour| u16::from(hour) * 60 + u16::from(*minute)).collect()
            }
            Self::Days { days, time } => one(days.contains(weekday), time),
            Self::MonthDays { days, months, time } => {
                let (day, last) = (date.day().unsigned_abs(), date.days_in_month().unsigned_abs());
                let clamped = day == last && (last..=31).any(|day| days.contains(day));
                let fits = days.contains(day) || clamped;
                one(fits && months.contains(date.month().unsigned_abs()), time)
            }
            Self::Every { days, start, end, minutes } if days.contains(weekday) => {
                (start.0..=end.0).step_by(usize::from((*minutes).max(1))).collect()
            }
            Self::Cron(cron) if cron.fits(date) => cron.minutes().collect(),
            Self::Hours { .. } | Self::Every { .. } | Self::Cron(_) => Vec::new(),
        }
    }
}

/// A schedule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// A schedule that is off makes nothing; what it made before is still removed in its time.
    pub enable: bool,
    /// When.
    pub when: When,
    /// This many of its snapshots stay.
    pub count: Option<u32>,
    /// Its snapshots stay this long.
    pub age: Option<Span>,
    /// What another system is to do with its snapshots: kept, and written again.
    pub upload: String,
}
