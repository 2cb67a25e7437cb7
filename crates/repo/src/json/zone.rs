//! The local time zone's offset at any instant, remembered between its changes.
//!
//! restic writes each time with the offset that the machine's zone had at that instant. Asking the zone's rules takes long
//! compared to writing a node, and most times of a backup lie between the same two changes of the clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::RwLock;

use super::time::GoTime;

/// A time zone with its remembered offsets. Shared by threads by reference.
pub struct LocalZone {
    zone: TimeZone,
    /// Spans asked for so far, ascending and apart. There are at most as many as changes of the clock in all years.
    known: RwLock<Vec<Span>>,
}

/// Instants from `from` to before `until` with one offset.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    until: i64,
    offset: i32,
}

impl LocalZone {
    /// The zone of this machine: `TZ`, or `/etc/localtime`, or UTC.
    pub fn system() -> Self {
        Self::new(TimeZone::system())
    }

    /// The zone given.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, known: RwLock::new(Vec::new()) }
    }

    /// The time as written in this zone. Nanoseconds of a second and more are cut to the last one.
    pub fn time(&self, seconds: i64, nanos: u32) -> GoTime {
        GoTime { offset: self.offset(seconds), ..GoTime::utc(seconds, nanos) }
    }

    /// Seconds that the zone's clock is ahead of UTC at the instant, in seconds since 1970.
    pub fn offset(&self, seconds: i64) -> i32 {
        let seconds = within_rules(seconds);
        if let Some(offset) = find(&self.known.read(), seconds) {
            return offset;
        }
        let span = self.span(seconds);
        let mut known = self.known.write();
        if find(&known, seconds).is_none() {
            let at = known.partition_point(|other| other.until <= seconds);
            known.insert(at, span);
        }
        span.offset
    }

    /// Asks the zone's rules.
    fn span(&self, seconds: i64) -> Span {
        let time = Timestamp::from_second(seconds).unwrap_or_default();
        let after = time.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(time);
        let change = |next: Option<jiff::tz::TimeZoneTransition<'_>>, or: i64| {
            next.map_or(or, |change| change.timestamp().as_second())
        };
        Span {
            from: change(self.zone.preceding(after).next(), i64::MIN),
            until: change(self.zone.following(time).next(), i64::MAX),
            offset: self.zone.to_offset(time).seconds(),
        }
    }
}

/// An instant with the same offset that the rules know of. After the year 9999 dates and days of the week repeat every 400 years;
/// before all years nothing changes.
fn within_rules(seconds: i64) -> i64 {
    const CYCLE: i64 = 146_097 * 86_400;
    let last = Timestamp::MAX.as_second();
    let beyond = seconds.saturating_sub(last).max(0);
    let cycles = beyond / CYCLE + i64::from(beyond % CYCLE != 0);
    (seconds - cycles * CYCLE).max(Timestamp::MIN.as_second())
}

fn find(known: &[Span], seconds: i64) -> Option<i32> {
    let at = known.partition_point(|span| span.until <= seconds);
    known.get(at).filter(|span| span.from <= seconds).map(|span| span.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_rules() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Casablanca",
        ] {
            let zone = TimeZone::get(name).unwrap();
            let local = LocalZone::new(zone.clone());
            for step in -3000i64..6000 {
                let seconds = step * 1_234_567 + step % 7;
                let expected = zone.to_offset(Timestamp::from_second(seconds).unwrap()).seconds();
                assert_eq!(local.offset(seconds), expected, "{name} {seconds}");
            }
        }
    }

    #[test]
    fn changes_are_exact() {
        let local = LocalZone::new(TimeZone::get("Europe/Berlin").unwrap());
        let change = 1_774_746_000; // 2026-03-29T01:00:00Z
        for _ in 0..2 {
            assert_eq!(local.time(change - 1, 0).to_string(), "2026-03-29T01:59:59+01:00");
            assert_eq!(local.time(change, 0).to_string(), "2026-03-29T03:00:00+02:00");
        }
        assert_eq!(local.known.read().len(), 2);
    }

    #[test]
    fn rules_go_on_for_ever() {
        let local = LocalZone::new(TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!(local.time(300_000_000_000, 0).to_string(), "9999-08-15T07:20:00+02:00");
        assert_eq!(local.offset(300_015_000_000), 3600);
    }

    #[test]
    fn any_instant_has_an_offset() {
        let local = LocalZone::new(TimeZone::get("Europe/Berlin").unwrap());
        for seconds in [i64::MIN, -400_000_000_000, 0, 400_000_000_000, i64::MAX] {
            let first = local.offset(seconds);
            assert_eq!(first, local.offset(seconds), "{seconds}");
            let _ = local.time(seconds, u32::MAX).to_string();
        }
    }
}
