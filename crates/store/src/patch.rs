//! Overwriting byte ranges of mapped content: where old bytes of partly written blocks come from, and in which order blocks change.
//!
//! A block that is still staged in memory is changed in place. Any other block's old content is
//! read outside the owner's lock; since blocks on disk never change, content once read stays right as
//! long as the piece is the same, which is looked up again under the lock.

use crate::content::BYTES;
use crate::error::{Result, StoreError};
use crate::shared::BlockReader;
use crate::{BLOCK, Piece, SPAN_BLOCKS};
use std::collections::HashMap;

/// Old blocks, by extent and index.
#[derive(Default)]
pub struct Olds(HashMap<(u64, u16), Box<[u8]>>);

impl Olds {
    /// Reads the blocks that an operation asked for. One that has moved is left out: the operation asks again.
    ///
    /// # Errors
    /// The data is damaged, or the disk failed.
    pub fn read(&mut self, reader: &BlockReader, wanted: &[Piece]) -> Result<()> {
        for piece in wanted {
            let mut block = vec![0; BLOCK].into_boxed_slice();
            match reader.read(piece.extent, piece.first, 1, &mut block) {
                Ok(()) => drop(self.0.insert((piece.extent, piece.first), block)),
                Err(StoreError::Moved(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is below a block that `piece` maps and that cannot be changed in place; notes it in `wanted` when it has to be read first.
    pub fn base(&self, piece: Option<Piece>, wanted: &mut Vec<Piece>) -> Base {
        let Some(piece) = piece.filter(|piece| piece.extent != 0) else { return Base::Zero };
        match self.0.get(&(piece.extent, piece.first)) {
            Some(content) => Base::Old(content.clone()),
            None => {
                wanted.push(piece);
                Base::Zero
            }
        }
    }
}

/// An operation's answer, or the blocks that it needs first.
pub enum Step<T> {
    /// It is done.
    Done(T),
    /// These blocks have to be read.
    Read(Vec<Piece>),
}

/// What is below a partly written block.
#[derive(Clone)]
pub enum Base {
    /// Nothing: zeroes.
    Zero,
    /// A block in memory that can be changed in place.
    InPlace(Piece),
    /// This content.
    Old(Box<[u8]>),
}

/// The old content of the first and the last block of a range, where it covers them partly.
pub struct Ends {
    head: Option<(u64, Base)>,
    tail: Option<(u64, Base)>,
}

impl Ends {
    /// Asks `base` for the blocks that [offset, end) covers partly.
    ///
    /// # Errors
    /// What `base` answers.
    pub fn of<E>(
        offset: u64,
        end: u64,
        mut base: impl FnMut(u64) -> std::result::Result<Base, E>,
    ) -> std::result::Result<Self, E> {
        let (first, last) = (offset / BYTES, end.saturating_sub(1) / BYTES);
        let head_cut = !offset.is_multiple_of(BYTES);
        let tail_cut = !end.is_multiple_of(BYTES);
        let mut ends = Self { head: None, tail: None };
        if head_cut || (tail_cut && first == last) {
            ends.head = Some((first, base(first)?));
        }
        if tail_cut && first != last {
            ends.tail = Some((last, base(last)?));
        }
        Ok(ends)
    }

    fn block(&self, block: u64) -> Option<&Base> {
        let ends = [&self.head, &self.tail];
        ends.into_iter().flatten().find(|(own, _)| *own == block).map(|(_, base)| base)
    }
}

/// What is overwritten.
pub trait Target {
    /// Why a change failed.
    type Error;

    /// Changes bytes from `skip` on of a block that can be changed in place.
    ///
    /// # Errors
    /// It cannot any more.
    fn modify(
        &mut self,
        piece: &Piece,
        skip: usize,
        data: &[u8],
    ) -> std::result::Result<(), Self::Error>;

    /// Writes whole blocks inside one span, from block `first` on.
    ///
    /// # Errors
    /// The map could not be read.
    fn write_whole(&mut self, first: u64, data: &[u8]) -> std::result::Result<(), Self::Error>;
}

/// Writes `data` at byte `at`, span by span.
///
/// # Errors
/// What the target answers.
pub fn overwrite<T: Target>(
    target: &mut T,
    mut at: u64,
    mut rest: &[u8],
    ends: &Ends,
) -> std::result::Result<(), T::Error> {
    // Both ends first: staging whole blocks may fill and seal the extent that they lie in.
    if let Some(Base::InPlace(piece)) = ends.block(at / BYTES) {
        let skip = (at % BYTES) as usize;
        let (part, tail) = rest.split_at(rest.len().min(BLOCK - skip));
        target.modify(piece, skip, part)?;
        at += part.len() as u64;
        rest = tail;
    }
    let end = at + rest.len() as u64;
    if let Some(Base::InPlace(piece)) = ends.block(end / BYTES)
        && !end.is_multiple_of(BYTES)
        && !rest.is_empty()
    {
        let (head, part) = rest.split_at(rest.len() - (end % BYTES) as usize);
        target.modify(piece, 0, part)?;
        rest = head;
    }
    while !rest.is_empty() {
        let span_end = (at / (BYTES * SPAN_BLOCKS) + 1) * BYTES * SPAN_BLOCKS;
        let take = rest.len().min((span_end - at) as usize);
        let (part, tail) = rest.split_at(take);
        if at.is_multiple_of(BYTES) && part.len().is_multiple_of(BLOCK) {
            target.write_whole(at / BYTES, part)?;
        } else {
            target.write_whole(at / BYTES, &merge(at, part, ends))?;
        }
        rest = tail;
        at += take as u64;
    }
    Ok(())
}

/// Whole blocks around `data`, filled up with the old content of both ends.
fn merge(offset: u64, data: &[u8], ends: &Ends) -> Vec<u8> {
    let end = offset + data.len() as u64;
    let (first, last) = (offset / BYTES, (end - 1) / BYTES);
    let mut out = vec![0; ((last - first + 1) * BYTES) as usize];
    for block in [first, last] {
        let from = ((block - first) * BYTES) as usize;
        if let Some(Base::Old(content)) = ends.block(block)
            && let Some(part) = out.get_mut(from..from + BLOCK)
        {
            part.copy_from_slice(content);
        }
    }
    let skip = (offset % BYTES) as usize;
    if let Some(part) = out.get_mut(skip..skip + data.len()) {
        part.copy_from_slice(data);
    }
    out
}
