//! Pairs of moments that are kept for a while, also across restarts: for comparisons that are read in pages.
//!
//! Row `M h NAME` = two points and a time. A hold is a name in the tree, as a pin is, and no list of snapshots shows it; other than a pin it
//! has a row, so whoever opens the store after a crash finds it again. It ends when it is let go or when its time is over, and what it alone
//! kept goes then. Predictions leave holds out, as they do pins.

use crate::error::{Result, StoreError};
use crate::meta::META;
use crate::pins::{Fixed, sealed_points};
use crate::room::Aim;
use crate::store::{Core, MomentRef, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tintype_history::{Epoch, Point, SpaceId};
use tintype_kv::{Batch, Kv};

/// Second byte of the key.
pub(crate) const HOLD: u8 = b'h';
/// Longest name in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Two moments that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) points: [Point; 2],
    pub(crate) until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Row {
    /// Space and epoch of each.
    points: [(u64, u64); 2],
    until: Timestamp,
}

impl From<&Hold> for Row {
    fn from(hold: &Hold) -> Self {
        let points = hold.points.map(|point| (point.space.0, point.epoch.0));
        Self { points, until: hold.until }
    }
}

impl From<Row> for Hold {
    fn from(row: Row) -> Self {
        let point = |(space, epoch)| Point { space: SpaceId(space), epoch: Epoch(epoch) };
        Self { points: row.points.map(point), until: row.until }
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged { what: "hold", id: 0 }
}

/// All of them.
pub(crate) fn load(kv: &dyn Kv) -> Result<BTreeMap<String, Hold>> {
    let mut found = BTreeMap::new();
    for row in kv.range(&[META, HOLD], &[META, HOLD + 1]) {
        let (key, value) = row?;
        let (name, row) = read(&key, &value).ok_or_else(damaged)?;
        found.insert(name, row.into());
    }
    Ok(found)
}

fn read(key: &[u8], value: &[u8]) -> Option<(String, Row)> {
    let name = std::str::from_utf8(key.get(2..)?).ok()?;
    Some((name.to_owned(), serde_json::from_slice(value).ok()?))
}

/// Whether [`load`] can read this row.
pub(crate) fn is_sound(key: &[u8], value: &[u8]) -> bool {
    read(key, value).is_some()
}

fn key(name: &str) -> Vec<u8> {
    [&[META, HOLD], name.as_bytes()].concat()
}

impl Core {
    fn put_hold(&mut self, batch: &mut Batch, name: &str, hold: Hold) -> Result<()> {
        batch.put(key(name), serde_json::to_vec(&Row::from(&hold)).map_err(|_| damaged())?);
        self.catalog.holds.insert(name.to_owned(), hold);
        Ok(())
    }

    /// A space became part of another.
    pub(crate) fn rename_holds(
        &mut self,
        batch: &mut Batch,
        upper: SpaceId,
        lower: SpaceId,
    ) -> Result<()> {
        let on_upper = |hold: &Hold| hold.points.iter().any(|point| point.space == upper);
        let found: Vec<(String, Hold)> = self
            .catalog
            .holds
            .iter()
            .filter(|(_, hold)| on_upper(hold))
            .map(|(name, hold)| (name.clone(), *hold))
            .collect();
        for (name, mut hold) in found {
            for point in hold.points.iter_mut().filter(|point| point.space == upper) {
                point.space = lower;
            }
            self.put_hold(batch, &name, hold)?;
        }
        Ok(())
    }

    /// Spaces that holds stand on.
    pub(crate) fn held_spaces(&self) -> BTreeSet<SpaceId> {
        let holds = self.catalog.holds.values();
        holds.flat_map(|hold| hold.points.map(|point| point.space)).collect()
    }
}

impl Store {
    /// Keeps two moments as they are now until that time, under a name; durable on return. Everything that reached a line before the
    /// call is in it. Live ones are taken at the same instant.
    ///
    /// # Errors
    /// A moment does not exist, the name is taken or unfit, [`StoreError::Unrelated`], or the store failed.
    pub fn hold(&self, name: &str, a: MomentRef, b: MomentRef, until: Timestamp) -> Result<()> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(StoreError::Invalid { what: format!("name of a hold {name:?}") });
        }
        let guard = self.commit.lock();
        self.shared.check()?;
        let ends = self.plan_ends(&guard, &[a, b], Aim::Make)?;
        self.commit_for(&guard, &ends.next, Aim::Make, |core, batch| {
            let points = sealed_points(core, &ends.sealed, [a, b])?;
            if core.catalog.holds.contains_key(name) {
                return Err(StoreError::Exists { what: format!("hold {name}") });
            }
            let [first, second] = points;
            core.history.touched_parts(first, second).ok_or(StoreError::Unrelated)?;
            core.put_hold(batch, name, Hold { points, until })?;
            points.into_iter().for_each(|point| core.history.add_name(point));
            Ok(())
        })
    }

    /// The moments that a hold keeps, which then stay until the answer is dropped; none when its time is over.
    #[must_use]
    pub fn held(&self, name: &str, now: Timestamp) -> Option<Fixed<'_>> {
        let mut core = self.core();
        let hold = core.catalog.holds.get(name).copied().filter(|hold| now < hold.until)?;
        Some(self.fixed(&mut core, hold.points))
    }

    /// Names of all holds, with their ends.
    #[must_use]
    pub fn all_holds(&self) -> Vec<(String, Timestamp)> {
        let core = self.core();
        core.catalog.holds.iter().map(|(name, hold)| (name.clone(), hold.until)).collect()
    }

    /// Ends these holds; those that are gone already are passed over. Durable on return.
    ///
    /// # Errors
    /// The store failed.
    pub fn let_go(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let guard = self.commit.lock();
        self.run_freeing(&guard, |core, batch| {
            let mut points = Vec::new();
            for name in names {
                if let Some(hold) = core.catalog.holds.remove(name) {
                    batch.delete(key(name));
                    points.extend(hold.points);
                }
            }
            if !points.is_empty() {
                core.history.remove_names(&points);
            }
            (core.trim, core.merge_due) = (true, true);
            Ok(())
        })?;
        drop(guard);
        self.tidy_soon();
        Ok(())
    }

    /// Ends the holds whose time is over.
    ///
    /// # Errors
    /// The store failed.
    pub fn let_go_over(&self, now: Timestamp) -> Result<()> {
        let over: Vec<String> = self
            .all_holds()
            .into_iter()
            .filter(|(_, until)| *until <= now)
            .map(|(name, _)| name)
            .collect();
        self.let_go(&over)
    }
}
