//! `fallocate`: reserving, punching holes, zeroing ranges.

use crate::attributes::CAPABILITY;
use crate::blocks;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, now};
use crate::patch::{Base, Olds, Step, locate};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::resize::SPANS;
use crate::tree::Tree;
use crate::write::{SIZE_MAX, check_writable};
use tintype_store::Piece;

const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
const PUNCH_HOLE: i32 = libc::FALLOC_FL_PUNCH_HOLE;
const ZERO_RANGE: i32 = libc::FALLOC_FL_ZERO_RANGE;
/// Spans that one operation reserves.
const RESERVE: u64 = 4096;

/// What happens to whole blocks of the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Reserve,
    Punch,
    Zero,
}

fn action(mode: i32) -> Result<Action> {
    match mode & !KEEP_SIZE {
        0 => Ok(Action::Reserve),
        PUNCH_HOLE if mode & KEEP_SIZE != 0 => Ok(Action::Punch),
        ZERO_RANGE => Ok(Action::Zero),
        _ => refuse(libc::EOPNOTSUPP),
    }
}

impl Tree {
    /// Does what `fallocate` asks, in bounded operations.
    pub(crate) fn allocate(&self, ino: u64, offset: u64, length: u64, mode: i32) -> Result<()> {
        let action = action(mode)?;
        let end = match offset.checked_add(length) {
            _ if length == 0 => return refuse(libc::EINVAL),
            Some(end) if end <= SIZE_MAX || action == Action::Punch => end.min(SIZE_MAX),
            _ => return refuse(libc::EFBIG),
        };
        self.limits.refresh(&self.store);
        let mut at = offset;
        while at < end {
            let extends = mode & KEEP_SIZE == 0;
            at = self.edit_blocks(|edit, olds| {
                edit.allocate(self, olds, ino, (at, end), action, extends)
            })?;
        }
        Ok(())
    }
}

impl Edit<'_> {
    /// One operation; answers where the next one starts.
    fn allocate(
        &mut self,
        tree: &Tree,
        olds: &Olds,
        ino: u64,
        (from, end): (u64, u64),
        action: Action,
        extends: bool,
    ) -> Result<Step<u64>> {
        let inode = self.inode(ino)?;
        check_writable(inode)?;
        if inode.has(APPEND) && action != Action::Reserve {
            return refuse(libc::EPERM);
        }
        let whole = (BYTES * SPAN_BLOCKS) * RESERVE;
        let stop = match action {
            Action::Punch => self.punch_stop(ino, from, end)?,
            _ => end.min((from / whole + 1).saturating_mul(whole)),
        };
        let step = match action {
            Action::Reserve => self.reserve(tree, ino, from / BYTES, stop.div_ceil(BYTES))?,
            _ => self.zero_range(tree, olds, ino, (from, stop), action)?,
        };
        if let Step::Read(wanted) = step {
            return Ok(Step::Read(wanted));
        }
        if self.has_capability(ino)? {
            self.erase_xattr(ino, CAPABILITY)?;
        }
        let inode = self.change(ino)?;
        if extends {
            inode.size = inode.size.max(stop);
        }
        inode.touch(now());
        Ok(Step::Done(stop))
    }

    /// How far one operation may punch: not over more than `SPANS` existing block maps.
    fn punch_stop(&mut self, ino: u64, from: u64, end: u64) -> Result<u64> {
        let spans = self.spans_between(ino, from / BYTES, end.div_ceil(BYTES))?;
        match spans.last() {
            Some(last) if spans.len() >= SPANS => {
                Ok(end.min((last + 1) * SPAN_BLOCKS * BYTES).max(from + 1))
            }
            _ => Ok(end),
        }
    }

    /// Reserves the blocks [from, to) that are not mapped.
    fn reserve(&mut self, tree: &Tree, ino: u64, from: u64, to: u64) -> Result<Step<()>> {
        let mut need = self.need(ino, from, to)?;
        need.replace = 0;
        self.check_growth(tree, ino, need)?;
        self.map_reserved(ino, from, to, false)?;
        Ok(Step::Done(()))
    }

    fn map_reserved(&mut self, ino: u64, from: u64, to: u64, all: bool) -> Result<()> {
        let mut block = from;
        while block < to {
            let (span, at) = locate(block);
            let next = to.min((span + 1) * SPAN_BLOCKS);
            let end = at + (next - block) as u16;
            let mut pieces = self.pieces(ino, span)?.into_vec();
            for run in blocks::runs(&pieces.clone(), at, end) {
                if all || run.piece.is_none() {
                    let new: Piece = self.state.line.reserve(run.at, run.len);
                    pieces = blocks::replace(&pieces, run.at, run.at + run.len, &[new]);
                }
            }
            self.set_pieces(ino, span, pieces)?;
            block = next;
        }
        Ok(())
    }

    /// Zeroes the edges and unmaps or reserves the whole blocks between them.
    fn zero_range(
        &mut self,
        tree: &Tree,
        olds: &Olds,
        ino: u64,
        (from, to): (u64, u64),
        action: Action,
    ) -> Result<Step<()>> {
        let (first, last) = (from.div_ceil(BYTES), to / BYTES);
        let mut wanted = Vec::new();
        let mut edges: Vec<(u64, u64, Base)> = Vec::new();
        if !from.is_multiple_of(BYTES) {
            let base = self.base(olds, ino, from / BYTES, &mut wanted)?;
            edges.push((from, to.min(first * BYTES), base));
        }
        if !to.is_multiple_of(BYTES) && last >= first {
            edges.push((last * BYTES, to, self.base(olds, ino, last, &mut wanted)?));
        }
        if !wanted.is_empty() {
            return Ok(Step::Read(wanted));
        }
        if action == Action::Zero {
            // Blocks that the range covers partly are reserved too.
            let need = self.need(ino, from / BYTES, to.div_ceil(BYTES))?;
            self.check_growth(tree, ino, need)?;
        }
        let spans = self.spans_between(ino, first, last.max(first))?;
        // Changes in place first: writing the other edge may seal the extent.
        edges.sort_by_key(|(_, _, base)| !matches!(base, Base::InPlace(_)));
        for (from, to, base) in edges {
            self.zero_part(ino, from, to, base)?;
        }
        if action == Action::Zero {
            if last > first {
                self.map_reserved(ino, first, last, true)?;
            }
            self.map_reserved(ino, from / BYTES, to.div_ceil(BYTES), false)?;
        } else if last > first {
            self.clear(ino, first, last, &spans)?;
        }
        Ok(Step::Done(()))
    }
}
