//! Policies: when snapshots of a volume are made, and how long they stay.
//!
//! Plain values and functions; the caller brings the time, the zone's rules and what there is, and carries out what is decided (`plan`,
//! `rotation`). A snapshot that a policy made carries a [`Mark`]; without one no policy ever touches it.

mod cron;
mod document;
mod error;
mod forecast;
mod instants;
mod keep;
mod pattern;
mod plan;
mod rotation;
mod schedule;
mod sets;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use cron::Cron;
pub use document::PolicyDocument;
pub use error::PolicyError;
pub use forecast::{Event, EventKind, forecast};
pub use instants::{Instants, last_between};
pub use keep::Keep;
pub use pattern::{NameParts, NamePattern};
pub use plan::{Attached, BACK_MAX, Decision, Due, due, next_due, time_of_name, together};
pub use rotation::{Held, surplus};
pub use schedule::{Class, ClockTime, Schedule, When};
pub use sets::{Days, Hours, MonthDays, Months};

/// The name of a policy: 1 to 64 letters, digits, `-`, `_` and `.`, not starting with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

impl PolicyName {
    /// Checks the rules of names.
    ///
    /// # Errors
    /// The text breaks one.
    pub fn new(name: impl Into<String>) -> Result<Self, PolicyError> {
        let name = name.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let sound = (1..=64).contains(&name.len())
            && name.chars().all(fits)
            && !name.starts_with(['.', '-']);
        if sound {
            return Ok(Self(name));
        }
        let wanted = "1 to 64 letters, digits, `-`, `_` or `.`, the first no `-` or `.`";
        Err(PolicyError::value("policy name", &name, wanted))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyName {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::new(text)
    }
}

impl TryFrom<String> for PolicyName {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        Self::new(text)
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> String {
        name.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a snapshot says about a policy that it was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The policy.
    pub policy: PolicyName,
    /// The class that it counts for.
    pub class: Class,
    /// When it was due; what was due up to then is served by it.
    pub due: Timestamp,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// For people.
    pub description: String,
    /// One that is off makes nothing; what it made before is still removed in its time.
    pub enabled: bool,
    /// The zone whose wall clock counts.
    pub time_zone: String,
    /// How its snapshots are named.
    pub name_pattern: NamePattern,
    /// Nothing is made when nothing has changed.
    pub skip_unchanged: bool,
    /// What stays besides what the schedules keep.
    pub keep: Keep,
    /// At least one, by class.
    pub schedules: BTreeMap<Class, Schedule>,
}

impl Policy {
    /// The schedules that make snapshots.
    pub fn active(&self) -> impl Iterator<Item = (Class, &Schedule)> {
        let on = self.enabled;
        let all = self.schedules.iter().filter(move |(_, schedule)| on && schedule.enable);
        all.map(|(class, schedule)| (*class, schedule))
    }
}

impl When {
    /// Is there any day that fits?
    pub(crate) fn comes(&self) -> bool {
        Instants::new(self, &TimeZone::UTC, Timestamp::UNIX_EPOCH).next().is_some()
    }
}
