//! Thinning of touched lists: entries whose version has gone are taken out, in bounded steps.
//!
//! The list of an epoch names each key that was changed there. Once the points around it go, most of these versions go too, and
//! what is left of their names would grow with every snapshot that ever was. An entry (key, epoch) whose version row is not there serves
//! nobody. A comparison needs the names of the versions that one side shows and the other does not, and these have rows; a cut
//! back needs the names of the rows that it removes, tombstones included. So the list of a closed epoch may lose exactly such entries,
//! in any order, each list by itself: a crash between two steps leaves lists that are right.
//!
//! Whoever removes a version row notes it here. A list is read when about an eighth of it may be stale, so the cost is that of
//! what was freed. Notes are in memory only: after opening, one pass takes samples of all lists and thins those that need it.

use crate::codec::{
    decode_keys, encode_keys, parse_row, prefix, row_range, touched_row, version_row,
};
use crate::error::Result;
use crate::history::History;
use crate::types::{Epoch, Key, SpaceId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use tintype_kv::Batch;

/// Keys of one row at most, as a commit writes them.
const ROW_KEYS: usize = 4096;
/// A list is read when it has at most this many keys for each one that is stale.
const READ_PER_GONE: u64 = 8;
/// A list of no more keys is read for a single stale one.
const SMALL_LIST: u64 = 64;
/// Keys that are looked up to judge a part of a longer list.
const SAMPLE: usize = 16;

/// An epoch of a space.
pub(crate) type Place = (SpaceId, Epoch);

/// Entries of one epoch's lists that became stale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debt {
    gone: u64,
    /// The list is looked at when as many are gone.
    look: u64,
}

/// What is known about stale entries.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    debts: BTreeMap<Place, Debt>,
    due: BTreeSet<Place>,
    job: Option<Job>,
    sweep: Sweep,
}

/// Where the pass over all lists is.
#[derive(Debug, Default)]
enum Sweep {
    #[default]
    Begin,
    At(Vec<u8>),
    Done,
}

/// One epoch's list that is being read, then thinned.
#[derive(Debug)]
struct Job {
    place: Place,
    gone: u64,
    next: Vec<u8>,
    /// Keys that may still be read before the list counts as too long; `None`: it is being thinned.
    room: Option<u64>,
}

/// Neighbouring rows of one epoch's list.
struct Part {
    place: Place,
    rows: Vec<Vec<u8>>,
    keys: Vec<Key>,
    next: Vec<u8>,
}

fn all_of(space: SpaceId) -> RangeInclusive<Place> {
    (space, Epoch(0))..=(space, Epoch(u64::MAX))
}

impl Stale {
    fn note(&mut self, place: Place, gone: u64, closed: bool) {
        let debt = self.debts.entry(place).or_insert(Debt { gone: 0, look: 1 });
        debt.gone += gone;
        if closed && debt.gone >= debt.look {
            self.due.insert(place);
        }
    }

    /// The list was too long for what is stale in it: it is looked at again when twice as much is.
    fn put_off(&mut self, job: &Job) {
        let debt = self.debts.entry(job.place).or_insert(Debt { gone: 0, look: 1 });
        debt.gone += job.gone;
        debt.look = debt.gone * 2;
        self.due.remove(&job.place);
    }

    /// The rows of `upper` lie in `lower` now, and no epoch of `lower` that it had is open any more.
    pub(crate) fn merge(&mut self, upper: SpaceId, lower: SpaceId) {
        let (moving, due) = self.forget(upper);
        self.due.extend(self.debts.range(all_of(lower)).map(|(place, _)| *place));
        self.debts.extend(moving.into_iter().map(|((_, epoch), debt)| ((lower, epoch), debt)));
        self.due.extend(due.into_iter().map(|(_, epoch)| (lower, epoch)));
    }

    /// The space has gone. Answers what was known about it.
    pub(crate) fn forget(&mut self, space: SpaceId) -> (Vec<(Place, Debt)>, Vec<Place>) {
        let debts: Vec<_> = self.debts.range(all_of(space)).map(|(p, d)| (*p, *d)).collect();
        let due: Vec<_> = self.due.range(all_of(space)).copied().collect();
        for (place, _) in &debts {
            self.debts.remove(place);
            self.due.remove(place);
        }
        (debts, due)
    }

    fn take_job(&mut self) -> Option<Job> {
        if self.job.is_none() {
            let place = self.due.pop_first()?;
            let gone = self.debts.remove(&place).map_or(0, |debt| debt.gone);
            let next = touched_row(place.0, place.1, 0);
            let room = gone.saturating_mul(READ_PER_GONE).max(SMALL_LIST);
            self.job = Some(Job { place, gone, next, room: Some(room) });
        }
        self.job.take()
    }
}

impl History {
    /// A version row that was born in `birth` has gone from `space`.
    pub(crate) fn note_gone(&mut self, space: SpaceId, birth: Epoch) {
        let closed = self.is_closed((space, birth));
        self.stale.note((space, birth), 1, closed);
    }

    /// The epoch that was open is closed: nothing is added to its list any more.
    pub(crate) fn note_closed(&mut self, space: SpaceId, epoch: Epoch) {
        if self.stale.debts.contains_key(&(space, epoch)) {
            self.stale.note((space, epoch), 0, true);
        }
    }

    fn is_closed(&self, (space, epoch): Place) -> bool {
        self.tree.get(space).is_some_and(|found| epoch < found.open)
    }

    /// Takes stale entries out of touched lists, about `budget` rows at a time; `true` while there may be more.
    ///
    /// # Errors
    /// A row could not be read.
    pub fn thin_touched(&mut self, batch: &mut Batch, budget: usize) -> Result<bool> {
        if let Some(job) = self.stale.take_job() {
            self.stale.job = self.thin_list(batch, job)?;
            return Ok(true);
        }
        self.sweep_touched(batch, budget)
    }

    /// One step on one list; answers what is left to do.
    fn thin_list(&mut self, batch: &mut Batch, mut job: Job) -> Result<Option<Job>> {
        let (_, to) = row_range(prefix::TOUCHED, &[job.place.0.0, job.place.1.0]);
        let part = self.next_part(&job.next, &to)?;
        match (part, job.room) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                job.room = None;
                job.next = touched_row(job.place.0, job.place.1, 0);
            }
            (Some(part), Some(room)) => {
                let Some(rest) = room.checked_sub(part.keys.len() as u64) else {
                    self.stale.put_off(&job);
                    return Ok(None);
                };
                job.room = Some(rest);
                job.next = part.next;
            }
            (Some(part), None) => {
                self.thin_part(batch, &part)?;
                job.next = part.next;
            }
        }
        Ok(Some(job))
    }

    fn sweep_touched(&mut self, batch: &mut Batch, budget: usize) -> Result<bool> {
        let (begin, to) = row_range(prefix::TOUCHED, &[]);
        let mut from = match std::mem::take(&mut self.stale.sweep) {
            Sweep::Begin => begin,
            Sweep::At(from) => from,
            Sweep::Done => {
                self.stale.sweep = Sweep::Done;
                return Ok(false);
            }
        };
        let mut looked_up = 0;
        while looked_up < budget {
            let Some(part) = self.next_part(&from, &to)? else {
                self.stale.sweep = Sweep::Done;
                return Ok(true);
            };
            let (read, stale) = self.estimate(&part)?;
            looked_up += 1 + read;
            if !self.is_closed(part.place) {
                // Commits go on adding to it, so it waits; and nobody else remembers what is stale in it.
                self.stale.note(part.place, stale, false);
            } else if stale * 4 >= part.keys.len() as u64 {
                looked_up += part.keys.len();
                self.thin_part(batch, &part)?;
            }
            from = part.next;
        }
        self.stale.sweep = Sweep::At(from);
        Ok(true)
    }

    /// The next rows of one list, with at most as many keys as fit one row. A damaged row is passed over: fsck names it.
    fn next_part(&self, from: &[u8], to: &[u8]) -> Result<Option<Part>> {
        let mut part: Option<Part> = None;
        for row in self.kv.range(from, to) {
            let (row, value) = row?;
            let Some([space, epoch, _]) = parse_row::<3>(&row) else { continue };
            let Some(keys) = decode_keys(&value) else { continue };
            let place = (SpaceId(space), Epoch(epoch));
            let found = part.get_or_insert(Part {
                place,
                rows: Vec::new(),
                keys: Vec::new(),
                next: vec![],
            });
            let fits = found.rows.is_empty() || found.keys.len() + keys.len() <= ROW_KEYS;
            if found.place != place || !fits {
                break;
            }
            found.keys.extend(keys);
            found.next = behind(&row);
            found.rows.push(row.to_vec());
        }
        Ok(part)
    }

    fn has_version(&self, (space, epoch): Place, key: Key) -> Result<bool> {
        Ok(self.kv.get(&version_row(space, key, epoch))?.is_some())
    }

    /// How many names were looked up, and about how many of the part are stale: those whose version is not there, and those that
    /// an earlier one repeats.
    fn estimate(&self, part: &Part) -> Result<(usize, u64)> {
        let names: BTreeSet<_> = part.keys.iter().collect();
        let step = if names.len() as u64 <= SMALL_LIST { 1 } else { names.len().div_ceil(SAMPLE) };
        let (mut seen, mut gone) = (0, 0);
        for key in names.iter().step_by(step) {
            seen += 1;
            gone += usize::from(!self.has_version(part.place, **key)?);
        }
        let gone = (names.len() * gone).div_ceil(seen.max(1));
        Ok((seen, (part.keys.len() - names.len() + gone) as u64))
    }

    /// Writes the part again as one row: each key once, and only where its version is there.
    fn thin_part(&self, batch: &mut Batch, part: &Part) -> Result<()> {
        let mut kept = BTreeSet::new();
        for key in &part.keys {
            if !kept.contains(key) && self.has_version(part.place, *key)? {
                kept.insert(*key);
            }
        }
        if kept.len() == part.keys.len() && part.rows.len() == 1 {
            return Ok(());
        }
        let kept: Vec<_> = kept.into_iter().collect();
        for (n, row) in part.rows.iter().enumerate() {
            if n == 0 && !kept.is_empty() {
                batch.put(row.clone(), encode_keys(&kept));
            } else {
                batch.delete(row.clone());
            }
        }
        Ok(())
    }
}

/// The first key behind this row.
fn behind(row: &[u8]) -> Vec<u8> {
    let mut next = row.to_vec();
    next.push(0);
    next
}
