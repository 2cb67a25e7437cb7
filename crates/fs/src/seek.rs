//! `SEEK_DATA` and `SEEK_HOLE`, exact to the block. Reserved blocks are holes.

use crate::blocks::{self, SPAN};
use crate::error::{Result, refuse};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::reading;
use std::ops::ControlFlow;
use tintype_store::{Moment, Piece};

/// Spans that one look takes.
const PAGE: usize = 256;

/// The next data or hole from `offset`.
pub(crate) fn seek(m: &mut dyn Moment, ino: u64, offset: u64, data: bool) -> Result<u64> {
    let (inode, record) = reading::inode(m, ino)?;
    if offset >= inode.size {
        return refuse(libc::ENXIO);
    }
    let block = offset / BYTES;
    let found = if data {
        next_data(m, ino, &record.pieces, block)?
    } else {
        Some(next_hole(m, ino, &record.pieces, block)?)
    };
    let Some(found) = found else { return refuse(libc::ENXIO) };
    let place = offset.max(found.saturating_mul(BYTES));
    if !data {
        return Ok(place.min(inode.size));
    }
    if place < inode.size { Ok(place) } else { refuse(libc::ENXIO) }
}

fn is_data(piece: Option<Piece>) -> bool {
    piece.is_some_and(|piece| piece.extent != 0)
}

/// The first block at or behind `from` in one map that is data (or not).
fn first(pieces: &[Piece], from: u16, data: bool) -> Option<u16> {
    blocks::runs(pieces, from, SPAN).iter().find(|run| is_data(run.piece) == data).map(|r| r.at)
}

fn next_data(m: &mut dyn Moment, ino: u64, zero: &[Piece], block: u64) -> Result<Option<u64>> {
    let (span, at) = (block / SPAN_BLOCKS, (block % SPAN_BLOCKS) as u16);
    if span == 0
        && let Some(at) = first(zero, at, true)
    {
        return Ok(Some(at.into()));
    }
    let (from, to) = (crate::keys::span(ino, span.max(1)), crate::keys::span(ino, u64::MAX));
    let mut found = None;
    m.scan(from, to, &mut |key, record| {
        let start = if key.b == span { at } else { 0 };
        found = first(&record.pieces, start, true).map(|at| key.b * SPAN_BLOCKS + u64::from(at));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn next_hole(m: &mut dyn Moment, ino: u64, zero: &[Piece], block: u64) -> Result<u64> {
    let (mut span, mut at) = (block / SPAN_BLOCKS, (block % SPAN_BLOCKS) as u16);
    if span == 0 {
        if let Some(at) = first(zero, at, false) {
            return Ok(at.into());
        }
        (span, at) = (1, 0);
    }
    loop {
        let page = reading::spans(m, ino, span, u64::MAX, PAGE)?;
        for (number, record) in &page {
            if *number != span {
                return Ok(span * SPAN_BLOCKS + u64::from(at));
            }
            if let Some(at) = first(&record.pieces, at, false) {
                return Ok(span * SPAN_BLOCKS + u64::from(at));
            }
            (span, at) = (span + 1, 0);
        }
        if page.len() < PAGE {
            return Ok(span * SPAN_BLOCKS + u64::from(at));
        }
    }
}
