//! `copy_file_range`: whole blocks are shared where both sides are aligned alike, edges copied.
//!
//! While blocks are shared the locks of both trees are held, so that the source cannot lose a block
//! before the destination refers to it; and the store keeps the source's moment until a commit has taken that. So sharing is
//! as durable as a write: with the next commit.

use crate::blocks;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::now;
use crate::patch::locate;
use crate::place::Place;
use crate::read::{self, BYTES, SPAN_BLOCKS};
use crate::reading;
use crate::tree::Tree;
use crate::vfs::{Caller, WriteFlags};
use crate::write::{SIZE_MAX, check_writable};
use std::sync::Arc;
use tintype_store::{Moment, Piece};

/// Bytes that one call shares, at most.
const SHARE: u64 = 1 << 30;
/// Bytes that one call copies, at most.
const COPY: u64 = 16 << 20;
const CHUNK: u64 = 1 << 20;

/// One side of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// The inode.
    pub(crate) ino: u64,
    /// Where the range starts.
    pub(crate) offset: u64,
}

/// Copies up to `length` bytes; answers how many.
pub(crate) fn copy(
    from: &Place,
    source: Side,
    to: &Arc<Tree>,
    target: Side,
    length: u64,
) -> Result<u64> {
    let (inode, _) = from.with(|m, _| reading::inode(m, source.ino))?;
    if !inode.is_file() {
        return refuse(libc::EINVAL);
    }
    let length = length.min(inode.size.saturating_sub(source.offset));
    if target.offset.saturating_add(length) > SIZE_MAX {
        return refuse(libc::EFBIG);
    }
    let alike = source.offset % BYTES == target.offset % BYTES;
    let limit = length.min(if alike { SHARE } else { COPY });
    // Another moment's blocks may lose their last name at any time: none is freed before a commit has
    // taken the new references, however long a full disk makes it wait.
    let other = !matches!(from, Place::Live(tree) if Arc::ptr_eq(tree, to));
    let _loan = if other && alike { Some(to.store.lend(from.moment())?) } else { None };
    copy_steps(from, source, to, target, limit, inode.size)
}

fn copy_steps(
    from: &Place,
    source: Side,
    to: &Arc<Tree>,
    target: Side,
    limit: u64,
    source_size: u64,
) -> Result<u64> {
    let mut done = 0;
    while done < limit {
        let step = step(from, at(source, done), to, at(target, done), limit - done, source_size);
        match step {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

const fn at(side: Side, done: u64) -> Side {
    Side { ino: side.ino, offset: side.offset + done }
}

/// One operation: shares whole blocks of one span, or copies bytes.
fn step(
    from: &Place,
    source: Side,
    to: &Arc<Tree>,
    target: Side,
    length: u64,
    source_size: u64,
) -> Result<u64> {
    let (a, b) = (source.offset % BYTES, target.offset % BYTES);
    if a != b {
        return copy_bytes(from, source, to, target, length.min(CHUNK));
    }
    if a != 0 {
        return copy_bytes(from, source, to, target, length.min(BYTES - a));
    }
    if length >= BYTES {
        return share(from, source, to, target, length / BYTES * BYTES);
    }
    // The file's last block can be shared when nothing lies behind it on either side.
    let (old, _) = Place::Live(Arc::clone(to)).with(|m, _| reading::inode(m, target.ino))?;
    let last = source.offset + length >= source_size && target.offset + length >= old.size;
    if last {
        share(from, source, to, target, length)
    } else {
        copy_bytes(from, source, to, target, length)
    }
}

fn copy_bytes(from: &Place, source: Side, to: &Tree, target: Side, length: u64) -> Result<u64> {
    let mut data = vec![0; length as usize];
    let (count, _) = read::read(from, source.ino, source.offset, &mut data)?;
    data.truncate(count);
    to.write(&Caller::default(), target.ino, target.offset, &data, WriteFlags::default())
        .map(|count| count as u64)
}

/// Shares the blocks of up to one span of the target.
fn share(from: &Place, source: Side, to: &Arc<Tree>, target: Side, length: u64) -> Result<u64> {
    let room = SPAN_BLOCKS * BYTES - target.offset % (SPAN_BLOCKS * BYTES);
    let length = length.min(room);
    to.limits.refresh(&to.store);
    let shared = match from {
        Place::Live(tree) if Arc::ptr_eq(tree, to) => to.edit(|edit| {
            let (size, runs) = source_runs(&mut edit.state.line, source, length)?;
            edit.share_runs(to, target, length, source, size, &runs)
        }),
        Place::Live(tree) => share_between(tree, source, to, target, length),
        Place::Frozen(_) => to.edit(|edit| {
            let (size, runs) = from.with(|m, _| source_runs(m, source, length))?;
            edit.share_runs(to, target, length, source, size, &runs)
        }),
    };
    match shared? {
        Some(count) => Ok(count),
        None => copy_bytes(from, source, to, target, length),
    }
}

/// Shares blocks of another tree; `None` when some of them are in no commit yet: that tree may still lose
/// them. Nobody waits for a lock while holding one here, so that no order of locks has to be kept.
fn share_between(
    from: &Tree,
    source: Side,
    to: &Tree,
    target: Side,
    length: u64,
) -> Result<Option<u64>> {
    loop {
        let done = to.edit(|edit| {
            let Some(mut other) = from.state.try_lock() else { return Ok(None) };
            let (size, runs) = source_runs(&mut other.line, source, length)?;
            if runs.iter().any(|piece| !to.store.is_committed(piece.extent)) {
                return Ok(Some(None));
            }
            edit.share_runs(to, target, length, source, size, &runs).map(Some)
        })?;
        match done {
            Some(result) => return Ok(result),
            None => std::thread::yield_now(),
        }
    }
}

/// The pieces of the source range, `at` counted from the range's start; holes are left out.
fn source_runs(m: &mut dyn Moment, source: Side, length: u64) -> Result<(u64, Vec<Piece>)> {
    let (inode, _) = reading::inode(m, source.ino)?;
    let (first, last) = (source.offset / BYTES, (source.offset + length).div_ceil(BYTES));
    let mut list = Vec::new();
    let mut block = first;
    while block < last {
        let (span, at) = locate(block);
        let stop = last.min((span + 1) * SPAN_BLOCKS);
        let pieces = reading::pieces(m, source.ino, span)?;
        let cuts = pieces.iter().filter_map(|p| blocks::cut(p, at, at + (stop - block) as u16));
        let shift = (block - first) as u16;
        list.extend(cuts.map(|piece| Piece { at: piece.at - at + shift, ..piece }));
        block = stop;
    }
    Ok((inode.size, list))
}

impl Edit<'_> {
    /// Whether all of the last block may become the target's: a part of one only when both files end with it, since what lies behind the
    /// part would show there. Both may have grown since they were looked at.
    fn ends_fit(
        &mut self,
        target: Side,
        source: Side,
        source_size: u64,
        length: u64,
    ) -> Result<bool> {
        let old = self.inode(target.ino)?.size;
        let last = source.offset + length == source_size && target.offset + length >= old;
        Ok(length.is_multiple_of(BYTES) || last)
    }

    /// Shares the runs, or says with `None` that bytes have to be copied.
    fn share_runs(
        &mut self,
        tree: &Tree,
        target: Side,
        length: u64,
        source: Side,
        source_size: u64,
        runs: &[Piece],
    ) -> Result<Option<u64>> {
        // The source may have shrunk since it was looked at.
        if source.offset + length > source_size {
            return Ok(Some(0));
        }
        check_writable(self.inode(target.ino)?)?;
        if !self.ends_fit(target, source, source_size, length)? {
            return Ok(None);
        }
        let (span, at) = locate(target.offset / BYTES);
        let count = length.div_ceil(BYTES) as u16;
        let mut need =
            self.need(target.ino, target.offset / BYTES, target.offset / BYTES + u64::from(count))?;
        need.grow = need.grow.min(blocks::total(runs));
        self.check_growth(tree, target.ino, need)?;
        let old = self.pieces(target.ino, span)?;
        let state = &mut *self.state;
        let new: Vec<Piece> = runs
            .iter()
            .map(|piece| match piece.extent {
                0 => state.line.reserve(at + piece.at, piece.len),
                _ => state.share(piece, at + piece.at),
            })
            .collect();
        let map = blocks::replace(&old, at, at + count, &new);
        self.set_pieces(target.ino, span, map)?;
        let inode = self.change(target.ino)?;
        inode.size = inode.size.max(target.offset + length);
        inode.touch(now());
        Ok(Some(length))
    }
}
