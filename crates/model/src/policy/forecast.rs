//! What policies would make and remove on a volume up to some time, if everything went well and the volume changed all the time.

use jiff::Timestamp;
use std::collections::BTreeMap;

use super::{Attached, Held, Mark, NameParts, next_due, surplus, time_of_name, together};
use crate::{SnapshotName, VolumeName};

/// What happens to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is made.
    Make,
    /// It is removed.
    Remove,
}

/// Something that would happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The snapshot.
    pub name: SnapshotName,
    /// Its marks.
    pub marks: Vec<Mark>,
}

/// Up to `most` events with `from < time <= until`, in order. `names` are those of the snapshots that are held.
pub fn forecast(
    attached: &[Attached<'_>],
    volume: &VolumeName,
    held: &[Held],
    names: &BTreeMap<u64, SnapshotName>,
    (from, until): (Timestamp, Timestamp),
    most: usize,
) -> Vec<Event> {
    let (mut attached, mut held, mut names) = (attached.to_vec(), held.to_vec(), names.clone());
    let (mut events, mut now) = (Vec::new(), from);
    let mut id = held.iter().map(|snapshot| snapshot.id).max().unwrap_or(0);
    while events.len() < most {
        let next = attached.iter().filter_map(|one| next_due(one.policy, one.zone, now));
        let Some(next) = next.map(|due| due.at).min().filter(|next| *next <= until) else { break };
        now = next;
        let Some((marks, naming)) = together(&attached, now) else { continue };
        id += 1;
        if let Some(name) = name(&attached, naming, &marks, volume, now) {
            events.push(Event {
                time: now,
                kind: EventKind::Make,
                name: name.clone(),
                marks: marks.clone(),
            });
            names.insert(id, name);
        }
        for one in &mut attached {
            if let Some(mark) = marks.iter().find(|mark| mark.policy == one.policy.name) {
                one.served = mark.due;
            }
        }
        held.push(Held { id, time: now, marks });
        let gone = surplus(&attached, &held, now, true);
        held.retain(|snapshot| {
            let goes = gone.binary_search(&snapshot.id).is_ok();
            if goes && let Some(name) = names.get(&snapshot.id) {
                let (name, marks) = (name.clone(), snapshot.marks.clone());
                events.push(Event { time: now, kind: EventKind::Remove, name, marks });
            }
            !goes
        });
    }
    events.truncate(most);
    events
}

fn name(
    attached: &[Attached<'_>],
    naming: usize,
    marks: &[Mark],
    volume: &VolumeName,
    now: Timestamp,
) -> Option<SnapshotName> {
    let one = attached.get(naming)?;
    let mark = marks.iter().find(|mark| mark.policy == one.policy.name)?;
    let time = time_of_name(mark.due, now, one.zone);
    let parts = NameParts { policy: &mark.policy, class: mark.class, volume, time: &time };
    one.policy.name_pattern.name(parts, 1).ok()
}
