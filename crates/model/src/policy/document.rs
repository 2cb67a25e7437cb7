//! A policy as a document: one JSON object with a member for each class, in the form of WEKA's snapshot policies, with more members of our own.
//!
//! Sets are read as text or as arrays and written as text. Members that nobody knows are refused: a misspelt rule must not keep less than
//! was meant. Volumes to attach to stand beside the policy and are no part of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keep::Keep;
use super::pattern::NamePattern;
use super::schedule::{Class, ClockTime, Schedule, When};
use super::sets::{Days, Hours, Months};
use super::{Policy, PolicyError, PolicyName};
use crate::{Span, VolumeName};

/// A set or a number, as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    Number(u32),
    Many(Vec<Words>),
}

impl Words {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Many(many) => many.iter().map(Self::text).collect::<Vec<_>>().join(", "),
        }
    }
}

fn words<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Words>::deserialize(from)?.map(|words| words.text()))
}

/// A schedule of any class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScheduleDocument {
    enable: Option<bool>,
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    days: Option<String>,
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    months: Option<String>,
    #[serde(deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    #[serde(rename = "minuteOffset", alias = "minute_offset")]
    #[serde(skip_serializing_if = "Option::is_none")]
    minute_offset: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_age: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<String>,
}

/// A policy as it goes over wires and into stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// Its name.
    pub name: PolicyName,
    #[serde(default)]
    description: String,
    #[serde(default = "yes")]
    enabled: bool,
    /// The zone whose wall clock counts; the one of the machine when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "NamePattern::is_default")]
    name_pattern: NamePattern,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    skip_unchanged: bool,
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    keep: Keep,
    /// To be attached to these.
    #[serde(default, alias = "filesystems", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hourly: Option<ScheduleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    daily: Option<ScheduleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekly: Option<ScheduleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monthly: Option<ScheduleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    periodic: Option<ScheduleDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<ScheduleDocument>,
}

fn yes() -> bool {
    true
}

impl PolicyDocument {
    /// Checks it. `zone` is for documents that name none.
    ///
    /// # Errors
    /// A part makes no sense, or there is no schedule.
    pub fn policy(&self, zone: &str) -> Result<Policy, PolicyError> {
        let mut schedules = BTreeMap::new();
        for class in Class::ALL {
            if let Some(document) = self.part(class) {
                schedules.insert(class, document.schedule(class)?);
            }
        }
        if schedules.is_empty() {
            return Err(PolicyError::NoSchedule);
        }
        Ok(Policy {
            name: self.name.clone(),
            description: self.description.clone(),
            enabled: self.enabled,
            time_zone: self.time_zone.clone().unwrap_or_else(|| zone.to_owned()),
            name_pattern: self.name_pattern.clone(),
            skip_unchanged: self.skip_unchanged,
            keep: self.keep.clone(),
            schedules,
        })
    }

    fn part(&self, class: Class) -> Option<&ScheduleDocument> {
        match class {
            Class::Hourly => self.hourly.as_ref(),
            Class::Daily => self.daily.as_ref(),
            Class::Weekly => self.weekly.as_ref(),
            Class::Monthly => self.monthly.as_ref(),
            Class::Periodic => self.periodic.as_ref(),
            Class::Cron => self.cron.as_ref(),
        }
    }
}

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        let part = |class| policy.schedules.get(&class).map(ScheduleDocument::from);
        Self {
            name: policy.name.clone(),
            description: policy.description.clone(),
            enabled: policy.enabled,
            time_zone: Some(policy.time_zone.clone()),
            name_pattern: policy.name_pattern.clone(),
            skip_unchanged: policy.skip_unchanged,
            keep: policy.keep.clone(),
            volumes: Vec::new(),
            hourly: part(Class::Hourly),
            daily: part(Class::Daily),
            weekly: part(Class::Weekly),
            monthly: part(Class::Monthly),
            periodic: part(Class::Periodic),
            cron: part(Class::Cron),
        }
    }
}

impl ScheduleDocument {
    fn schedule(&self, class: Class) -> Result<Schedule, PolicyError> {
        self.refuse_strays(class)?;
        let missing = |field| PolicyError::Missing { class, field };
        let days = || self.days.as_deref().map_or_else(|| Ok(Days::all()), str::parse);
        let time = |text: &Option<String>, field| {
            text.as_ref().ok_or(missing(field))?.parse::<ClockTime>()
        };
        let when = match class {
            Class::Hourly => When::Hours {
                days: days()?,
                hours: self.hours.as_deref().map_or_else(|| Ok(Hours::all()), str::parse)?,
                minute: minute(self.minute_offset.unwrap_or(0))?,
            },
            Class::Daily => When::Days { days: days()?, time: time(&self.time, "time")? },
            Class::Weekly => When::Days {
                days: self.days.as_ref().ok_or(missing("days"))?.parse()?,
                time: time(&self.time, "time")?,
            },
            Class::Monthly => When::MonthDays {
                days: self.days.as_ref().ok_or(missing("days"))?.parse()?,
                months: self.months.as_deref().map_or_else(|| Ok(Months::all()), str::parse)?,
                time: time(&self.time, "time")?,
            },
            Class::Periodic => When::Every {
                days: days()?,
                start: self.start_time.as_deref().map_or(Ok(ClockTime::FIRST), str::parse)?,
                end: self.end_time.as_deref().map_or(Ok(ClockTime::LAST), str::parse)?,
                minutes: minutes(self.interval.ok_or(missing("interval"))?)?,
            },
            Class::Cron => When::Cron(self.line.as_ref().ok_or(missing("line"))?.parse()?),
        };
        if !when.comes() {
            return Err(PolicyError::Never { class });
        }
        if self.retention == Some(0) {
            let what = format!("{class}: retention");
            return Err(PolicyError::value(what, "0", "how many snapshots stay, 1 or more"));
        }
        Ok(Schedule {
            enable: self.enable.unwrap_or(true),
            when,
            count: self.retention,
            age: self.retention_age,
            upload: self.upload.clone().unwrap_or_else(|| "none".to_owned()),
        })
    }

    fn refuse_strays(&self, class: Class) -> Result<(), PolicyError> {
        let known: &[&str] = match class {
            Class::Hourly => &["days", "hours", "minuteOffset"],
            Class::Daily | Class::Weekly => &["days", "time"],
            Class::Monthly => &["days", "months", "time"],
            Class::Periodic => &["days", "start_time", "end_time", "interval"],
            Class::Cron => &["line"],
        };
        let given = [
            ("days", self.days.is_some()),
            ("months", self.months.is_some()),
            ("hours", self.hours.is_some()),
            ("minuteOffset", self.minute_offset.is_some()),
            ("time", self.time.is_some()),
            ("start_time", self.start_time.is_some()),
            ("end_time", self.end_time.is_some()),
            ("interval", self.interval.is_some()),
            ("line", self.line.is_some()),
        ];
        match given.iter().find(|(field, given)| *given && !known.contains(field)) {
            Some((field, _)) => Err(PolicyError::Stray { class, field }),
            None => Ok(()),
        }
    }
}

impl From<&Schedule> for ScheduleDocument {
    fn from(schedule: &Schedule) -> Self {
        let mut document = Self {
            enable: Some(schedule.enable),
            retention: schedule.count,
            retention_age: schedule.age,
            upload: Some(schedule.upload.clone()),
            ..Self::default()
        };
        match &schedule.when {
            When::Hours { days, hours, minute } => {
                document.days = Some(days.to_string());
                document.hours = Some(hours.to_string());
                document.minute_offset = Some(*minute);
            }
            When::Days { days, time } => {
                document.days = Some(days.to_string());
                document.time = Some(time.to_string());
            }
            When::MonthDays { days, months, time } => {
                document.days = Some(days.to_string());
                document.months = Some(months.to_string());
                document.time = Some(time.to_string());
            }
            When::Every { days, start, end, minutes } => {
                document.days = Some(days.to_string());
                document.start_time = Some(start.to_string());
                document.end_time = Some(end.to_string());
                document.interval = Some(*minutes);
            }
            When::Cron(cron) => document.line = Some(cron.to_string()),
        }
        document
    }
}

fn minute(number: u8) -> Result<u8, PolicyError> {
    let wrong = || PolicyError::value("minuteOffset", &number.to_string(), "minutes from 0 to 59");
    (number < 60).then_some(number).ok_or_else(wrong)
}

fn minutes(number: u16) -> Result<u16, PolicyError> {
    let wrong = || PolicyError::value("interval", &number.to_string(), "minutes from 1 to 1440");
    (1..=1440).contains(&number).then_some(number).ok_or_else(wrong)
}
