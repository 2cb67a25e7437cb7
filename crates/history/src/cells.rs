//! Sparse sums of accounted bytes by (birth, death), one table per space, in memory.
//!
//! The rows on disk hold the same numbers; this is their index. A cell with a real death counts items
//! that died in this space's epochs (own or inherited); `alive` counts this space's own items that no
//! death *recorded in this space* has taken. Knows nothing of points.

use crate::types::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The table of one space.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    by_birth: BTreeMap<(Epoch, Epoch), u64>,
    by_death: BTreeSet<(Epoch, Epoch)>,
    alive: BTreeMap<Epoch, u64>,
    dead_sum: u64,
    alive_sum: u64,
}

impl Cells {
    /// Bytes that died in `death` and were born in `birth`.
    #[must_use]
    pub fn dead(&self, death: Epoch, birth: Epoch) -> u64 {
        self.by_birth.get(&(birth, death)).copied().unwrap_or(0)
    }

    /// Sets a cell; zero removes it.
    pub fn set_dead(&mut self, death: Epoch, birth: Epoch, bytes: u64) {
        let old = if bytes == 0 {
            self.by_death.remove(&(death, birth));
            self.by_birth.remove(&(birth, death))
        } else {
            self.by_death.insert((death, birth));
            self.by_birth.insert((birth, death), bytes)
        };
        self.dead_sum = self.dead_sum.wrapping_add(bytes).wrapping_sub(old.unwrap_or(0));
    }

    /// Bytes born in `birth` and alive at this space's end.
    #[must_use]
    pub fn alive(&self, birth: Epoch) -> u64 {
        self.alive.get(&birth).copied().unwrap_or(0)
    }

    /// Sets the alive bytes of an epoch; zero removes the entry.
    pub fn set_alive(&mut self, birth: Epoch, bytes: u64) {
        let old =
            if bytes == 0 { self.alive.remove(&birth) } else { self.alive.insert(birth, bytes) };
        self.alive_sum = self.alive_sum.wrapping_add(bytes).wrapping_sub(old.unwrap_or(0));
    }

    /// All alive entries born above `after`.
    pub fn alive_after(&self, after: Epoch) -> impl Iterator<Item = (Epoch, u64)> + '_ {
        self.alive
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(birth, bytes)| (*birth, *bytes))
    }

    /// All cells as (death, birth, bytes).
    pub fn all_dead(&self) -> impl Iterator<Item = (Epoch, Epoch, u64)> + '_ {
        self.by_birth.iter().map(|((birth, death), bytes)| (*death, *birth, *bytes))
    }

    /// Cells with death above `after`, as (death, birth, bytes).
    pub fn dead_after(&self, after: Epoch) -> impl Iterator<Item = (Epoch, Epoch, u64)> + '_ {
        self.by_death
            .range((Bound::Excluded((after, Epoch(u64::MAX))), Bound::Unbounded))
            .map(|(death, birth)| (*death, *birth, self.dead(*death, *birth)))
    }

    /// Cells with `low < birth <= high_birth` and `low_death < death <= high_death`.
    ///
    /// Cost: the smaller of the numbers of births and deaths in the ranges, plus the answer.
    #[must_use]
    pub fn between(
        &self,
        low: Epoch,
        high_birth: Epoch,
        low_death: Epoch,
        high_death: Epoch,
    ) -> Vec<(Epoch, Epoch, u64)> {
        let births = high_birth.0.saturating_sub(low.0);
        let deaths = high_death.0.saturating_sub(low_death.0);
        if births <= deaths {
            self.scan_births(low, high_birth, low_death, high_death)
        } else {
            self.scan_deaths(low, high_birth, low_death, high_death)
        }
    }

    fn scan_births(
        &self,
        low: Epoch,
        high_birth: Epoch,
        low_death: Epoch,
        high_death: Epoch,
    ) -> Vec<(Epoch, Epoch, u64)> {
        let mut found = Vec::new();
        let mut from = Bound::Excluded((low, Epoch(u64::MAX)));
        // Jump from birth to birth; inside a birth read only the wanted deaths.
        while let Some(((birth, _), _)) = self.by_birth.range((from, Bound::Unbounded)).next() {
            let birth = *birth;
            if birth > high_birth {
                break;
            }
            let row = self
                .by_birth
                .range((Bound::Excluded((birth, low_death)), Bound::Included((birth, high_death))));
            found.extend(row.map(|((b, d), bytes)| (*d, *b, *bytes)));
            from = Bound::Excluded((birth, Epoch(u64::MAX)));
        }
        found
    }

    fn scan_deaths(
        &self,
        low: Epoch,
        high_birth: Epoch,
        low_death: Epoch,
        high_death: Epoch,
    ) -> Vec<(Epoch, Epoch, u64)> {
        let mut found = Vec::new();
        let mut from = Bound::Excluded((low_death, Epoch(u64::MAX)));
        while let Some((death, _)) = self.by_death.range((from, Bound::Unbounded)).next() {
            let death = *death;
            if death > high_death {
                break;
            }
            let row = self
                .by_death
                .range((Bound::Excluded((death, low)), Bound::Included((death, high_birth))));
            found.extend(row.map(|(d, b)| (*d, *b, self.dead(*d, *b))));
            from = Bound::Excluded((death, Epoch(u64::MAX)));
        }
        found
    }

    /// Number of cells, alive ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_birth.len()
    }

    /// No cell and nothing alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_birth.is_empty() && self.alive.is_empty()
    }

    /// Sum of what is alive and was born up to `birth`.
    #[must_use]
    pub fn alive_upto(&self, birth: Epoch) -> u64 {
        self.alive.range(..=birth).map(|(_, bytes)| bytes).sum()
    }

    /// Sum of the cells born up to `birth`: cost is their number.
    #[must_use]
    pub fn dead_upto(&self, birth: Epoch) -> u64 {
        self.by_birth.range(..=(birth, Epoch(u64::MAX))).map(|(_, bytes)| bytes).sum()
    }

    /// Sum of all alive entries.
    #[must_use]
    pub fn alive_total(&self) -> u64 {
        self.alive_sum
    }

    /// Sum of all cells, inherited items included.
    #[must_use]
    pub fn dead_total(&self) -> u64 {
        self.dead_sum
    }
}
