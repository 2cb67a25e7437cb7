//! Changing parts of blocks: where the old bytes come from, and how the rest is written.
//!
//! A block that is still staged in memory is changed in place. Any other block's old content is
//! read outside the lock; since blocks on disk never change, content once read stays right as
//! long as the piece is the same, which is checked again under the lock.

use crate::blocks;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::read::{BYTES, SPAN_BLOCKS, TRIES};
use crate::tree::Tree;
use std::collections::HashMap;
use tintype_store::{BLOCK, Moment, Piece, StoreError};

/// Old blocks, by extent and index.
#[derive(Default)]
pub(crate) struct Olds(HashMap<(u64, u16), Box<[u8]>>);

/// An operation's answer, or the blocks that it needs first.
pub(crate) enum Step<T> {
    /// It is done.
    Done(T),
    /// These blocks have to be read.
    Read(Vec<Piece>),
}

/// What is below a partly written block.
#[derive(Clone)]
pub(crate) enum Base {
    /// Nothing: zeroes.
    Zero,
    /// A block in memory that can be changed in place.
    InPlace(Piece),
    /// This content.
    Old(Box<[u8]>),
}

impl Tree {
    /// Runs an operation that may need old blocks.
    pub(crate) fn edit_blocks<T>(
        &self,
        mut f: impl FnMut(&mut Edit<'_>, &Olds) -> Result<Step<T>>,
    ) -> Result<T> {
        self.check()?;
        self.store.admit(false)?;
        let mut olds = Olds::default();
        for _ in 0..TRIES {
            let (wanted, reader) = {
                let mut state = self.state.lock();
                let reader = state.line.blocks();
                let mut edit = Edit::new(&mut state);
                match f(&mut edit, &olds)? {
                    Step::Done(value) => {
                        edit.commit();
                        drop(state);
                        self.store.throttle();
                        return Ok(value);
                    }
                    Step::Read(wanted) => (wanted, reader),
                }
            };
            // What has to be read goes into new blocks.
            self.store.admit(true)?;
            for piece in wanted {
                let mut block = vec![0; BLOCK].into_boxed_slice();
                match reader.read(piece.extent, piece.first, 1, &mut block) {
                    Ok(()) => drop(olds.0.insert((piece.extent, piece.first), block)),
                    Err(StoreError::Moved(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(StoreError::Moved(0).into())
    }
}

/// Span and position in it of a block.
pub(crate) const fn locate(block: u64) -> (u64, u16) {
    (block / SPAN_BLOCKS, (block % SPAN_BLOCKS) as u16)
}

impl Edit<'_> {
    /// What is below a block; notes it in `wanted` when it has to be read first.
    pub(crate) fn base(
        &mut self,
        olds: &Olds,
        ino: u64,
        block: u64,
        wanted: &mut Vec<Piece>,
    ) -> Result<Base> {
        let (span, at) = locate(block);
        let Some(piece) = blocks::find(&self.pieces(ino, span)?, at) else { return Ok(Base::Zero) };
        if piece.extent == 0 {
            return Ok(Base::Zero);
        }
        if self.state.is_open(&piece) {
            return Ok(Base::InPlace(piece));
        }
        match olds.0.get(&(piece.extent, piece.first)) {
            Some(content) => Ok(Base::Old(content.clone())),
            None => {
                wanted.push(piece);
                Ok(Base::Zero)
            }
        }
    }

    /// Changes bytes of a block that [`Edit::base`] found to be staged. Nothing may have been staged since:
    /// that can seal the extent.
    pub(crate) fn modify(&mut self, piece: &Piece, skip: usize, data: &[u8]) -> Result<()> {
        if self.state.line.modify(piece.extent, piece.first, skip, data) {
            return Ok(());
        }
        tracing::error!(extent = piece.extent, "a staged block was sealed before it was changed");
        refuse(libc::EIO)
    }

    /// Writes whole blocks inside one span, from block `first` of the file.
    pub(crate) fn write_whole(&mut self, ino: u64, first: u64, data: &[u8]) -> Result<()> {
        let (span, at) = locate(first);
        let count = (data.len() / BLOCK) as u16;
        let old = self.pieces(ino, span)?;
        let new = self.state.line.stage(ino, first, at, data);
        self.set_pieces(ino, span, blocks::replace(&old, at, at + count, &new))
    }

    /// Zeroes bytes [from, to), which lie in one block, on what `base` found there.
    pub(crate) fn zero_part(&mut self, ino: u64, from: u64, to: u64, base: Base) -> Result<()> {
        let (skip, len) = ((from % BYTES) as usize, (to - from) as usize);
        match base {
            Base::Zero => Ok(()),
            Base::InPlace(piece) => {
                let zeroes = [0; BLOCK];
                let zeroes = zeroes.get(..len).unwrap_or(&[]);
                self.modify(&piece, skip, zeroes)
            }
            Base::Old(mut content) => {
                if let Some(part) = content.get_mut(skip..skip + len) {
                    part.fill(0);
                }
                self.write_whole(ino, from / BYTES, &content)
            }
        }
    }
}
