//! Writing a range of a disk.
//!
//! Everything is looked up and checked first; then old parts are merged, blocks are staged span by
//! span, and the maps change under the same lock.

use crate::disk::{Disk, State, map};
use crate::error::{DiskError, Result};
use crate::keys;
use crate::view::check_range;
use tintype_store::content::{BYTES, locate};
use tintype_store::limits::Need;
use tintype_store::patch::{Base, Ends, Olds, Step, Target, overwrite};
use tintype_store::{BLOCK, Piece, SPAN_BLOCKS, blockmap};

impl Disk {
    /// Writes all of `data` at byte `offset`. Durable after the next [`Disk::flush`], at the latest about a second later.
    ///
    /// # Errors
    /// The range does not lie inside the disk, a limit forbids it ([`DiskError::NoRoom`]), or the store failed.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.limits.admit(&self.store, data.len())?;
        self.edit(|state, olds| {
            check_range(state.head.size, offset, data.len() as u64)?;
            if data.is_empty() {
                return Ok(Step::Done(()));
            }
            let end = offset + data.len() as u64;
            let mut wanted = Vec::new();
            let ends = Ends::of(offset, end, |block| state.base(olds, block, &mut wanted))?;
            if !wanted.is_empty() {
                return Ok(Step::Read(wanted));
            }
            let need = state.need(offset / BYTES, end.div_ceil(BYTES))?;
            self.limits.check(state.live(), need)?;
            overwrite(state, offset, data, &ends)?;
            Ok(Step::Done(()))
        })
    }
}

impl State {
    /// What is below a block; notes it in `wanted` when it has to be read first.
    pub(crate) fn base(
        &mut self,
        olds: &Olds,
        block: u64,
        wanted: &mut Vec<Piece>,
    ) -> Result<Base> {
        let (span, at) = locate(block);
        let piece = blockmap::find(map(&mut self.line, span)?.as_ref(), at);
        match piece.filter(|piece| piece.extent != 0 && self.is_open(piece)) {
            Some(piece) => Ok(Base::InPlace(piece)),
            None => Ok(olds.base(piece, wanted)),
        }
    }

    /// What writing the blocks [from, to) needs.
    pub(crate) fn need(&mut self, from: u64, to: u64) -> Result<Need> {
        let mut need = Need::default();
        let open = self.line.epoch();
        let mut block = from;
        while block < to {
            let (span, at) = locate(block);
            let stop = to.min((span + 1) * SPAN_BLOCKS);
            let end = at + (stop - block) as u16;
            let map = map(&mut self.line, span)?;
            need.grow += u64::from(end - at) - blockmap::mapped(map.as_ref(), at, end);
            let older = map.as_ref().iter().filter(|p| p.birth < open && p.extent != 0);
            need.replace += older
                .filter_map(|piece| blockmap::cut(piece, at, end))
                .map(|piece| u64::from(piece.len))
                .sum::<u64>();
            block = stop;
        }
        Ok(need)
    }
}

impl Target for State {
    type Error = DiskError;

    fn modify(&mut self, piece: &Piece, skip: usize, data: &[u8]) -> Result<()> {
        if self.line.modify(piece.extent, piece.first, skip, data) {
            return Ok(());
        }
        tracing::error!(extent = piece.extent, "a staged block was sealed before it was changed");
        Err(DiskError::Damaged("staged block"))
    }

    fn write_whole(&mut self, first: u64, data: &[u8]) -> Result<()> {
        let (span, at) = locate(first);
        let count = (data.len() / BLOCK) as u16;
        let old = map(&mut self.line, span)?;
        let new = self.line.stage(keys::OBJECT, first, at, data);
        let pieces = blockmap::replace(old.as_ref(), at, at + count, &new);
        self.set_map(span, old.as_ref(), pieces);
        Ok(())
    }
}
