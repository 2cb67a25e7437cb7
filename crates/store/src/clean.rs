//! Cleaning: gives back the room of dead data in segments.
//!
//! A segment without live extents is removed. When dead bytes exceed the set share, the segment with the smallest live share is
//! rewritten: its live extents, without their dead blocks, go to the end of the log, their rows change, and once that is
//! durable the old file goes. A crash in between leaves either the old rows and both copies, or the new rows and a file
//! that nothing needs; both are found at the next pass.

use crate::error::{Result, StoreError};
use crate::extents::{ExtentRow, extent_row};
use crate::refs::{place, put_sum};
use crate::room::row_bytes;
use crate::store::{Core, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tintype_kv::Batch;
use tintype_segments::{BLOCK, EXTENT_BLOCKS, Encoded, FrameInfo, Place, SegmentId, SegmentInfo};

/// Extents moved per batch.
const GROUP: usize = 32;
/// Room that such a batch takes at most.
pub(crate) const GROUP_BYTES: u64 = (GROUP * EXTENT_BLOCKS * BLOCK) as u64;

impl Store {
    /// Removes or rewrites one segment if that is due; `false`: nothing was.
    ///
    /// # Errors
    /// The store failed.
    pub fn clean_step(&self) -> Result<bool> {
        if !self.clean_due.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        self.shared.check()?;
        let segments = self.shared.segments.list()?;
        let worked = self.remove_empty(&segments)? || self.clean_worst(&segments)?;
        if worked {
            self.clean_due.store(true, Ordering::Release);
        }
        Ok(worked)
    }

    fn is_current(&self, segment: SegmentId) -> bool {
        self.shared.segments.current().is_some_and(|current| current.id == segment)
    }

    fn remove_empty(&self, segments: &[SegmentInfo]) -> Result<bool> {
        // No commit or write-ahead may bring extents between the check and the removal.
        let _write = self.write.lock();
        let mut core = self.core();
        let empty: Vec<SegmentId> = segments
            .iter()
            .map(|segment| segment.id)
            .filter(|id| !core.sums.contains_key(id))
            .filter(|id| !self.is_current(*id) && !self.shared.is_pending(*id))
            .collect();
        if empty.is_empty() {
            return Ok(false);
        }
        let synced = self.write_batch(&mut core, Batch::new(), true);
        self.poisoning(synced)?;
        drop(core);
        for segment in &empty {
            self.shared.segments.remove(*segment)?;
        }
        self.progress.lock().segments_cleaned += empty.len() as u64;
        Ok(true)
    }

    fn clean_worst(&self, segments: &[SegmentInfo]) -> Result<bool> {
        let Some(worst) = self.worst(segments) else { return Ok(false) };
        if self.is_current(worst) {
            let _write = self.write.lock();
            self.shared.segments.seal_current();
        }
        if self.shared.is_pending(worst) {
            return Ok(false);
        }
        let before = self.live_bytes(worst);
        let rewritten = self.rewrite(worst);
        if matches!(&rewritten, Err(error) if error.is_full()) {
            return rewritten.map(|()| true);
        }
        if rewritten.is_err() || self.live_bytes(worst) >= before.max(1) {
            // Damage keeps part of it where it is: leave the segment alone until the store is opened again.
            self.core().stuck_segments.insert(worst);
        }
        if let Err(error) = rewritten {
            tracing::warn!(%error, segment = %worst, "a segment cannot be cleaned; run `tintype scrub`");
            self.shared.check()?;
        }
        Ok(true)
    }

    fn live_bytes(&self, segment: SegmentId) -> u64 {
        self.core().sums.get(&segment).copied().unwrap_or(0)
    }

    /// The segment with the smallest live share, if dead bytes are too many in all.
    fn worst(&self, segments: &[SegmentInfo]) -> Option<SegmentId> {
        let core = self.core();
        let live = |segment: &SegmentInfo| core.sums.get(&segment.id).copied().unwrap_or(0);
        let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let dead = total.saturating_sub(segments.iter().map(live).sum());
        if dead.saturating_mul(100) <= total.saturating_mul(self.options.clean_percent) {
            return None;
        }
        let candidates = segments.iter().filter(|segment| {
            let waste = segment.bytes.saturating_sub(live(segment));
            waste.saturating_mul(100) > segment.bytes.saturating_mul(self.options.clean_percent / 2)
                && waste > 4096
                && !self.shared.is_pending(segment.id)
                && !core.stuck_segments.contains(&segment.id)
        });
        let share =
            |segment: &&SegmentInfo| live(segment).saturating_mul(1000) / segment.bytes.max(1);
        candidates.min_by_key(share).map(|segment| segment.id)
    }

    fn rewrite(&self, segment: SegmentId) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut group = Vec::with_capacity(GROUP);
        for frame in self.shared.segments.frames(segment)? {
            let frame = frame?;
            if seen.insert(frame.extent) || frame.stored.present != 0 {
                group.push(frame);
            }
            if group.len() == GROUP {
                self.move_group(segment, &std::mem::take(&mut group))?;
            }
        }
        self.move_group(segment, &group)
    }

    /// Moves the live extents of some frames to the end of the log.
    fn move_group(&self, segment: SegmentId, frames: &[FrameInfo]) -> Result<()> {
        let mut moved: Vec<(u64, Arc<ExtentRow>, Encoded)> = Vec::new();
        for frame in frames {
            let extent = frame.extent.0;
            let Some(row) = self.shared.extents.get(&*self.shared.kv, extent)? else { continue };
            if row.stored.place == frame.stored.place && row.live != 0 {
                let encoded = self.shared.repack(extent, &row, &frame.owners)?;
                moved.push((extent, row, encoded));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let encoded: Vec<_> = moved.iter().map(|(_, _, encoded)| encoded.clone()).collect();
        let write = self.write.lock();
        let bytes = encoded.iter().map(|frame| u64::from(frame.frame_bytes())).sum();
        self.shared.kv.room_for(row_bytes(encoded.len()), bytes, false)?;
        let appended = self.shared.segments.append(&encoded).map_err(StoreError::from);
        let places = self.poisoning(appended)?;
        self.shared.appended(places.iter());
        drop(write);
        let synced = self.shared.segments.sync().map_err(StoreError::from);
        self.poisoning(synced)?;
        let mut core = self.core();
        let mut batch = Batch::new();
        for ((extent, old, _), stored) in moved.iter().zip(&places) {
            let done = self.relocate(&mut core, &mut batch, *extent, old, stored.clone());
            self.poisoning(done)?;
        }
        put_sum(&mut batch, &mut core.sums, segment);
        let written = self.write_batch(&mut core, batch, true);
        self.shared.settled(places.iter());
        self.poisoning(written)?;
        let bytes: u64 = places.iter().map(|stored| u64::from(stored.frame_bytes)).sum();
        self.progress.lock().moved_bytes += bytes;
        Ok(())
    }

    fn relocate(
        &self,
        core: &mut Core,
        batch: &mut Batch,
        extent: u64,
        old: &ExtentRow,
        stored: tintype_segments::Stored,
    ) -> Result<()> {
        let Some(now) = self.shared.extents.exact(&*self.shared.kv, extent)? else { return Ok(()) };
        if now.stored.place != old.stored.place || now.live & !stored.present != 0 {
            return Ok(());
        }
        let row = ExtentRow { stored, ..now.clone() };
        if let Some((segment, bytes)) = place(&now) {
            let sum = core.sums.entry(segment).or_insert(0);
            *sum = sum.saturating_sub(bytes);
        }
        if let Some((segment, bytes)) = place(&row) {
            *core.sums.entry(segment).or_insert(0) += bytes;
            put_sum(batch, &mut core.sums, segment);
        }
        batch.put(extent_row(extent), row.to_bytes());
        self.shared.extents.put(extent, Arc::new(row));
        Ok(())
    }

    /// Segments that hold this extent's data, for messages.
    #[must_use]
    pub fn where_is(&self, extent: u64) -> Option<SegmentId> {
        let row = self.shared.extents.get(&*self.shared.kv, extent).ok()??;
        match row.stored.place {
            Place::At { segment, .. } => Some(segment),
            Place::Inline(_) => None,
        }
    }
}
