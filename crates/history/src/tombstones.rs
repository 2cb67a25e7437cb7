//! Tombstones that nobody needs any more: they go with the versions that reclaim removes beside them.
//!
//! A tombstone is in no sum and in no dead list, so nothing else would ever find it. It serves a reader whose newest version it is and
//! for whom something lies below. So it goes when nothing lies below it (it is *bare*), or when no point lies between it
//! and the next version of the key in its space (it is *hidden*). Both come about when a version next to it goes or when a point
//! goes; looking beside each removed version finds all but the last one of a key, and costs no more than what is removed.

use crate::codec::{decode_record, parse_version_row, version_end, version_prefix, version_row};
use crate::error::Result;
use crate::history::History;
use crate::read;
use crate::reclaim::damaged;
use crate::types::{Epoch, Key, SpaceId};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use tintype_kv::{Batch, Pairs};

/// One version row.
type Place = (Key, SpaceId, Epoch);

/// Versions that one step has removed already, though the engine still shows them.
#[derive(Default)]
pub(crate) struct Gone {
    pub(crate) rows: BTreeSet<Place>,
    /// Those that may have had an older version below.
    over: Vec<Place>,
}

impl Gone {
    pub(crate) fn insert(&mut self, place: Place, over: bool) {
        self.rows.insert(place);
        if over {
            self.over.push(place);
        }
    }

    /// The rows of one key.
    fn clone_key(&self, key: Key) -> Self {
        let all = (key, SpaceId(0), Epoch(0))..=(key, SpaceId(u64::MAX), Epoch(u64::MAX));
        Self { rows: self.rows.range(all).copied().collect(), over: Vec::new() }
    }
}

/// A version beside a removed one.
#[derive(Clone, Copy)]
struct Beside {
    birth: Epoch,
    tombstone: bool,
}

impl History {
    /// Removes the tombstones that `gone` leaves without a reader. Answers all that is gone then.
    pub(crate) fn trim_tombstones(&self, batch: &mut Batch, gone: Gone) -> Result<Gone> {
        let mut all = self.trim_bare(batch, &gone)?;
        for place in &gone.over {
            self.trim_hidden(batch, *place, &mut all)?;
        }
        Ok(all)
    }

    /// Looks at the next older and the next newer version of one that has gone.
    fn trim_hidden(&self, batch: &mut Batch, place: Place, gone: &mut Gone) -> Result<()> {
        let (key, space, birth) = place;
        let (start, row, end) =
            (version_prefix(space, key), version_row(space, key, birth), version_end(space, key));
        let older = beside(self.kv.range(&row, &end), gone, 1)?;
        let newer = beside(self.kv.range_rev(&start, &row), gone, 2)?;
        let mut before = None;
        for next in older.into_iter().chain(newer) {
            if let Some(Beside { birth, tombstone: true }) = before.replace(next)
                && !self.tree.has_point(space, birth, next.birth)
            {
                batch.delete(version_row(space, key, birth));
                gone.rows.insert((key, space, birth));
            }
        }
        Ok(())
    }

    /// Removes tombstones below which nothing is left, in the space of each removed version and in those
    /// that are joined above it. Answers all that is gone then.
    fn trim_bare(&self, batch: &mut Batch, gone: &Gone) -> Result<Gone> {
        let mut all = Gone::default();
        let mut last = None;
        for (key, space, _) in &gone.rows {
            if last.replace((*space, *key)) == Some((*space, *key)) {
                continue;
            }
            let mut bare = gone.clone_key(*key);
            let sequence = self.tree.sequence(*space);
            let from = sequence.spaces.iter().position(|id| id == space).unwrap_or(0);
            for above in sequence.spaces.iter().take(from + 1).rev() {
                self.trim_key(batch, *above, *key, &mut bare)?;
            }
            all.rows.extend(bare.rows);
        }
        Ok(all)
    }

    fn trim_key(&self, batch: &mut Batch, space: SpaceId, key: Key, gone: &mut Gone) -> Result<()> {
        let mut bare = Vec::new();
        read::versions_oldest_first(&*self.kv, space, key, &mut |birth, value| {
            if gone.rows.contains(&(key, space, birth)) {
                return ControlFlow::Continue(());
            }
            if matches!(decode_record(birth, value), Some(None)) {
                bare.push(birth);
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        })?;
        if bare.is_empty() || self.shows_below(space, key, gone)? {
            return Ok(());
        }
        for birth in bare {
            batch.delete(version_row(space, key, birth));
            gone.rows.insert((key, space, birth));
        }
        Ok(())
    }

    /// Whether the spaces below `space` show a record of `key` at its fork, rows in `gone` left out.
    fn shows_below(&self, space: SpaceId, key: Key, gone: &Gone) -> Result<bool> {
        let Some(parent) = self.tree.get(space).and_then(|found| found.parent) else {
            return Ok(false);
        };
        for part in self.tree.chain(parent) {
            let from = version_row(part.space, key, part.epoch);
            for row in self.kv.range(&from, &version_end(part.space, key)) {
                let (row_key, value) = row?;
                let (_, _, birth) =
                    parse_version_row(&row_key).ok_or_else(|| damaged("version", &row_key))?;
                if !gone.rows.contains(&(key, part.space, birth)) {
                    return Ok(!matches!(decode_record(birth, &value), Some(None)));
                }
            }
        }
        Ok(false)
    }
}

/// The first `most` versions of these rows that have not gone.
fn beside(rows: Pairs<'_>, gone: &Gone, most: usize) -> Result<Vec<Beside>> {
    let mut found = Vec::with_capacity(most);
    for row in rows {
        let (row, value) = row?;
        let (space, key, birth) =
            parse_version_row(&row).ok_or_else(|| damaged("version", &row))?;
        if gone.rows.contains(&(key, space, birth)) {
            continue;
        }
        let tombstone = matches!(decode_record(birth, &value), Some(None));
        found.push(Beside { birth, tombstone });
        if found.len() == most {
            break;
        }
    }
    Ok(found)
}
