//! Which snapshots of a list are wanted; and times as people write them.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{ModelError, SnapshotMeta, Span, Tags};

/// All conditions that are present must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFilter {
    /// Any one of these lists must be there in full; no list means no condition.
    #[serde(default)]
    pub tags: Vec<Tags>,
    /// Exactly this label.
    #[serde(default)]
    pub label: Option<String>,
    /// Cut at this time or later.
    #[serde(default)]
    pub after: Option<Timestamp>,
    /// Cut before this time.
    #[serde(default)]
    pub before: Option<Timestamp>,
}

impl SnapshotFilter {
    /// Is this snapshot wanted?
    pub fn matches(&self, meta: &SnapshotMeta) -> bool {
        (self.tags.is_empty() || self.tags.iter().any(|list| meta.tags.contains_all(list)))
            && self.label.as_ref().is_none_or(|label| *label == meta.label)
            && self.after.is_none_or(|time| meta.time >= time)
            && self.before.is_none_or(|time| meta.time < time)
    }
}

/// Reads a time: RFC 3339, a local date or date and time, or an age (`30d`: that long before `now`).
pub fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, ModelError> {
    let local = |time: civil::DateTime| time.to_zoned(zone.clone()).ok().map(|z| z.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<Span>().ok().map(|age| age.before(now)))
        .or_else(|| text.parse::<civil::DateTime>().ok().and_then(local))
        .or_else(|| text.parse::<civil::Date>().ok().and_then(|d| local(d.at(0, 0, 0, 0))))
        .ok_or_else(|| ModelError::Time { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessPoint, SnapshotName};

    fn meta(tags: &str, label: &str, time: &str) -> SnapshotMeta {
        let name = SnapshotName::new("s").unwrap();
        let access = AccessPoint::new("a").unwrap();
        let mut meta = SnapshotMeta::new(name, access, time.parse().unwrap());
        meta.tags = tags.parse().unwrap();
        meta.label = label.into();
        meta
    }

    #[test]
    fn conditions_are_joined() {
        let snapshot = meta("a,b", "nightly", "2026-11-21T00:00:00Z");
        let all = SnapshotFilter::default();
        assert!(all.matches(&snapshot));
        let tagged = |lists: &[&str]| SnapshotFilter {
            tags: lists.iter().map(|l| l.parse().unwrap()).collect(),
            ..SnapshotFilter::default()
        };
        assert!(tagged(&["a,b"]).matches(&snapshot));
        assert!(tagged(&["c", "a"]).matches(&snapshot));
        assert!(!tagged(&["a,c"]).matches(&snapshot));
        let label = SnapshotFilter { label: Some("weekly".into()), ..all.clone() };
        assert!(!label.matches(&snapshot));
        let edge = Some("2026-11-21T00:00:00Z".parse().unwrap());
        assert!(SnapshotFilter { after: edge, ..all.clone() }.matches(&snapshot));
        assert!(!SnapshotFilter { before: edge, ..all }.matches(&snapshot));
    }

    #[test]
    fn times_are_read() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T10:30:00", "2026-11-20T10:30:00Z"),
            ("2026-11-20T10:30:00+02:00", "2026-11-20T08:30:00Z"),
            ("12h", "2026-11-21T00:00:00Z"),
        ] {
            let got = parse_time(text, now, &TimeZone::UTC).unwrap();
            assert_eq!(got, want.parse().unwrap(), "{text}");
        }
        assert!(parse_time("yesterday", now, &TimeZone::UTC).is_err());
    }
}
