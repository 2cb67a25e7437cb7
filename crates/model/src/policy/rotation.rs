//! Which snapshots of a volume its policies no longer keep.
//!
//! A snapshot stays when any of its marks is kept: by the count or the age of its class, by the keep rules of the policy, because nothing says
//! how long, because it is the newest of its policy, or because its policy is not attached here. Order is the order in which snapshots were
//! made: a clock that jumped does not change it.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::{Attached, Class, Mark};
use crate::Tags;
use crate::moment::Moment;
use crate::retention::{Candidate, judge};

/// A snapshot with marks that is in rotation: not protected, not writable.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its id; later ones are larger.
    pub id: u64,
    /// When it was cut.
    pub time: Timestamp,
    /// Its marks.
    pub marks: Vec<Mark>,
}

/// The ids of those that go, ascending. `by_age`: whether the clock can be trusted enough to call a snapshot old.
pub fn surplus(attached: &[Attached<'_>], held: &[Held], now: Timestamp, by_age: bool) -> Vec<u64> {
    let mut kept = HashSet::new();
    for one in attached {
        kept.extend(kept_by(*one, held, now, by_age));
    }
    let known = |mark: &Mark| attached.iter().any(|one| one.policy.name == mark.policy);
    let goes = |snapshot: &&Held| {
        !snapshot.marks.is_empty()
            && snapshot.marks.iter().all(known)
            && !kept.contains(&snapshot.id)
    };
    let mut gone: Vec<u64> = held.iter().filter(goes).map(|snapshot| snapshot.id).collect();
    gone.sort_unstable();
    gone
}

/// What one policy keeps.
fn kept_by(one: Attached<'_>, held: &[Held], now: Timestamp, by_age: bool) -> HashSet<u64> {
    let mut own: Vec<(&Held, Class)> = held
        .iter()
        .flat_map(|snapshot| snapshot.marks.iter().map(move |mark| (snapshot, mark)))
        .filter(|(_, mark)| mark.policy == one.policy.name)
        .map(|(snapshot, mark)| (snapshot, mark.class))
        .collect();
    own.sort_by_key(|(snapshot, _)| std::cmp::Reverse(snapshot.id));
    let mut kept: HashSet<u64> = own.first().map(|(newest, _)| newest.id).into_iter().collect();
    let mut counts = BTreeMap::<Class, u32>::new();
    for (snapshot, class) in &own {
        let rank = counts.entry(*class).or_default();
        *rank += 1;
        let schedule = one.policy.schedules.get(class);
        let (count, age) = schedule.map_or((None, None), |found| (found.count, found.age));
        let counted = count.is_some_and(|count| *rank <= count);
        let young = age.is_some_and(|age| !by_age || age.after(snapshot.time) > now);
        let unruled = count.is_none() && age.is_none() && one.policy.keep.is_empty();
        if counted || young || unruled {
            kept.insert(snapshot.id);
        }
    }
    kept.extend(kept_by_rules(one, &own, now, by_age));
    kept
}

/// What the keep rules keep.
fn kept_by_rules(
    one: Attached<'_>,
    own: &[(&Held, Class)],
    now: Timestamp,
    by_age: bool,
) -> Vec<u64> {
    let keep = &one.policy.keep;
    if keep.is_empty() {
        return Vec::new();
    }
    let all = || own.iter().map(|(snapshot, _)| snapshot.id).collect();
    if keep.goes_by_age() && !by_age {
        return all();
    }
    let mut seen = HashSet::new();
    let judged: Vec<Judgeable> = own
        .iter()
        .filter(|(snapshot, _)| seen.insert(snapshot.id))
        .map(|(snapshot, _)| Judgeable {
            id: snapshot.id,
            time: Moment::in_zone(snapshot.time, one.zone),
        })
        .collect();
    let list: Vec<&Judgeable> = judged.iter().collect();
    match judge(&list, &keep.options(), now) {
        Ok(verdicts) => verdicts.iter().filter(|one| one.keep).map(|one| one.snapshot.id).collect(),
        // Whoever cannot judge removes nothing.
        Err(_) => all(),
    }
}

/// A snapshot of a volume for the rules of retention.
struct Judgeable {
    id: u64,
    time: Moment,
}

impl Candidate for Judgeable {
    type Id = u64;
    /// Each holds something of its own.
    type Content = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn time(&self) -> Moment {
        self.time
    }

    fn content(&self) -> u64 {
        self.id
    }

    fn has_tags(&self, _: &Tags) -> bool {
        false
    }

    fn must_keep(&self, _: Timestamp) -> bool {
        false
    }

    fn must_delete(&self, _: Timestamp) -> bool {
        false
    }
}
