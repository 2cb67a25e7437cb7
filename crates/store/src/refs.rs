//! Applies born and freed block references to the extent table, and sums what each segment keeps alive.
//!
//! Works on one batch at a time: rows are read once, changed in memory, and put at the end. A new extent whose blocks all
//! died before the commit never gets a row.

use crate::error::{Result, StoreError};
use crate::extents::{ExtentRow, extent_row, shared_row};
use crate::shared::Shared;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tintype_history::Output;
use tintype_history::codec::{Bytes, put_varint};
use tintype_kv::Batch;
use tintype_segments::{Place, SegmentId, Stored};

/// Row prefix of segment sums.
pub const SEGMENT: u8 = b'N';

/// Row key of a segment's sum.
pub fn segment_row(segment: SegmentId) -> Vec<u8> {
    let mut key = vec![SEGMENT];
    key.extend_from_slice(&segment.0.to_be_bytes());
    key
}

/// Bytes that live extents keep in each segment.
pub type SegmentSums = BTreeMap<SegmentId, u64>;

/// Changes of one batch.
pub struct RefChanges<'s> {
    shared: &'s Shared,
    rows: HashMap<u64, Work>,
    counts: HashMap<(u64, u16), u64>,
}

struct Work {
    row: ExtentRow,
    /// Segment and live bytes as they are summed now.
    before: Option<(SegmentId, u64)>,
    new: bool,
}

impl<'s> RefChanges<'s> {
    /// No changes yet; `new` are the extents that this commit brings.
    pub fn new(shared: &'s Shared, new: impl Iterator<Item = (u64, Stored)>) -> Self {
        let rows = new
            .map(|(extent, stored)| {
                let row = ExtentRow { live: 0, shared: 0, stored };
                (extent, Work { row, before: None, new: true })
            })
            .collect();
        Self { shared, rows, counts: HashMap::new() }
    }

    /// Adds what a commit or a reclaim step says; born references first.
    ///
    /// # Errors
    /// A row could not be read, is damaged or is missing.
    pub fn apply(&mut self, output: &Output) -> Result<()> {
        for run in &output.born {
            for index in run.first..run.first.saturating_add(run.len) {
                self.born(run.extent, index)?;
            }
        }
        for run in &output.freed {
            for index in run.first..run.first.saturating_add(run.len) {
                self.freed(run.extent, index)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, extent: u64) -> Result<&mut Work> {
        if !self.rows.contains_key(&extent) {
            let row = self
                .shared
                .extents
                .exact(&*self.shared.kv, extent)?
                .ok_or(StoreError::Damaged { what: "extent", id: extent })?;
            let before = place(&row);
            self.rows.insert(extent, Work { row, before, new: false });
        }
        self.rows.get_mut(&extent).ok_or(StoreError::Damaged { what: "extent", id: extent })
    }

    fn born(&mut self, extent: u64, index: u16) -> Result<()> {
        let bit = bit(index);
        let work = self.row(extent)?;
        if work.row.live & bit == 0 {
            work.row.live |= bit;
            return Ok(());
        }
        let known = work.row.shared & bit != 0;
        work.row.shared |= bit;
        let count = self.count(extent, index, known)?;
        self.counts.insert((extent, index), count + 1);
        Ok(())
    }

    fn freed(&mut self, extent: u64, index: u16) -> Result<()> {
        let bit = bit(index);
        let work = self.row(extent)?;
        if work.row.shared & bit == 0 {
            work.row.live &= !bit;
            return Ok(());
        }
        let count = self.count(extent, index, true)?.saturating_sub(1);
        if count == 0 {
            self.row(extent)?.row.shared &= !bit;
        }
        self.counts.insert((extent, index), count);
        Ok(())
    }

    fn count(&self, extent: u64, index: u16, stored: bool) -> Result<u64> {
        if let Some(count) = self.counts.get(&(extent, index)) {
            return Ok(*count);
        }
        if !stored {
            return Ok(0);
        }
        let value = self.shared.kv.get(&shared_row(extent, index))?;
        value
            .and_then(|value| Bytes(&value).varint())
            .ok_or(StoreError::Damaged { what: "shared block", id: extent })
    }

    /// Puts all rows and sums into the batch.
    pub fn finish(self, batch: &mut Batch, sums: &mut SegmentSums) {
        let mut touched = BTreeMap::new();
        for ((extent, index), count) in self.counts {
            let key = shared_row(extent, index);
            if count == 0 {
                batch.delete(key);
            } else {
                let mut value = Vec::new();
                put_varint(&mut value, count);
                batch.put(key, value);
            }
        }
        for (extent, work) in self.rows {
            if let Some((segment, bytes)) = work.before {
                let sum = sums.entry(segment).or_insert(0);
                *sum = sum.saturating_sub(bytes);
                touched.insert(segment, ());
            }
            if work.row.live == 0 {
                if !work.new {
                    batch.delete(extent_row(extent));
                }
                self.shared.extents.forget(extent);
                continue;
            }
            if let Some((segment, bytes)) = place(&work.row) {
                *sums.entry(segment).or_insert(0) += bytes;
                touched.insert(segment, ());
            }
            let row = self.shared.tightened(extent, work.row);
            batch.put(extent_row(extent), row.to_bytes());
            self.shared.extents.put(extent, Arc::new(row));
        }
        for segment in touched.into_keys() {
            put_sum(batch, sums, segment);
        }
    }
}

/// Writes one segment's sum.
pub fn put_sum(batch: &mut Batch, sums: &mut SegmentSums, segment: SegmentId) {
    match sums.get(&segment).copied() {
        Some(bytes) if bytes > 0 => {
            let mut value = Vec::new();
            put_varint(&mut value, bytes);
            batch.put(segment_row(segment), value);
        }
        _ => {
            sums.remove(&segment);
            batch.delete(segment_row(segment));
        }
    }
}

/// Which segment a row keeps how many bytes of.
pub fn place(row: &ExtentRow) -> Option<(SegmentId, u64)> {
    match row.stored.place {
        Place::At { segment, .. } => Some((segment, row.live_bytes())),
        Place::Inline(_) => None,
    }
}

fn bit(index: u16) -> u32 {
    1u32.checked_shl(index.into()).unwrap_or(0)
}
