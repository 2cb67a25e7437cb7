//! Times of snapshots: an instant and the offset of the wall clock that wrote it.
//!
//! Order and age compare instants; days and weeks of retention go by the writer's wall clock. Written as RFC 3339 with `Z` or a numeric
//! offset, without a zone's name; read with or without one, and also as a bare date or without an offset (then UTC), as rustic allows.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

/// An instant with the offset of a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment {
    instant: Timestamp,
    offset: Offset,
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time such as 2026-01-31T12:00:00Z or 2026-01-31")]
pub struct NotAMoment {
    /// What was read instead.
    pub text: String,
}

impl Moment {
    /// An instant as a wall clock in UTC shows it.
    pub fn utc(instant: Timestamp) -> Self {
        Self { instant, offset: Offset::UTC }
    }

    /// An instant as a wall clock in this zone shows it.
    pub fn in_zone(instant: Timestamp, zone: &TimeZone) -> Self {
        Self { instant, offset: zone.to_offset(instant) }
    }

    /// The instant.
    pub fn instant(&self) -> Timestamp {
        self.instant
    }

    /// What the writer's wall clock showed.
    pub fn wall(&self) -> DateTime {
        self.offset.to_datetime(self.instant)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.instant, self.offset).cmp(&(other.instant, other.offset))
    }
}

impl From<Zoned> for Moment {
    fn from(time: Zoned) -> Self {
        Self { instant: time.timestamp(), offset: time.offset() }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset == Offset::UTC {
            return f.pad(&self.instant.to_string());
        }
        f.pad(&self.instant.display_with_offset(self.offset).to_string())
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let wrong = || NotAMoment { text: text.chars().take(80).collect() };
        let pieces = Pieces::parse(text).map_err(|_| wrong())?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        let wall = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
        let instant = offset.to_timestamp(wall).map_err(|_| wrong())?;
        Ok(Self { instant, offset })
    }
}

impl TryFrom<String> for Moment {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Self, NotAMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(time: Moment) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let text = |text: &str| text.parse::<Moment>().unwrap().to_string();
        assert_eq!(text("2026-11-20T23:02:00.313518513Z"), "2026-11-20T23:02:00.313518513Z");
        assert_eq!(text("2026-11-20T23:02:00.5+02:00"), "2026-11-20T23:02:00.5+02:00");
        assert_eq!(text("2026-11-20T23:02:00+02:00[Europe/Helsinki]"), "2026-11-20T23:02:00+02:00");
        assert_eq!(text("2026-11-20T23:02:00+00:00"), "2026-11-20T23:02:00Z");
        assert_eq!(text("2026-11-20"), "2026-11-20T00:00:00Z");
        assert!("yesterday".parse::<Moment>().is_err());
        assert!("2026-13-01".parse::<Moment>().is_err());
    }

    #[test]
    fn order_goes_by_instant_and_days_by_the_wall() {
        let late: Moment = "2026-11-20T23:30:00-05:00".parse().unwrap();
        let early: Moment = "2026-11-21T01:00:00Z".parse().unwrap();
        assert!(early < late);
        assert_eq!(late.wall().date().day(), 20);
    }
}
