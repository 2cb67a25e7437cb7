//! What is due on a volume now: at most one snapshot, for all policies together.
//!
//! Each pair of policy and volume knows up to when it is served. What came due since then is served by one snapshot of the highest class,
//! however much was missed. A clock that was put back a little makes nothing twice; one that was put back far starts again from where it is.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::instants::{Instants, last_between};
use super::{Class, Mark, Policy};

/// A clock that is put back by no more than this leaves what is served alone.
pub const BACK_MAX: SignedDuration = SignedDuration::from_hours(1);
/// A snapshot that comes so late is named by when it comes.
const LATE: SignedDuration = SignedDuration::from_mins(5);

/// A policy on a volume.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// The rules of its zone.
    pub zone: &'p TimeZone,
    /// What was due up to then is done with.
    pub served: Timestamp,
}

/// A snapshot that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its class.
    pub class: Class,
    /// The last instant that it serves.
    pub at: Timestamp,
}

/// What is to be done for a policy on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Wait,
    /// A snapshot.
    Make(Due),
    /// The clock was put back far: what is served ends now.
    StartAgain,
}

/// Decides for a policy on a volume.
pub fn due(attached: Attached<'_>, now: Timestamp) -> Decision {
    let Attached { policy, zone, served } = attached;
    if served > now {
        let far = served.duration_since(now) > BACK_MAX;
        return if far { Decision::StartAgain } else { Decision::Wait };
    }
    let found = policy.active().filter_map(|(class, schedule)| {
        let at = last_between(&schedule.when, zone, served, now)?;
        Some(Due { class, at })
    });
    // In the order of classes, so the last one is the highest; it serves all.
    let made = found.reduce(|one, other| Due { class: other.class, at: one.at.max(other.at) });
    made.map_or(Decision::Wait, Decision::Make)
}

/// The first instant after `after` at which the policy is due, and its class there.
pub fn next_due(policy: &Policy, zone: &TimeZone, after: Timestamp) -> Option<Due> {
    let next = policy.active().filter_map(|(class, schedule)| {
        Some(Due { class, at: Instants::new(&schedule.when, zone, after).next()? })
    });
    next.min_by_key(|due| (due.at, std::cmp::Reverse(due.class)))
}

/// The one snapshot of a volume for all that is due on it: its marks, and which of the policies names it. `None` when nothing is due.
pub fn together(attached: &[Attached<'_>], now: Timestamp) -> Option<(Vec<Mark>, usize)> {
    let mut marks = Vec::new();
    let mut first: Option<(usize, Class)> = None;
    for (number, one) in attached.iter().enumerate() {
        let Decision::Make(Due { class, at }) = due(*one, now) else { continue };
        marks.push(Mark { policy: one.policy.name.clone(), class, due: at });
        if first.is_none_or(|(_, highest)| class > highest) {
            first = Some((number, class));
        }
    }
    first.map(|(number, _)| (marks, number))
}

/// The time in the name of a snapshot: when it was due, or when it comes if that is much later.
pub fn time_of_name(due: Timestamp, now: Timestamp, zone: &TimeZone) -> Zoned {
    let time = if now.duration_since(due) > LATE { now } else { due };
    time.to_zoned(zone.clone())
}
