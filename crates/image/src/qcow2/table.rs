//! Entries of second tables: which bytes of the disk lie where in the image.

use super::header::Header;
use super::{COMPRESSED, PLACE};
use crate::error::{ImageError, Result};
use crate::fields::be64;
use crate::format::Format;

/// Bytes of a table that are looked at together, so that what is made of them is bounded.
pub const SLICE: u64 = 64 << 10;

/// Where bytes of the disk lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// As they are, so many.
    Plain(u64),
    /// One cluster compressed, in so many bytes at most.
    Packed(u32),
}

/// A stretch of the disk that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    /// Where in the image; first, so that pieces sort by it.
    pub at: u64,
    /// Where on the disk.
    pub guest: u64,
    /// How, and how much.
    pub place: Place,
}

fn damaged(guest: u64, detail: impl std::fmt::Display) -> ImageError {
    let detail = format!("the cluster at {guest} of the disk {detail}");
    ImageError::damaged(Format::Qcow2, "second table", detail)
}

/// The pieces that part of a second table tells; its first entry is that of the disk's byte `guest`. What reads as zero is left out.
pub fn pieces(header: &Header, guest: u64, slice: &[u8]) -> Result<Vec<Piece>> {
    let mut list = Vec::new();
    for (index, entry) in slice.chunks_exact(header.entry() as usize).enumerate() {
        let guest = guest + index as u64 * header.cluster();
        if guest >= header.size {
            break;
        }
        let word = be64(entry, 0);
        if word & COMPRESSED != 0 {
            list.push(packed(header, guest, word)?);
        } else if word != 0 || header.subclusters {
            plain(header, guest, word, be64(entry, 8), &mut list)?;
        }
    }
    Ok(list)
}

fn packed(header: &Header, guest: u64, word: u64) -> Result<Piece> {
    let bits = 62 - (header.cluster_bits - 8);
    let at = word & ((1 << bits) - 1);
    let sectors = ((word & (COMPRESSED - 1)) >> bits) + 1;
    let length = sectors * 512 - (at & 511);
    if at == 0 || at > PLACE {
        return Err(damaged(guest, format!("cannot lie at {at}")));
    }
    Ok(Piece { at, guest, place: Place::Packed(length as u32) })
}

fn plain(header: &Header, guest: u64, word: u64, parts: u64, list: &mut Vec<Piece>) -> Result<()> {
    let at = word & PLACE;
    if !at.is_multiple_of(header.cluster()) {
        return Err(damaged(guest, format!("lies at {at}, which is no start of a cluster")));
    }
    if header.subclusters {
        let (data, zero) = (parts as u32, (parts >> 32) as u32);
        if data & zero != 0 || (at == 0 && data != 0) || word & 1 != 0 {
            return Err(damaged(guest, "has parts that contradict one another"));
        }
        let part = header.cluster() / 32;
        for index in (0..32).filter(|index| data & (1 << index) != 0) {
            push(header, list, at + index * part, guest + index * part, part);
        }
        return Ok(());
    }
    if word & 1 != 0 {
        // All zero, perhaps with room that is kept.
        return if header.version == 3 {
            Ok(())
        } else {
            Err(damaged(guest, "has a bit of version 3"))
        };
    }
    if at != 0 {
        push(header, list, at, guest, header.cluster());
    }
    Ok(())
}

/// Adds plain bytes, to the last piece when they go on from it. What lies behind the disk's end is left out.
fn push(header: &Header, list: &mut Vec<Piece>, at: u64, guest: u64, length: u64) {
    let length = length.min(header.size.saturating_sub(guest));
    if length == 0 {
        return;
    }
    if let Some(Piece { at: first, guest: from, place: Place::Plain(before) }) = list.last_mut()
        && *first + *before == at
        && *from + *before == guest
    {
        *before += length;
        return;
    }
    list.push(Piece { at, guest, place: Place::Plain(length) });
}
