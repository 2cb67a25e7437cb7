//! Scrub: reads every extent and says which objects a damaged one hits.

use crate::error::Result;
use crate::extents::{EXTENT, ExtentRow};
use crate::shared::chain_text;
use crate::stop;
use crate::store::Store;
use std::ops::ControlFlow;
use tintype_history::codec::row_range;
use tintype_segments::{ExtentId, Owner, Place};

/// Extents read between two calls of the observer.
const CHUNK: usize = 64;

/// One damaged extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The extent.
    pub extent: u64,
    /// Its segment, unless the data lies in the records.
    pub segment: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// Whose data it is: (space, object, first block, blocks).
    pub owners: Vec<(u64, u64, u64, u32)>,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Extents read.
    pub extents: u64,
    /// Bytes of data verified.
    pub bytes: u64,
    /// What is damaged.
    pub damaged: Vec<Damage>,
}

impl Store {
    /// Reads and verifies every extent; `observe` sees the report so far and may stop it.
    ///
    /// # Errors
    /// The table of extents could not be read, the store was closed meanwhile, or nobody waits any more ([`stop`]).
    pub fn scrub(
        &self,
        observe: &mut dyn FnMut(&ScrubReport) -> ControlFlow<()>,
    ) -> Result<ScrubReport> {
        self.progress.lock().scrub_running = true;
        let report = self.scrub_all(observe);
        self.progress.lock().scrub_running = false;
        report
    }

    fn scrub_all(
        &self,
        observe: &mut dyn FnMut(&ScrubReport) -> ControlFlow<()>,
    ) -> Result<ScrubReport> {
        self.sync()?;
        let mut report = ScrubReport::default();
        let (mut from, to) = row_range(EXTENT, &[]);
        loop {
            self.shared.check_staying()?;
            stop::check()?;
            let rows: Vec<_> = self.shared.kv.range(&from, &to).take(CHUNK).collect();
            if rows.is_empty() {
                return Ok(report);
            }
            for row in rows {
                let (key, value) = row?;
                let id = key.get(1..).and_then(|id| id.try_into().ok());
                let extent = id.map_or(0, u64::from_be_bytes);
                from = key.to_vec();
                from.push(0);
                self.scrub_extent(extent, ExtentRow::from_bytes(&value), &mut report);
            }
            self.progress.lock().scrubbed_extents = report.extents;
            if observe(&report).is_break() {
                return Ok(report);
            }
        }
    }

    fn scrub_extent(&self, extent: u64, row: Option<ExtentRow>, report: &mut ScrubReport) {
        report.extents += 1;
        let Some(row) = row else {
            let what = "its table row does not decode".to_owned();
            report.damaged.push(Damage { extent, segment: None, what, owners: Vec::new() });
            return;
        };
        match self.shared.segments.read(ExtentId(extent), &row.stored) {
            Ok(bytes) => report.bytes += bytes.len() as u64,
            // Cleaning may have moved it since the row was read: ask again through the table.
            Err(_) if self.reads_now(extent) => {}
            Err(error) => report.damaged.push(self.describe(extent, &row, &error)),
        }
    }

    fn reads_now(&self, extent: u64) -> bool {
        self.shared.extents.forget(extent);
        match self.shared.extents.get(&*self.shared.kv, extent) {
            Ok(Some(row)) => self.shared.segments.read(ExtentId(extent), &row.stored).is_ok(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn describe(&self, extent: u64, row: &ExtentRow, error: &dyn std::error::Error) -> Damage {
        let segment = match row.stored.place {
            Place::At { segment, .. } => Some(segment.0),
            Place::Inline(_) => None,
        };
        let owners = self.owners_of(extent, row).into_iter().map(owner_parts).collect();
        Damage { extent, segment, what: chain_text(error), owners }
    }

    fn owners_of(&self, extent: u64, row: &ExtentRow) -> Vec<Owner> {
        let Place::At { segment, .. } = row.stored.place else { return Vec::new() };
        let Ok(frames) = self.shared.segments.frames(segment) else { return Vec::new() };
        let here = |frame: &tintype_segments::FrameInfo| {
            frame.extent.0 == extent && frame.stored.place == row.stored.place
        };
        frames.flatten().find(here).map_or_else(Vec::new, |frame| frame.owners)
    }
}

fn owner_parts(owner: Owner) -> (u64, u64, u64, u32) {
    (owner.space, owner.object, owner.first_block, owner.count)
}
