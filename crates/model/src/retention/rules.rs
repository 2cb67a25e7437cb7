//! The verdict on each snapshot of one group.
//!
//! Newest first. A period keeps a snapshot when it lies in another period than the one that this rule kept last, or is the oldest of all,
//! as long as the rule's count lasts. Periods go by the wall clock that wrote the snapshot. `keep-within` reaches back from the newest
//! snapshot that is not in the future, so that a machine that was off for a year loses nothing when it is back.

use std::collections::HashSet;
use std::fmt;

use std::hash::Hash;

use jiff::Timestamp;

use super::{KeepCount, KeepOptions, KeepSpan, Period};
use crate::Tags;
use crate::moment::Moment;

/// A snapshot that can be judged.
pub trait Candidate {
    /// What tells it from others; breaks ties between times. Rules name it by how it begins when it is written.
    type Id: Copy + Ord + Hash + fmt::Display;
    /// Equal for snapshots that hold the same.
    type Content: Copy + Eq;

    /// Which one it is.
    fn id(&self) -> Self::Id;

    /// When it was cut.
    fn time(&self) -> Moment;

    /// What it holds.
    fn content(&self) -> Self::Content;

    /// Does it carry all of these?
    fn has_tags(&self, wanted: &Tags) -> bool;

    /// Does its own rule keep it at `now`?
    fn must_keep(&self, now: Timestamp) -> bool;

    /// Does its own rule remove it at `now`?
    fn must_delete(&self, now: Timestamp) -> bool;
}

/// Why nothing is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing would be kept, and nobody said so.
    #[error("no rule says which snapshots to keep; keep-none removes all")]
    NoRule,
    /// The last snapshot would go, and nobody said so.
    #[error("the rules would remove the last snapshot of a group; allow it, or add a rule")]
    Emptied,
}

/// Why a snapshot is kept or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its own rule says so: it must be kept, or its time is over.
    OwnRule,
    /// Its id was named.
    Id,
    /// It carries these tags.
    Tags(Tags),
    /// It is within this span of the newest one, and the newest of its period.
    Within(Period, KeepSpan),
    /// It is the newest of its period, or the oldest of all.
    Newest(Period),
    /// The next older one has the same tree (a reason to remove it).
    Unchanged,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnRule => f.pad("snapshot"),
            Self::Id => f.pad("id"),
            Self::Tags(tags) => {
                let tags: Vec<_> = tags.iter().collect();
                f.pad(&format!("has tags [{}]", tags.join(", ")))
            }
            Self::Within(Period::Each, span) => f.pad(&format!("within {span}")),
            Self::Within(period, span) => f.pad(&format!("{} within {span}", period.as_str())),
            Self::Newest(period) => f.pad(&format!("{} snapshot", period.as_str())),
            Self::Unchanged => f.pad("unchanged"),
        }
    }
}

/// The verdict on a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged<'s, S> {
    /// Which snapshot.
    pub snapshot: &'s S,
    /// Does it stay?
    pub keep: bool,
    /// Why; empty when it goes because nothing keeps it.
    pub reasons: Vec<Reason>,
}

/// Judges the snapshots of one group; newest first.
///
/// # Errors
/// There is no rule, or the rules would remove the group's last snapshot and nobody allowed that.
pub fn judge<'s, S: Candidate>(
    group: &[&'s S],
    options: &KeepOptions,
    now: Timestamp,
) -> Result<Vec<Judged<'s, S>>, Refusal> {
    if options.is_empty() {
        return Err(Refusal::NoRule);
    }
    let mut sorted = group.to_vec();
    sorted.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.time().instant(), snapshot.id())));
    let judged = judge_sorted(&sorted, options, now);
    let by_rule = |judged: &Judged<'_, S>| !judged.reasons.contains(&Reason::OwnRule);
    let emptied = !judged.iter().any(|judged| judged.keep) && judged.iter().any(by_rule);
    if emptied && !options.allow_empty && !options.none {
        return Err(Refusal::Emptied);
    }
    Ok(judged)
}

/// With unchanged snapshots left out of the rules where the one that stands for them stays; otherwise they are judged as others are,
/// so that no tree is lost that the rules would keep.
fn judge_sorted<'s, S: Candidate>(
    sorted: &[&'s S],
    options: &KeepOptions,
    now: Timestamp,
) -> Vec<Judged<'s, S>> {
    let mut unchanged = HashSet::new();
    if options.delete_unchanged {
        for pair in sorted.windows(2) {
            if let [newer, older] = pair
                && newer.content() == older.content()
                && !newer.must_keep(now)
                && !newer.must_delete(now)
            {
                unchanged.insert(newer.id());
            }
        }
    }
    loop {
        let judged = pass(sorted, options, now, &unchanged);
        let lost = without_older(&judged);
        if lost.is_empty() {
            return judged;
        }
        unchanged.retain(|id| !lost.contains(id));
    }
}

/// Unchanged snapshots of which no older one with their tree stays.
fn without_older<S: Candidate>(judged: &[Judged<'_, S>]) -> HashSet<S::Id> {
    let (mut lost, mut kept) = (HashSet::new(), None);
    for judged in judged.iter().rev() {
        if judged.keep {
            kept = Some(judged.snapshot.content());
        } else if judged.reasons.contains(&Reason::Unchanged)
            && kept != Some(judged.snapshot.content())
        {
            lost.insert(judged.snapshot.id());
        }
    }
    lost
}

/// One rule with its state.
struct Counter {
    period: Period,
    count: KeepCount,
    last: Option<i64>,
}

/// One `keep-within` with its state.
struct Within {
    period: Period,
    span: KeepSpan,
    after: Timestamp,
    last: Option<i64>,
}

fn pass<'s, S: Candidate>(
    sorted: &[&'s S],
    options: &KeepOptions,
    now: Timestamp,
    unchanged: &HashSet<S::Id>,
) -> Vec<Judged<'s, S>> {
    let counted = |snapshot: &S| {
        !unchanged.contains(&snapshot.id())
            && !snapshot.must_keep(now)
            && !snapshot.must_delete(now)
    };
    let oldest = sorted.iter().rposition(|snapshot| counted(snapshot));
    let mut counters: Vec<_> = Period::ALL
        .into_iter()
        .filter_map(|period| Some((period, *options.counts.get(&period)?)))
        .map(|(period, count)| Counter { period, count, last: None })
        .collect();
    let mut withins = withins(sorted, options, now);
    let mut judged = Vec::with_capacity(sorted.len());
    for (number, snapshot) in sorted.iter().copied().enumerate() {
        let (keep, reasons) = if snapshot.must_keep(now) {
            (true, vec![Reason::OwnRule])
        } else if snapshot.must_delete(now) {
            (false, vec![Reason::OwnRule])
        } else if unchanged.contains(&snapshot.id()) {
            (false, vec![Reason::Unchanged])
        } else {
            let mut reasons = named(snapshot, options);
            let place = Place { number, time: snapshot.time(), oldest: oldest == Some(number) };
            reasons.extend(counters.iter_mut().filter_map(|counter| counter.keeps(place)));
            reasons.extend(withins.iter_mut().filter_map(|within| within.keeps(place)));
            (!reasons.is_empty(), reasons)
        };
        judged.push(Judged { snapshot, keep, reasons });
    }
    judged
}

/// Reasons that do not count.
fn named<S: Candidate>(snapshot: &S, options: &KeepOptions) -> Vec<Reason> {
    let id = snapshot.id().to_string();
    let by_id = options.ids.iter().any(|start| !start.is_empty() && id.starts_with(start.as_str()));
    let tags = options.tags.iter().filter(|tags| snapshot.has_tags(tags)).cloned();
    by_id.then_some(Reason::Id).into_iter().chain(tags.map(Reason::Tags)).collect()
}

fn withins<S: Candidate>(sorted: &[&S], options: &KeepOptions, now: Timestamp) -> Vec<Within> {
    // When all are in the future there is nothing to count back from: they stay.
    let latest = sorted.iter().map(|snapshot| snapshot.time()).find(|time| time.instant() < now);
    let spans = options.within.iter().filter(|(_, span)| !span.is_zero());
    spans
        .map(|(period, span)| {
            let after = latest.map_or(Timestamp::MIN, |latest| span.before(latest));
            Within { period: *period, span: *span, after, last: None }
        })
        .collect()
}

/// Where a snapshot stands in its group.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    time: Moment,
    oldest: bool,
}

impl Counter {
    fn keeps(&mut self, place: Place) -> Option<Reason> {
        if self.count == KeepCount::Count(0) {
            return None;
        }
        let value = value(self.period, place);
        if self.last == Some(value) && !place.oldest {
            return None;
        }
        self.last = Some(value);
        if let KeepCount::Count(left) = &mut self.count {
            *left = left.saturating_sub(1);
        }
        Some(Reason::Newest(self.period))
    }
}

impl Within {
    fn keeps(&mut self, place: Place) -> Option<Reason> {
        let value = value(self.period, place);
        if place.time.instant() <= self.after || self.last == Some(value) {
            return None;
        }
        self.last = Some(value);
        Some(Reason::Within(self.period, self.span))
    }
}

/// A number that is the same for all snapshots of one period.
fn value(period: Period, place: Place) -> i64 {
    let wall = place.time.wall();
    let (year, month, day) =
        (i64::from(wall.year()), i64::from(wall.month()), i64::from(wall.day()));
    let days = (year * 12 + month) * 31 + day;
    let hours = days * 24 + i64::from(wall.hour());
    match period {
        Period::Each => i64::try_from(place.number).unwrap_or(i64::MAX),
        Period::Minute => hours * 60 + i64::from(wall.minute()),
        Period::Hour => hours,
        Period::Day => days,
        Period::Week => {
            let week = wall.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }
        Period::Month => year * 12 + month,
        Period::Quarter => year * 4 + (month - 1) / 3,
        Period::HalfYear => year * 2 + (month - 1) / 6,
        Period::Year => year,
    }
}
