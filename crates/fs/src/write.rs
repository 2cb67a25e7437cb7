//! Writing file content.
//!
//! Everything is looked up and checked first; then old parts are merged, blocks are staged span by
//! span, and the block maps change in the same operation.

use crate::attributes::CAPABILITY;
use crate::blocks;
use crate::caller;
use crate::edit::Edit;
use crate::error::{FsError, Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, now};
use crate::limits::Need;
use crate::patch::{Olds, Step, locate};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::tree::Tree;
use crate::vfs::{Caller, WriteFlags};
use tintype_store::Piece;
use tintype_store::patch::{Ends, Target, overwrite};

/// Largest size of a file.
pub(crate) const SIZE_MAX: u64 = 1 << 44;

/// The content of one file, while an edit overwrites it.
struct File<'a, 'e> {
    edit: &'a mut Edit<'e>,
    ino: u64,
}

impl Target for File<'_, '_> {
    type Error = FsError;

    fn modify(&mut self, piece: &Piece, skip: usize, data: &[u8]) -> Result<()> {
        self.edit.modify(piece, skip, data)
    }

    fn write_whole(&mut self, first: u64, data: &[u8]) -> Result<()> {
        self.edit.write_whole(self.ino, first, data)
    }
}

/// A write as it was asked for.
struct Asked<'a> {
    ino: u64,
    offset: u64,
    data: &'a [u8],
    flags: WriteFlags,
}

/// Refuses to write to a protected file.
pub(crate) fn check_writable(inode: &Inode) -> Result<()> {
    if inode.is_dir() {
        return refuse(libc::EISDIR);
    }
    if !inode.is_file() {
        return refuse(libc::EINVAL);
    }
    if inode.has(IMMUTABLE) { refuse(libc::EPERM) } else { Ok(()) }
}

impl Tree {
    /// Writes all of `data`.
    pub(crate) fn write(
        &self,
        who: &Caller,
        ino: u64,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        self.limits.admit(&self.store, data.len())?;
        let asked = Asked { ino, offset, data, flags };
        self.edit_blocks(|edit, olds| edit.write(self, olds, who, &asked))
    }
}

impl Edit<'_> {
    fn write(
        &mut self,
        tree: &Tree,
        olds: &Olds,
        who: &Caller,
        &Asked { ino, offset, data, flags }: &Asked<'_>,
    ) -> Result<Step<usize>> {
        let inode = self.inode(ino)?;
        if !flags.from_cache {
            check_writable(inode)?;
        }
        let append = flags.open_flags & libc::O_APPEND != 0;
        if inode.has(APPEND) && !append && !flags.from_cache {
            return refuse(libc::EPERM);
        }
        let offset = if append && !flags.from_cache { inode.size } else { offset };
        if data.is_empty() {
            return Ok(Step::Done(0));
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > SIZE_MAX {
            return refuse(libc::EFBIG);
        }
        let mut wanted = Vec::new();
        let ends = Ends::of(offset, end, |block| self.base(olds, ino, block, &mut wanted))?;
        if !wanted.is_empty() {
            return Ok(Step::Read(wanted));
        }
        let need = self.need(ino, offset / BYTES, end.div_ceil(BYTES))?;
        self.check_growth(tree, ino, need)?;
        let capable = self.has_capability(ino)?;
        overwrite(&mut File { edit: self, ino }, offset, data, &ends)?;
        if capable {
            self.erase_xattr(ino, CAPABILITY)?;
        }
        self.settle_write(ino, end, flags.kill_suid.then_some(who))?;
        Ok(Step::Done(data.len()))
    }

    fn settle_write(&mut self, ino: u64, end: u64, kill: Option<&Caller>) -> Result<()> {
        let inode = self.change(ino)?;
        inode.size = inode.size.max(end);
        inode.touch(now());
        if let Some(who) = kill {
            inode.kill_set_id(|gid| caller::keeps_set_group_id(who, gid));
        }
        Ok(())
    }

    /// What writing the blocks [from, to) needs.
    pub(crate) fn need(&mut self, ino: u64, from: u64, to: u64) -> Result<Need> {
        let mut need = Need::default();
        let mut block = from;
        while block < to {
            let (span, at) = locate(block);
            let stop = to.min((span + 1) * SPAN_BLOCKS);
            let end = at + (stop - block) as u16;
            let pieces = self.pieces(ino, span)?;
            let mapped = blocks::mapped(&pieces, at, end);
            need.grow += u64::from(end - at) - mapped;
            let open = self.state.line.epoch();
            let older = pieces.iter().filter(|p| p.birth < open && p.extent != 0);
            need.replace += blocks::total(
                &older.filter_map(|piece| blocks::cut(piece, at, end)).collect::<Vec<_>>(),
            );
            block = stop;
        }
        Ok(need)
    }
}
