//! A model that walks through every minute and looks at the wall clock, as a person would.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tintype_model::policy::Class;

pub type Fits = fn(DateTime) -> bool;

/// All instants at which a schedule comes, minute by minute.
pub fn walk(zone: &TimeZone, fits: Fits, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let (mut found, mut time) = (Vec::new(), from);
    let mut shown = zone.to_datetime(time - minute);
    let mut seen = shown;
    let mut passed = None;
    while time < to {
        let wall = zone.to_datetime(time);
        let jump = wall.duration_since(shown) - minute;
        // Minutes that the clock leaves out: the first that would have come is late, the others are dropped.
        let mut left_out = shown + minute;
        while left_out < wall {
            if fits(left_out) && passed.is_none_or(|passed| left_out > passed) {
                found.push(time + left_out.duration_since(shown + minute));
                passed = Some(left_out + jump);
            }
            left_out += minute;
        }
        // Minutes that were there before do not come again.
        if fits(wall) && wall > seen && passed.is_none_or(|passed| wall > passed) {
            found.push(time);
        }
        seen = seen.max(wall);
        shown = wall;
        time += minute;
    }
    found.sort_unstable();
    found
}

/// A policy: instants and count of each class, and what is served.
pub struct Naive {
    pub name: &'static str,
    pub classes: BTreeMap<Class, (Vec<Timestamp>, usize)>,
    pub served: Timestamp,
}

/// A snapshot: its number, and the class that it has for each policy.
pub type Snapshot = (u64, BTreeMap<&'static str, Class>);

/// One look at the clock. Answers whether a snapshot was made.
pub fn tick(
    policies: &mut [Naive],
    snapshots: &mut Vec<Snapshot>,
    now: Timestamp,
    id: u64,
) -> bool {
    let mut marks = BTreeMap::new();
    for policy in policies.iter_mut() {
        if policy.served > now {
            if policy.served > now + SignedDuration::from_hours(1) {
                policy.served = now;
            }
            continue;
        }
        let missed = |times: &[Timestamp]| {
            let (from, to) = (
                times.partition_point(|t| *t <= policy.served),
                times.partition_point(|t| *t <= now),
            );
            (from < to).then(|| times[to - 1])
        };
        let due: Vec<_> = policy
            .classes
            .iter()
            .filter_map(|(class, (times, _))| Some((*class, missed(times)?)))
            .collect();
        if let Some(class) = due.iter().map(|(class, _)| *class).max() {
            marks.insert(policy.name, class);
            policy.served = due.iter().map(|(_, time)| *time).max().unwrap();
        }
    }
    let made = !marks.is_empty();
    if made {
        snapshots.push((id, marks));
    }
    let stays: Vec<u64> = policies.iter().flat_map(|policy| kept(policy, snapshots)).collect();
    snapshots.retain(|(id, _)| stays.contains(id));
    made
}

fn kept(policy: &Naive, snapshots: &[Snapshot]) -> Vec<u64> {
    let own: Vec<_> =
        snapshots.iter().filter(|(_, marks)| marks.contains_key(policy.name)).collect();
    let mut kept: Vec<u64> = own.last().map(|(id, _)| *id).into_iter().collect();
    for (class, (_, count)) in &policy.classes {
        let of_class = own.iter().rev().filter(|(_, marks)| marks[policy.name] == *class);
        kept.extend(of_class.take(*count).map(|(id, _)| *id));
    }
    kept
}
