//! Writing file content.
//!
//! Everything is looked up and checked first; then old parts are merged, blocks are staged span by
//! span, and the block maps change in the same operation.

use crate::attributes::CAPABILITY;
use crate::blocks;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, now};
use crate::limits::Need;
use crate::patch::{Base, Olds, Step, locate};
use crate::read::{BYTES, SPAN_BLOCKS};
use crate::tree::Tree;
use crate::vfs::WriteFlags;
use tintype_store::{BLOCK, Piece};

/// Largest size of a file.
pub(crate) const SIZE_MAX: u64 = 1 << 44;

/// A range of bytes with the old content of its two ends.
struct Ends {
    head: Option<(u64, Base)>,
    tail: Option<(u64, Base)>,
}

impl Ends {
    fn of(&self, block: u64) -> Option<&Base> {
        let found = |end: &'_ Option<(u64, Base)>| end.as_ref().is_some_and(|(b, _)| *b == block);
        let end = if found(&self.head) { &self.head } else { &self.tail };
        end.as_ref().filter(|(own, _)| *own == block).map(|(_, base)| base)
    }
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
        ino: u64,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        self.limits.refresh(&self.store);
        self.store.admit(true)?;
        self.edit_blocks(|edit, olds| edit.write(self, olds, ino, offset, data, flags))
    }
}

impl Edit<'_> {
    fn write(
        &mut self,
        tree: &Tree,
        olds: &Olds,
        ino: u64,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
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
        let ends = self.ends(olds, ino, offset, end, &mut wanted)?;
        if !wanted.is_empty() {
            return Ok(Step::Read(wanted));
        }
        let need = self.need(ino, offset / BYTES, end.div_ceil(BYTES))?;
        tree.limits.check(self.state.live(), need)?;
        let capable = self.has_capability(ino)?;
        self.write_spans(ino, offset, data, &ends)?;
        if capable {
            self.erase_xattr(ino, CAPABILITY)?;
        }
        self.settle_write(ino, end, flags.kill_suid)?;
        Ok(Step::Done(data.len()))
    }

    fn settle_write(&mut self, ino: u64, end: u64, kill: bool) -> Result<()> {
        let inode = self.change(ino)?;
        inode.size = inode.size.max(end);
        inode.touch(now());
        if kill {
            inode.kill_set_id();
        }
        Ok(())
    }

    /// The old content of the first and last block where the range covers them partly.
    fn ends(
        &mut self,
        olds: &Olds,
        ino: u64,
        offset: u64,
        end: u64,
        wanted: &mut Vec<Piece>,
    ) -> Result<Ends> {
        let (first, last) = (offset / BYTES, (end - 1) / BYTES);
        let head_cut = !offset.is_multiple_of(BYTES);
        let tail_cut = !end.is_multiple_of(BYTES);
        let mut ends = Ends { head: None, tail: None };
        if head_cut || (tail_cut && first == last) {
            ends.head = Some((first, self.base(olds, ino, first, wanted)?));
        }
        if tail_cut && first != last {
            ends.tail = Some((last, self.base(olds, ino, last, wanted)?));
        }
        Ok(ends)
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

    fn write_spans(&mut self, ino: u64, mut at: u64, mut rest: &[u8], ends: &Ends) -> Result<()> {
        // Both ends first: staging whole blocks may fill and seal the extent that they lie in.
        if let Some(Base::InPlace(piece)) = ends.of(at / BYTES) {
            let skip = (at % BYTES) as usize;
            let (part, tail) = rest.split_at(rest.len().min(BLOCK - skip));
            self.modify(piece, skip, part)?;
            at += part.len() as u64;
            rest = tail;
        }
        let end = at + rest.len() as u64;
        if let Some(Base::InPlace(piece)) = ends.of(end / BYTES)
            && !end.is_multiple_of(BYTES)
            && !rest.is_empty()
        {
            let (head, part) = rest.split_at(rest.len() - (end % BYTES) as usize);
            self.modify(piece, 0, part)?;
            rest = head;
        }
        while !rest.is_empty() {
            let span_end = (at / (BYTES * SPAN_BLOCKS) + 1) * BYTES * SPAN_BLOCKS;
            let take = rest.len().min((span_end - at) as usize);
            let (part, tail) = rest.split_at(take);
            self.write_in_span(ino, at, part, ends)?;
            rest = tail;
            at += take as u64;
        }
        Ok(())
    }

    /// Writes a range that lies in one span; nothing of it can be changed in place.
    fn write_in_span(&mut self, ino: u64, offset: u64, data: &[u8], ends: &Ends) -> Result<()> {
        if offset.is_multiple_of(BYTES) && data.len().is_multiple_of(BLOCK) {
            return self.write_whole(ino, offset / BYTES, data);
        }
        let merged = merge(offset, data, ends);
        self.write_whole(ino, offset / BYTES, &merged)
    }
}

/// Whole blocks around `data`, filled up with the old content of both ends.
fn merge(offset: u64, data: &[u8], ends: &Ends) -> Vec<u8> {
    let end = offset + data.len() as u64;
    let (first, last) = (offset / BYTES, (end - 1) / BYTES);
    let mut out = vec![0; ((last - first + 1) * BYTES) as usize];
    for block in [first, last] {
        let from = ((block - first) * BYTES) as usize;
        if let Some(Base::Old(content)) = ends.of(block)
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
