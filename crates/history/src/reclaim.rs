//! Reclaim: carries out the due work of the tree in bounded steps.
//!
//! Each step fills one batch that the caller writes atomically. A step that is repeated after a crash finds
//! the rows of the finished steps gone and goes on. Nothing here decides *what* is due: [`crate::tree`] does.

use crate::codec::{
    Dead, decode_dead, decode_keys, decode_record, parse_row, parse_version_row, prefix,
    record_bytes, row_range, space_row, version_row,
};
use crate::error::{HistoryError, Result};
use crate::history::{BLOCK_BYTES, Blocks, History, Output, RunBuilder, blocks};
use crate::tombstones::Gone;
use crate::tree::Work;
use crate::types::{Epoch, Key, Point, Record, SpaceId};
use std::collections::BTreeSet;
use tintype_kv::{Batch, Kv};

impl History {
    /// Work that is known to be due.
    #[must_use]
    pub fn due(&self) -> usize {
        self.queue.len()
    }

    /// Does a part of the due work: about `budget` rows. `false`: nothing is due.
    ///
    /// # Errors
    /// A row could not be read or is damaged.
    pub fn step(&mut self, batch: &mut Batch, budget: usize, output: &mut Output) -> Result<bool> {
        let Some(work) = self.queue.first().copied() else { return Ok(false) };
        self.moved.shape.insert(work.space());
        let finished = match work {
            Work::Cell { space, death, birth } => {
                self.free_cell(batch, space, death, birth, budget, output)?
            }
            Work::CutBack { space, after } => self.cut_back(batch, space, after, budget, output)?,
            Work::Drop { space } => self.drop_space(batch, space, budget, output)?,
        };
        self.flush_cells(batch);
        if finished {
            self.queue.remove(&work);
            let structural = !matches!(work, Work::Cell { .. });
            if structural || (self.queue.is_empty() && self.deep) {
                self.recount();
            }
        }
        Ok(true)
    }

    fn free_cell(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        death: Epoch,
        birth: Epoch,
        budget: usize,
        output: &mut Output,
    ) -> Result<bool> {
        let (from, to) = row_range(prefix::DEAD, &[space.0, death.0, birth.0]);
        let rows: Vec<_> = self.kv.range(&from, &to).take(budget.div_ceil(64).max(1) + 1).collect();
        let last = rows.len() <= budget.div_ceil(64).max(1);
        let owner = self.tree.owner(space, birth);
        let mut freed = 0;
        let mut gone = Gone::default();
        for row in rows.into_iter().take(budget.div_ceil(64).max(1)) {
            let (row_key, value) = row?;
            let items = decode_dead(&value).ok_or_else(|| damaged("dead list", &row_key))?;
            for item in items {
                freed += self.free_item(batch, owner, birth, item, &mut gone, output)?;
            }
            batch.delete(row_key);
        }
        for (_, space, birth) in self.trim_tombstones(batch, gone)?.rows {
            self.note_gone(space, birth);
        }
        output.freed_bytes += freed;
        self.add_dead(space, death, birth, -freed.cast_signed());
        if owner != space {
            self.add_alive(owner, birth, -freed.cast_signed());
        }
        if last {
            let rest = self.tree.get(space).map_or(0, |s| s.cells.dead(death, birth));
            self.add_dead(space, death, birth, -rest.cast_signed());
        }
        Ok(last)
    }

    fn free_item(
        &self,
        batch: &mut Batch,
        owner: SpaceId,
        birth: Epoch,
        item: Dead,
        gone: &mut Gone,
        output: &mut Output,
    ) -> Result<u64> {
        match item {
            Dead::Blocks { extent, first, len } => {
                output.freed.push(Blocks { extent, first, len });
                Ok(u64::from(len) * BLOCK_BYTES)
            }
            Dead::Version(key) => {
                let row = version_row(owner, key, birth);
                let Some(value) = self.kv.get(&row)? else { return Ok(0) };
                let record =
                    decode_record(birth, &value).ok_or_else(|| damaged("version", &row))?;
                batch.delete(row);
                gone.insert((key, owner, birth), record.as_ref().is_some_and(|found| found.over));
                Ok(record.as_ref().map_or(0, record_bytes))
            }
        }
    }

    fn cut_back(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        after: Epoch,
        budget: usize,
        output: &mut Output,
    ) -> Result<bool> {
        let (_, to) = row_range(prefix::TOUCHED, &[space.0]);
        let (from, _) = row_range(prefix::TOUCHED, &[space.0, after.0.saturating_add(1)]);
        let rows = budget.div_ceil(1024).max(1);
        let touched: Vec<_> = self.kv.range(&from, &to).take(rows).collect();
        let mut gone = BTreeSet::new();
        let more = !touched.is_empty();
        for row in touched {
            let (row_key, value) = row?;
            let [_, epoch, _] =
                parse_row::<3>(&row_key).ok_or_else(|| damaged("touched row", &row_key))?;
            let keys = decode_keys(&value).ok_or_else(|| damaged("touched row", &row_key))?;
            for key in keys {
                if gone.insert((key, epoch)) {
                    self.cut_version(batch, space, key, Epoch(epoch), after, output)?;
                }
            }
            batch.delete(row_key);
        }
        if more {
            return Ok(false);
        }
        self.revive(batch, space, after, budget)
    }

    /// Removes one version behind the cut, with the data that was born behind it.
    fn cut_version(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        key: Key,
        birth: Epoch,
        after: Epoch,
        output: &mut Output,
    ) -> Result<()> {
        let row = version_row(space, key, birth);
        let Some(value) = self.kv.get(&row)? else { return Ok(()) };
        let record = decode_record(birth, &value).ok_or_else(|| damaged("version", &row))?;
        batch.delete(row);
        if let Some(record) = record {
            self.drop_record(space, &record, after, output);
        }
        Ok(())
    }

    fn drop_record(&mut self, space: SpaceId, record: &Record, after: Epoch, output: &mut Output) {
        let bytes = record_bytes(record);
        output.freed_bytes += bytes;
        self.add_alive(space, record.birth, -bytes.cast_signed());
        let mut runs = RunBuilder::default();
        for (_, block) in blocks(&record.pieces) {
            if block.2 > after {
                runs.push(block);
            }
        }
        for (run, birth) in runs.finish() {
            let bytes = u64::from(run.len) * BLOCK_BYTES;
            output.freed_bytes += bytes;
            output.freed.push(run);
            let owner = self.tree.owner(space, birth);
            self.add_alive(owner, birth, -bytes.cast_signed());
        }
    }

    /// Deaths behind the cut did not happen: forgets their lists and moves their bytes back.
    fn revive(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        after: Epoch,
        budget: usize,
    ) -> Result<bool> {
        let (_, to) = row_range(prefix::DEAD, &[space.0]);
        let (from, _) = row_range(prefix::DEAD, &[space.0, after.0.saturating_add(1)]);
        if self.delete_rows(batch, &from, &to, budget)? {
            return Ok(false);
        }
        let Some(found) = self.tree.get(space) else { return Ok(true) };
        let fork = found.parent.map_or(Epoch(0), |parent| parent.epoch);
        let undone: Vec<_> = found.cells.dead_after(after).collect();
        let stray: Vec<_> = found.cells.alive_after(after).collect();
        for (birth, bytes) in stray {
            self.add_alive(space, birth, -bytes.cast_signed());
        }
        for (death, birth, bytes) in undone {
            self.add_dead(space, death, birth, -bytes.cast_signed());
            if birth > fork && birth <= after {
                self.add_alive(space, birth, bytes.cast_signed());
            }
        }
        Ok(true)
    }

    /// Deletes up to `budget` rows; `true` when some were found.
    fn delete_rows(
        &self,
        batch: &mut Batch,
        from: &[u8],
        to: &[u8],
        budget: usize,
    ) -> Result<bool> {
        let mut found = false;
        for row in self.kv.range(from, to).take(budget.max(1)) {
            batch.delete(row?.0);
            found = true;
        }
        Ok(found)
    }

    fn drop_space(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        budget: usize,
        output: &mut Output,
    ) -> Result<bool> {
        let floor = self.tree.drop_floor(space);
        let (from, to) = row_range(prefix::VERSION, &[space.0]);
        let rows: Vec<_> = self.kv.range(&from, &to).take(budget.max(1)).collect();
        let more = !rows.is_empty();
        for row in rows {
            let (row_key, value) = row?;
            let (_, _, birth) =
                parse_version_row(&row_key).ok_or_else(|| damaged("version", &row_key))?;
            let record =
                decode_record(birth, &value).ok_or_else(|| damaged("version", &row_key))?;
            if let Some(record) = record {
                self.drop_record(space, &record, floor, output);
            }
            batch.delete(row_key);
        }
        if more {
            return Ok(false);
        }
        for kind in [prefix::DEAD, prefix::TOUCHED, prefix::CELL] {
            let (from, to) = row_range(kind, &[space.0]);
            if self.delete_rows(batch, &from, &to, budget)? {
                return Ok(false);
            }
        }
        batch.delete(space_row(space));
        let parent = self.tree.get(space).and_then(|found| found.parent);
        self.moved.shape.extend(parent.map(|parent| parent.space));
        self.tree.remove(space);
        self.stale.forget(space);
        self.deep = true;
        Ok(true)
    }

    /// Removes touched lists that no comparison can ask for; `true` while there may be more.
    ///
    /// # Errors
    /// A row could not be read.
    pub fn trim_touched(&mut self, batch: &mut Batch, budget: usize) -> Result<bool> {
        let spaces: Vec<_> = self.tree.iter().map(|(id, _)| id).collect();
        for space in spaces {
            let Some(floor) = self.tree.touched_floor(space) else { continue };
            let (from, _) = row_range(prefix::TOUCHED, &[space.0]);
            let (to, _) = row_range(prefix::TOUCHED, &[space.0, floor.0.saturating_add(1)]);
            if self.delete_rows(batch, &from, &to, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every key that may differ between two points, sorted, each once. `None`: the two
    /// have no common history.
    ///
    /// # Errors
    /// A row could not be read or is damaged.
    pub fn touched(&self, a: Point, b: Point) -> Result<Option<Vec<Key>>> {
        let Some(parts) = self.touched_parts(a, b) else { return Ok(None) };
        let mut keys = BTreeSet::new();
        visit_touched(&*self.kv, &parts, &mut |key| keys.extend([key]))?;
        Ok(Some(keys.into_iter().collect()))
    }

    /// Where the keys that may differ between two points are listed. `None`: the two have no common history.
    #[must_use]
    pub fn touched_parts(&self, a: Point, b: Point) -> Option<Vec<TouchedPart>> {
        let (chain_a, chain_b) = (self.tree.chain(a), self.tree.chain(b));
        let (index_a, index_b) = meeting(&chain_a, &chain_b)?;
        let (meet_a, meet_b) = (chain_a.get(index_a)?, chain_b.get(index_b)?);
        let common = meet_a.epoch.min(meet_b.epoch);
        let mut parts = Vec::new();
        for (chain, index) in [(&chain_a, index_a), (&chain_b, index_b)] {
            let own = |part: &Point| TouchedPart { upto: *part, after: Epoch(0) };
            parts.extend(chain.iter().take(index).map(own));
            parts.extend(chain.get(index).map(|part| TouchedPart { upto: *part, after: common }));
        }
        Some(parts)
    }
}

/// Epochs of one space whose touched lists a comparison reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedPart {
    upto: Point,
    after: Epoch,
}

/// Tells the keys that these lists hold; one may come several times, in any order. No merge may go on meanwhile.
///
/// # Errors
/// A row could not be read or is damaged.
pub fn visit_touched(kv: &dyn Kv, parts: &[TouchedPart], visit: &mut dyn FnMut(Key)) -> Result<()> {
    for TouchedPart { upto, after } in parts {
        let (from, _) = row_range(prefix::TOUCHED, &[upto.space.0, after.0.saturating_add(1)]);
        let (_, to) = row_range(prefix::TOUCHED, &[upto.space.0, upto.epoch.0]);
        for row in kv.range(&from, &to) {
            let (row_key, value) = row?;
            let keys = decode_keys(&value).ok_or_else(|| damaged("touched row", &row_key))?;
            keys.into_iter().for_each(&mut *visit);
        }
    }
    Ok(())
}

/// The first space that both chains visit, as its index in each.
fn meeting(a: &[Point], b: &[Point]) -> Option<(usize, usize)> {
    a.iter().enumerate().find_map(|(index_a, part)| {
        let index_b = b.iter().position(|other| other.space == part.space)?;
        Some((index_a, index_b))
    })
}

pub(crate) fn damaged(what: &'static str, row: &[u8]) -> HistoryError {
    HistoryError::Damaged { what, detail: format!("row {row:02x?}") }
}
