//! Changing parts of blocks: where the old bytes come from, and how the rest is written.
//!
//! The rules are the store's (`tintype_store::patch`); here they meet inodes and their maps.

use crate::blocks;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::read::BYTES;
use crate::tree::Tree;
use tintype_store::content::TRIES;
use tintype_store::{BLOCK, Moment, Piece, StoreError};

pub(crate) use tintype_store::content::locate;
pub(crate) use tintype_store::patch::{Base, Olds, Step};

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
                let mut state = self.state_to_change()?;
                let reader = state.line.blocks();
                let mut edit = Edit::new(&mut state);
                match f(&mut edit, &olds)? {
                    Step::Done(value) => {
                        let fallen = edit.commit();
                        drop(state);
                        self.tell(&fallen);
                        self.store.throttle();
                        return Ok(value);
                    }
                    Step::Read(wanted) => (wanted, reader),
                }
            };
            // What has to be read goes into new blocks.
            self.store.admit(true)?;
            olds.read(&reader, &wanted)?;
        }
        Err(StoreError::Moved(0).into())
    }
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
        let piece = blocks::find(&self.pieces(ino, span)?, at);
        match piece.filter(|piece| piece.extent != 0 && self.state.is_open(piece)) {
            Some(piece) => Ok(Base::InPlace(piece)),
            None => Ok(olds.base(piece, wanted)),
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
