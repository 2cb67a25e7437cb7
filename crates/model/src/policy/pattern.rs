//! Patterns of snapshot names: `{policy}-{class}.{time}`.
//!
//! `{time}` is the local time as `YYMMDDHHMM`, `{time:FORMAT}` one in strftime's form, `{volume}` the volume. That a name is free is not looked at.

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;
use jiff::fmt::strtime;
use serde::{Deserialize, Serialize};

use super::{Class, PolicyError, PolicyName};
use crate::{SnapshotName, VolumeName};

const DEFAULT: &str = "{policy}-{class}.{time}";
const TIME: &str = "%y%m%d%H%M";
const WANTED: &str = "a name with {policy}, {class}, {volume}, {time} or {time:%Y-%m-%d} in it, at least one of them a time";

/// A pattern that gives a name for each snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

/// What a name tells.
#[derive(Clone, Copy, Debug)]
pub struct NameParts<'n> {
    /// The policy.
    pub policy: &'n PolicyName,
    /// The class.
    pub class: Class,
    /// The volume.
    pub volume: &'n VolumeName,
    /// Local time.
    pub time: &'n Zoned,
}

impl Default for NamePattern {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl NamePattern {
    /// Is it the one that is used when nobody gives one?
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The name of a snapshot; the `number`-th of its kind gets its number from 2 on.
    ///
    /// # Errors
    /// The name would be too long or not fit to be one.
    pub fn name(&self, parts: NameParts<'_>, number: u32) -> Result<SnapshotName, PolicyError> {
        let wrong = || PolicyError::value("name pattern", &self.0, WANTED);
        let mut text = self.fill(parts).ok_or_else(wrong)?;
        if number > 1 {
            text = format!("{text}-{number}");
        }
        SnapshotName::new(text).map_err(|_| wrong())
    }

    fn fill(&self, parts: NameParts<'_>) -> Option<String> {
        let (mut text, mut rest) = (String::new(), self.0.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let (word, tail) = after.split_once('}')?;
            text.push_str(before);
            match word.split_once(':') {
                None if word == "policy" => text.push_str(parts.policy.as_str()),
                None if word == "class" => text.push_str(parts.class.as_str()),
                None if word == "volume" => text.push_str(parts.volume.as_str()),
                None if word == "time" => text.push_str(&strtime::format(TIME, parts.time).ok()?),
                Some(("time", form)) => text.push_str(&strtime::format(form, parts.time).ok()?),
                _ => return None,
            }
            rest = tail;
        }
        (!rest.contains('}')).then(|| text + rest)
    }
}

impl FromStr for NamePattern {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let pattern = Self(text.to_owned());
        let wrong = || PolicyError::value("name pattern", text, WANTED);
        let volume = VolumeName::new("v").map_err(|_| wrong())?;
        let policy = PolicyName::new("p").map_err(|_| wrong())?;
        let time = Zoned::default();
        let parts =
            NameParts { policy: &policy, class: Class::Monthly, volume: &volume, time: &time };
        pattern.name(parts, 1)?;
        if text.contains("{time") { Ok(pattern) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> String {
        pattern.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_policy_class_and_time() {
        let (policy, volume) =
            (PolicyName::new("policy1").unwrap(), VolumeName::new("home").unwrap());
        let time: Zoned = "2024-12-30T11:52:00+01:00[Europe/Berlin]".parse().unwrap();
        let parts =
            NameParts { policy: &policy, class: Class::Weekly, volume: &volume, time: &time };
        let name = |pattern: &str, number| {
            pattern.parse::<NamePattern>().unwrap().name(parts, number).unwrap().to_string()
        };
        assert_eq!(name(DEFAULT, 1), "policy1-weekly.2412301152");
        assert_eq!(name(DEFAULT, 3), "policy1-weekly.2412301152-3");
        assert_eq!(name("{volume}_{time:%Y-%m-%dT%H%M}", 1), "home_2024-12-30T1152");
        for bad in
            ["", "a", "{policy}", "{time", "{time}}", "{what}{time}", "a/{time}", "{time:%!}"]
        {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
