//! From minutes of days to instants in a time zone.
//!
//! Where a clock is put forward, the first minute of a schedule that does not exist comes as much later as the clock jumps, and the others of
//! that schedule up to there are left out. Where it is put back, a minute that comes twice counts the first time only.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

use super::schedule::When;

/// How long is looked for a day that fits: 29 February is up to eight years away.
const DAYS_MAX: u32 = 9 * 366;

/// All instants of a schedule after one, ascending.
pub struct Instants<'w> {
    when: &'w When,
    zone: &'w TimeZone,
    after: Timestamp,
    /// The day whose minutes are next.
    day: Option<Date>,
    /// What is left of the day before, the next one last.
    minutes: Vec<u16>,
    date: Date,
    /// Minutes of the wall clock up to here are done with: an earlier one stands for them.
    passed: Option<DateTime>,
}

impl<'w> Instants<'w> {
    /// Those after `after`.
    pub fn new(when: &'w When, zone: &'w TimeZone, after: Timestamp) -> Self {
        let date = zone.to_datetime(after).date();
        // What happened to the clock shortly before, or at that very instant, decides what it passes over now.
        let then = after.checked_add(SignedDuration::from_nanos(1)).unwrap_or(after);
        let calm = zone.preceding(then).next().is_none_or(|change| {
            after.duration_since(change.timestamp()) > SignedDuration::from_hours(48)
        });
        let day = if calm { date } else { date.checked_sub(Span::new().days(2)).unwrap_or(date) };
        let mut instants = Self {
            when,
            zone,
            after,
            day: Some(day),
            minutes: Vec::new(),
            date: day,
            passed: None,
        };
        if calm {
            let wall = zone.to_datetime(after).time();
            instants.load();
            let now = u16::from(wall.hour().unsigned_abs()) * 60
                + u16::from(wall.minute().unsigned_abs());
            instants.minutes.retain(|minute| *minute >= now);
        }
        instants
    }

    /// Takes up the next day. False when there is none.
    fn load(&mut self) -> bool {
        let Some(day) = self.day else { return false };
        self.date = day;
        self.day = day.tomorrow().ok();
        self.minutes = self.when.minutes_on(day);
        self.minutes.reverse();
        true
    }

    /// The instant of a minute of the wall clock, unless an earlier one stands for it.
    fn instant(&mut self, wall: DateTime) -> Option<Timestamp> {
        if self.passed.is_some_and(|passed| wall <= passed) {
            return None;
        }
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        if let AmbiguousOffset::Gap { before, after } = ambiguous.offset() {
            let jump = SignedDuration::from_secs(i64::from(after.seconds() - before.seconds()));
            self.passed = wall.checked_add(jump).ok();
        }
        // In a gap the later one, of two the first.
        ambiguous.compatible().ok()
    }
}

impl Iterator for Instants<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let mut days = 0;
        loop {
            while let Some(minute) = self.minutes.pop() {
                let (hour, minute) =
                    (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
                let wall = DateTime::from_parts(self.date, Time::new(hour, minute, 0, 0).ok()?);
                if let Some(instant) = self.instant(wall)
                    && instant > self.after
                {
                    return Some(instant);
                }
            }
            days += 1;
            if days > DAYS_MAX || !self.load() {
                return None;
            }
        }
    }
}

/// The last instant of a schedule with `after < instant <= until`.
pub fn last_between(
    when: &When,
    zone: &TimeZone,
    after: Timestamp,
    until: Timestamp,
) -> Option<Timestamp> {
    // Not from the beginning: that may be years ago.
    for days in [1, 10, 100, 1000, i64::from(DAYS_MAX)] {
        let back = until.checked_sub(SignedDuration::from_hours(24 * days));
        let from = back.unwrap_or(Timestamp::MIN).max(after);
        let found = Instants::new(when, zone, from).take_while(|instant| *instant <= until).last();
        if found.is_some() || from == after {
            return found;
        }
    }
    None
}
