//! Truncating and extending files.
//!
//! Bytes behind the end in the last block are always zero on disk, so extending writes nothing.
//! Shrinking touches only the block maps that exist; very large files shrink in several
//! operations, from the end.

use crate::attributes::check_changeable;
use crate::blocks::{self, SPAN};
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::now;
use crate::patch::{Olds, Step, locate};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::reading;
use crate::tree::Tree;
use crate::vfs::{Caller, SetAttr};
use crate::write::{SIZE_MAX, check_writable};

/// Block maps that one operation changes, at most.
pub(crate) const SPANS: usize = 16_384;

impl Tree {
    /// Changes attributes, the size among them.
    pub(crate) fn set_attributes(&self, who: &Caller, ino: u64, set: &SetAttr) -> Result<()> {
        let Some(size) = set.size else {
            return self.edit(|edit| edit.set_attributes(who, ino, set));
        };
        if size > SIZE_MAX {
            return refuse(libc::EFBIG);
        }
        self.shrink_roughly(ino, size, set)?;
        self.edit_blocks(|edit, olds| {
            check_writable(edit.inode(ino)?)?;
            if let Step::Read(wanted) = edit.resize(olds, ino, size)? {
                return Ok(Step::Read(wanted));
            }
            edit.set_attributes(who, ino, set)?;
            if set.mtime.is_none() {
                edit.change(ino)?.mtime = now();
            }
            Ok(Step::Done(()))
        })
    }

    /// Cuts the end off until one operation can do the rest.
    fn shrink_roughly(&self, ino: u64, size: u64, set: &SetAttr) -> Result<()> {
        let mut end = u64::MAX;
        while self.edit(|edit| {
            let inode = edit.inode(ino)?;
            let cut = size.div_ceil(BYTES * SPAN_BLOCKS);
            if size > inode.size || inode.blocks <= SPANS as u64 {
                return Ok(false);
            }
            check_writable(inode)?;
            check_changeable(inode, set)?;
            end = end.min(inode.size.max(inode.blocks * BYTES).div_ceil(BYTES * SPAN_BLOCKS) + 1);
            edit.cut_last_spans(ino, cut, &mut end)
        })? {}
        Ok(())
    }
}

impl Edit<'_> {
    /// Removes the last spans behind `cut` when there are too many for one operation; true
    /// when there may be more.
    fn cut_last_spans(&mut self, ino: u64, cut: u64, end: &mut u64) -> Result<bool> {
        let count = |edit: &mut Self, from: u64| {
            reading::spans(&mut edit.state.line, ino, from, u64::MAX, SPANS + 1)
        };
        if count(self, cut.max(1))?.len() <= SPANS {
            return Ok(false);
        }
        let mut low = cut.max(1);
        let mut found = count(self, low)?;
        while found.len() > SPANS {
            low += (end.saturating_sub(low) / 2).max(1);
            found = count(self, low)?;
        }
        for (span, _) in found {
            self.set_pieces(ino, span, Vec::new())?;
        }
        *end = low;
        let inode = self.change(ino)?;
        inode.size = inode.size.min(low * SPAN_BLOCKS * BYTES);
        Ok(true)
    }

    /// Sets the size and removes what lies behind it.
    pub(crate) fn resize(&mut self, olds: &Olds, ino: u64, size: u64) -> Result<Step<()>> {
        let old = self.inode(ino)?.size;
        if size <= old {
            let mut wanted = Vec::new();
            let edge = !size.is_multiple_of(BYTES) && size < old;
            let base =
                if edge { Some(self.base(olds, ino, size / BYTES, &mut wanted)?) } else { None };
            if !wanted.is_empty() {
                return Ok(Step::Read(wanted));
            }
            let stop = size.div_ceil(BYTES);
            let spans = self.spans_between(ino, stop, u64::MAX)?;
            if let Some(base) = base {
                self.zero_part(ino, size, stop * BYTES, base)?;
            }
            self.clear(ino, stop, u64::MAX, &spans)?;
        }
        self.change(ino)?.size = size;
        Ok(Step::Done(()))
    }

    /// The existing spans that have blocks in [from, to), at most `SPANS` of them.
    pub(crate) fn spans_between(&mut self, ino: u64, from: u64, to: u64) -> Result<Vec<u64>> {
        let (first, last) = (from / SPAN_BLOCKS, to.div_ceil(SPAN_BLOCKS));
        let found = reading::spans(&mut self.state.line, ino, first, last, SPANS)?;
        let zero = (first == 0).then_some(0);
        Ok(zero.into_iter().chain(found.into_iter().map(|(span, _)| span)).collect())
    }

    /// Unmaps the blocks [from, to) of these spans.
    pub(crate) fn clear(&mut self, ino: u64, from: u64, to: u64, spans: &[u64]) -> Result<()> {
        for span in spans {
            let base = span * SPAN_BLOCKS;
            let start = if from > base { locate(from.min(base + SPAN_BLOCKS - 1)).1 } else { 0 };
            let stop = to.saturating_sub(base).min(SPAN_BLOCKS) as u16;
            if from >= base + u64::from(SPAN) || start >= stop {
                continue;
            }
            let old = self.pieces(ino, *span)?;
            if blocks::mapped(&old, start, stop) > 0 {
                self.set_pieces(ino, *span, blocks::replace(&old, start, stop, &[]))?;
            }
        }
        Ok(())
    }
}
