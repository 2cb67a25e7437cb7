//! Growing and shrinking.
//!
//! Growing writes nothing: bytes behind the end are zero by the crate's invariant. Shrinking goes from the end in bounded steps, each
//! of which leaves a whole disk, so a crash in between leaves one that is larger than asked for.

use crate::disk::Disk;
use crate::error::Result;
use crate::head::check_size;
use tintype_store::content::BYTES;
use tintype_store::patch::{Ends, Step, overwrite};
use tintype_store::{BLOCK, SPAN_BLOCKS};

/// Bytes that one step takes off, at most: as many maps as one operation changes.
const STEP: u64 = 16_384 * SPAN_BLOCKS * BYTES;

impl Disk {
    /// Sets the size in bytes. What lay behind a smaller one is gone, but for snapshots.
    ///
    /// # Errors
    /// No disk has this size, or the store failed.
    pub fn resize(&self, size: u64) -> Result<()> {
        check_size(size)?;
        while self.edit(|state, olds| {
            let old = state.head.size;
            // A size between two steps is one of whole spans.
            let next = if size >= old { size } else { size.max((old - 1) / STEP * STEP) };
            let cut = next % BYTES;
            if next < old && cut != 0 {
                let edge = next - cut;
                let mut wanted = Vec::new();
                let stop = edge + BYTES;
                let ends = Ends::of(next, stop, |block| state.base(olds, block, &mut wanted))?;
                if !wanted.is_empty() {
                    return Ok(Step::Read(wanted));
                }
                if state.is_mapped(edge / BYTES)? {
                    let zeroes = [0; BLOCK];
                    let rest = zeroes.get(cut as usize..).unwrap_or(&[]);
                    overwrite(state, next, rest, &ends)?;
                }
            }
            if next < old {
                state.unmap(next.div_ceil(BYTES), old.div_ceil(BYTES))?;
            }
            state.head_dirty |= next != old;
            state.head.size = next;
            Ok(Step::Done(next > size))
        })? {}
        Ok(())
    }
}
