//! Merging joined spaces, so that reads do not walk a chain that grows with every restore.
//!
//! Two joined, headless neighbours are one history with two key prefixes. Merging rewrites the rows of the upper one under the
//! lower one's prefix, in one batch, and only when it is small: so there is no state in between. Births are global, so
//! nothing but the prefix changes. The caller keeps readers out while the batch is written, and renames points in its own rows.

use crate::codec::{ALIVE, cell_row, parse_row, prefix, row_range, space_row};
use crate::error::Result;
use crate::history::{History, encode_space};
use crate::types::SpaceId;
use bytes::Bytes;
use tintype_kv::Batch;

/// Longer sequences are merged.
const DEPTH: usize = 3;

impl History {
    /// Puts the merge of one pair into the batch, if a chain is too long and the upper space has at most
    /// `rows` rows. Answers (upper, lower).
    ///
    /// # Errors
    /// A row could not be read.
    pub fn merge(&mut self, batch: &mut Batch, rows: usize) -> Result<Option<(SpaceId, SpaceId)>> {
        if !self.queue.is_empty() {
            return Ok(None);
        }
        for (upper, lower) in self.tree.mergeable(DEPTH) {
            let Some(moving) = self.rows_of(upper, rows)? else { continue };
            for (from, value) in moving {
                if let Some(to) = under(&from, lower) {
                    batch.put(to, value);
                }
                batch.delete(from);
            }
            self.move_cells(batch, upper, lower)?;
            return Ok(Some((upper, lower)));
        }
        Ok(None)
    }

    /// Versions, dead lists and touched lists; `None`: too many.
    fn rows_of(&self, space: SpaceId, most: usize) -> Result<Option<Vec<(Bytes, Bytes)>>> {
        let mut found = Vec::new();
        for kind in [prefix::VERSION, prefix::DEAD, prefix::TOUCHED] {
            let (from, to) = row_range(kind, &[space.0]);
            for row in self.kv.range(&from, &to) {
                found.push(row?);
                if found.len() > most {
                    return Ok(None);
                }
            }
        }
        Ok(Some(found))
    }

    fn move_cells(&mut self, batch: &mut Batch, upper: SpaceId, lower: SpaceId) -> Result<()> {
        let (from, to) = row_range(prefix::CELL, &[upper.0]);
        for row in self.kv.range(&from, &to) {
            let (key, _) = row?;
            if let Some([_, death, birth]) = parse_row::<3>(&key) {
                let (death, birth) = (crate::Epoch(death), crate::Epoch(birth));
                self.dirty_cells.insert((lower, death, birth));
                self.dirty_cells.insert((lower, ALIVE, birth));
                batch.delete(cell_row(upper, death, birth));
            }
        }
        let children = self.tree.merge(upper, lower);
        self.stale.merge(upper, lower);
        self.moved.shape.extend([upper, lower]);
        batch.delete(space_row(upper));
        for id in children.into_iter().chain([lower]) {
            if let Some(space) = self.tree.get(id) {
                batch.put(space_row(id), encode_space(space));
            }
        }
        self.flush_cells(batch);
        Ok(())
    }
}

/// The same row under another space.
fn under(row: &[u8], space: SpaceId) -> Option<Vec<u8>> {
    let mut out = row.to_vec();
    out.get_mut(1..9)?.copy_from_slice(&space.0.to_be_bytes());
    Some(out)
}
