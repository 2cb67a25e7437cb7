//! Which snapshots are kept and which go: rules, and the verdict on each snapshot with its reasons.
//!
//! Plain functions over lists of snapshots of any kind ([`Candidate`]): those of a repository and those of a volume. Nothing is read or removed
//! here. The rules are restic's, with rustic's further periods: each period keeps the newest snapshot of as many different hours, days, ... as
//! its count says.

mod rules;
mod span;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Tags;

pub use rules::{Candidate, Judged, Reason, Refusal, judge};
pub use span::{KeepSpan, NotASpan};

/// A period of which one snapshot is kept. `Each` makes every snapshot its own period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// Every snapshot: `keep-last` and `keep-within`.
    Each,
    /// Minutes of the wall clock.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// ISO weeks of ISO years: the days around New Year are in one week.
    Week,
    /// Months.
    Month,
    /// Quarters of a year.
    Quarter,
    /// Halves of a year.
    HalfYear,
    /// Years.
    Year,
}

impl Period {
    /// All of them, in the order of reasons.
    pub const ALL: [Self; 9] = [
        Self::Each,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::HalfYear,
        Self::Year,
    ];

    /// As options name it: `last`, `minutely`, ... `yearly`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Each => "last",
            Self::Minute => "minutely",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarter-yearly",
            Self::HalfYear => "half-yearly",
            Self::Year => "yearly",
        }
    }
}

/// How many periods keep a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepCount {
    /// This many; 0: the rule is not there.
    Count(u32),
    /// All.
    All,
}

/// A text that is no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a count: give a number, or -1, `all` or `unlimited` for all")]
pub struct NotACount {
    /// What was read instead.
    pub text: String,
}

impl FromStr for KeepCount {
    type Err = NotACount;

    fn from_str(text: &str) -> Result<Self, NotACount> {
        match text {
            "-1" | "all" | "unlimited" => Ok(Self::All),
            other => {
                other.parse().map(Self::Count).map_err(|_| NotACount { text: text.to_owned() })
            }
        }
    }
}

impl fmt::Display for KeepCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::All => f.pad("all"),
        }
    }
}

/// What is kept. A snapshot is kept when any rule keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepOptions {
    /// For how many periods of each kind the newest snapshot is kept.
    pub counts: BTreeMap<Period, KeepCount>,
    /// For how long before the newest snapshot of the group the newest one of each period is kept.
    pub within: BTreeMap<Period, KeepSpan>,
    /// Snapshots that carry all tags of one of these lists are kept.
    pub tags: Vec<Tags>,
    /// Snapshots whose id begins so are kept.
    pub ids: Vec<String>,
    /// Says that no other rule is wanted: everything goes that is not protected.
    pub none: bool,
    /// A snapshot with the tree of the next older one goes, when that one stays.
    pub delete_unchanged: bool,
    /// A group may lose its last snapshot by the other rules.
    pub allow_empty: bool,
}

impl KeepOptions {
    /// Is there no rule at all? Then nothing may be forgotten by it.
    pub fn is_empty(&self) -> bool {
        let counted = self.counts.values().any(|count| *count != KeepCount::Count(0));
        let within = self.within.values().any(|span| !span.is_zero());
        !(counted || within || self.none || !self.tags.is_empty() || !self.ids.is_empty())
    }
}
