//! What has happened lately, for those who follow: a bounded number of events, each with a number.
//!
//! Nobody is waited for: whoever falls behind by more than is kept is told so, and looks at everything again. Numbers begin anew with each
//! start of the server; the mark of the start tells them apart.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tintype_model::VolumeKind;

use crate::convert::random_name;
use crate::error::AppResult;
use crate::open::App;
use crate::types::{Change, EventInfo, EventKind, TaskInfo};

/// Events that are kept.
const KEPT: usize = 4096;

/// Is called after each event, and must not block.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// All that is kept.
pub(crate) struct Events {
    start: String,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// Number of the first one that is kept.
    first: u64,
    kept: VecDeque<Arc<EventInfo>>,
    bell: Option<Bell>,
}

/// A place between two events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPlace {
    start: String,
    next: u64,
}

/// What came behind a place.
#[derive(Clone, Debug, Default)]
pub struct EventNews {
    /// Events are missing: everything has to be looked at again.
    pub missed: bool,
    /// Events, each with the place behind it.
    pub events: Vec<(EventPlace, Arc<EventInfo>)>,
}

impl std::fmt::Display for EventPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.start, self.next)
    }
}

impl EventPlace {
    /// One that no event lies behind.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { start: String::new(), next: 0 }
    }

    /// As it is written; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (start, next) = text.split_once('-')?;
        Some(Self { start: start.to_owned(), next: next.parse().ok()? })
    }
}

impl Events {
    /// None yet.
    pub(crate) fn new() -> AppResult<Self> {
        let start = random_name::<4>()?;
        Ok(Self { start, ring: Mutex::default() })
    }

    /// One more.
    pub(crate) fn tell(
        &self,
        kind: EventKind,
        change: Change,
        name: String,
        task: Option<TaskInfo>,
    ) {
        let event = EventInfo { time: Timestamp::now(), kind, change, name, task };
        let bell = {
            let mut ring = self.ring.lock();
            ring.kept.push_back(Arc::new(event));
            if ring.kept.len() > KEPT {
                ring.kept.pop_front();
                ring.first += 1;
            }
            ring.bell.clone()
        };
        if let Some(bell) = bell {
            bell();
        }
    }

    fn place(&self, next: u64) -> EventPlace {
        EventPlace { start: self.start.clone(), next }
    }

    fn end(&self) -> EventPlace {
        let ring = self.ring.lock();
        self.place(ring.first + ring.kept.len() as u64)
    }

    fn after(&self, place: &EventPlace, max: usize) -> EventNews {
        let ring = self.ring.lock();
        let end = ring.first + ring.kept.len() as u64;
        let known = place.start == self.start && place.next <= end;
        let from = if known { place.next.max(ring.first) } else { ring.first };
        let skip = usize::try_from(from - ring.first).unwrap_or(usize::MAX);
        let kept = ring.kept.iter().skip(skip).take(max);
        let events =
            kept.zip(from + 1..).map(|(event, next)| (self.place(next), Arc::clone(event)));
        EventNews { missed: !known || place.next < ring.first, events: events.collect() }
    }
}

impl App {
    /// Rings after each event from now on.
    pub fn ring_events(&self, bell: Bell) {
        self.events.ring.lock().bell = Some(bell);
    }

    /// The place behind the last event.
    pub fn events_end(&self) -> EventPlace {
        self.events.end()
    }

    /// At most `max` events behind a place.
    pub fn events_after(&self, place: &EventPlace, max: usize) -> EventNews {
        self.events.after(place, max)
    }

    /// Something happened to a volume.
    pub(crate) fn volume_event(&self, kind: VolumeKind, change: Change, name: impl ToString) {
        let kind = match kind {
            VolumeKind::Filesystem => EventKind::Filesystem,
            VolumeKind::Disk => EventKind::Disk,
        };
        self.events.tell(kind, change, name.to_string(), None);
    }

    /// Something happened to a snapshot.
    pub(crate) fn snapshot_event(&self, change: Change, name: impl ToString) {
        self.events.tell(EventKind::Snapshot, change, name.to_string(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(news: &EventNews) -> Vec<&str> {
        news.events.iter().map(|(_, event)| event.name.as_str()).collect()
    }

    #[test]
    fn followers_go_on_where_they_were_and_hear_when_they_missed_something() {
        let events = Events::new().unwrap();
        let begin = events.end();
        let tell = |name: &str| {
            events.tell(EventKind::Snapshot, Change::Created, name.to_owned(), None);
        };
        ["a", "b", "c"].into_iter().for_each(tell);
        let first = events.after(&begin, 2);
        assert_eq!((names(&first), first.missed), (vec!["a", "b"], false));
        let place = EventPlace::read(&first.events.last().unwrap().0.to_string()).unwrap();
        let rest = events.after(&place, 9);
        assert_eq!((names(&rest), rest.missed), (vec!["c"], false));
        assert!(events.after(&events.end(), 9).events.is_empty());
        (0..KEPT).for_each(|_| tell("x"));
        assert!(events.after(&place, 1).missed);
        assert!(Events::new().unwrap().after(&place, 1).missed, "another start");
        assert_eq!(EventPlace::read("odd"), None);
    }
}
