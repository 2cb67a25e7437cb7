//! Reading file content: resolve blocks under the lock, move data outside of it.
//!
//! When an extent went away between the two, the blocks are looked up again.

use crate::blocks::{self, SPAN};
use crate::error::{Result, refuse};
use crate::inode::{Inode, NOATIME, now};
use crate::place::Place;
use crate::reading;
use crate::tree::Tree;
use crate::vfs::Time;
use tintype_store::{BLOCK, BlockReader, Moment, Piece, StoreError};

/// How often blocks are looked up again.
pub(crate) const TRIES: usize = 16;
/// Bytes of a block.
pub(crate) const BYTES: u64 = BLOCK as u64;
/// Blocks of a span.
pub(crate) const SPAN_BLOCKS: u64 = SPAN as u64;
const DAY: i64 = 24 * 3600;

/// A stretch of the answer.
struct Part {
    /// Bytes to skip in the first block.
    skip: usize,
    /// Bytes of the answer.
    len: usize,
    /// Where they lie; zeroes otherwise.
    piece: Option<Piece>,
}

/// Reads into `buf`; fewer bytes only at the end of the file.
pub(crate) fn read(place: &Place, ino: u64, offset: u64, buf: &mut [u8]) -> Result<(usize, Inode)> {
    for _ in 0..TRIES {
        let (inode, parts, reader) = place.with(|m, _| {
            let (inode, record) = reading::inode(m, ino)?;
            if inode.is_dir() {
                return refuse(libc::EISDIR);
            }
            let len = (buf.len() as u64).min(inode.size.saturating_sub(offset)) as usize;
            let parts = plan(m, ino, &record.pieces, offset, len)?;
            Ok((inode, parts, m.blocks()))
        })?;
        match fill(&reader, &parts, buf) {
            Ok(count) => return Ok((count, inode)),
            Err(StoreError::Moved(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved(0).into())
}

fn plan(
    m: &mut dyn Moment,
    ino: u64,
    first: &[Piece],
    offset: u64,
    len: usize,
) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let end = offset + len as u64;
    let mut at = offset;
    while at < end {
        let span = at / (BYTES * SPAN_BLOCKS);
        let base = span * SPAN_BLOCKS;
        let stop = end.min((base + SPAN_BLOCKS) * BYTES);
        let (from, to) = (at / BYTES - base, stop.div_ceil(BYTES) - base);
        let loaded;
        let pieces = if span == 0 {
            first
        } else {
            loaded = reading::pieces(m, ino, span)?;
            &loaded
        };
        for run in blocks::runs(pieces, from as u16, to as u16) {
            let run_end = stop.min((base + u64::from(run.at + run.len)) * BYTES);
            let piece = run.piece.filter(|piece| piece.extent != 0);
            parts.push(Part { skip: (at % BYTES) as usize, len: (run_end - at) as usize, piece });
            at = run_end;
        }
    }
    Ok(parts)
}

fn fill(
    reader: &BlockReader,
    parts: &[Part],
    buf: &mut [u8],
) -> std::result::Result<usize, StoreError> {
    let mut rest = buf;
    let mut count = 0;
    for part in parts {
        let Some((out, tail)) = rest.split_at_mut_checked(part.len) else { break };
        match &part.piece {
            Some(piece) => read_piece(reader, piece, part.skip, out)?,
            None => out.fill(0),
        }
        count += part.len;
        rest = tail;
    }
    Ok(count)
}

/// Reads `out.len()` bytes from byte `skip` of a piece.
fn read_piece(
    reader: &BlockReader,
    piece: &Piece,
    skip: usize,
    out: &mut [u8],
) -> std::result::Result<(), StoreError> {
    let mut index = piece.first;
    let head = if skip == 0 { 0 } else { out.len().min(BLOCK - skip) };
    let (front, rest) = out.split_at_mut(head);
    if head > 0 {
        copy_part(reader, piece.extent, index, skip, front)?;
        index += 1;
    }
    let whole = rest.len() / BLOCK;
    let (middle, tail) = rest.split_at_mut(whole * BLOCK);
    if whole > 0 {
        reader.read(piece.extent, index, whole as u16, middle)?;
        index += whole as u16;
    }
    if tail.is_empty() { Ok(()) } else { copy_part(reader, piece.extent, index, 0, tail) }
}

fn copy_part(
    reader: &BlockReader,
    extent: u64,
    index: u16,
    skip: usize,
    out: &mut [u8],
) -> std::result::Result<(), StoreError> {
    let mut block = [0; BLOCK];
    reader.read(extent, index, 1, &mut block)?;
    if let Some(part) = block.get(skip..skip + out.len()) {
        out.copy_from_slice(part);
    }
    Ok(())
}

/// Whether relatime asks for a new access time.
fn atime_is_old(inode: &Inode, now: Time) -> bool {
    inode.atime <= inode.mtime
        || inode.atime <= inode.ctime
        || inode.atime.secs.saturating_add(DAY) <= now.secs
}

impl Tree {
    /// Notes an access, as relatime does. Failing to is no error of the access.
    pub(crate) fn accessed(&self, ino: u64, inode: &Inode) {
        let time = now();
        if inode.flags & NOATIME != 0 || !atime_is_old(inode, time) {
            return;
        }
        let noted = self.edit(|edit| {
            edit.change(ino)?.atime = time;
            Ok(())
        });
        if let Err(error) = noted {
            tracing::debug!(%error, ino, "access time not noted");
        }
    }
}
