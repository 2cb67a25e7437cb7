//! The writable end of a line: changes in memory until a commit takes them.
//!
//! The owner keeps the line inside its own lock, together with its caches. Reads see, in this order: changes of
//! this round, changes that a commit is writing, the cache, the engine. `put` and `delete` cannot fail, so an owner that reads
//! everything first and then changes is all-or-nothing.
//!
//! A line ends when its owner lets go of it: whatever reached it before is committed, and what comes later must be refused
//! ([`LiveLine::has_ended`]), because no commit would take it. See `lines.rs`.

use crate::cache::Cache;
use crate::error::Result;
use crate::moment::{Moment, Visit, missing};
use crate::ram::RamExtent;
use crate::shared::{BlockReader, Shared};
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tintype_history::{Base, Change, Epoch, Key, Piece, Point, Record, SpaceId};
use tintype_segments::{BLOCK, EXTENT_BLOCKS, Owner};

/// Records that a line keeps besides its changes.
const CLEAN_RECORDS: usize = 150_000;

/// What a commit takes from one line.
pub struct Frozen {
    /// The line.
    pub space: SpaceId,
    /// The epoch of all changes.
    pub epoch: Epoch,
    /// The changes.
    pub changes: BTreeMap<Key, Change>,
    /// The data staged in this round.
    pub extents: Vec<Arc<RamExtent>>,
}

impl Frozen {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.extents.is_empty()
    }
}

/// Body and pieces of a version to be.
type Content = (Box<[u8]>, Box<[Piece]>);

/// See the module header.
pub struct LiveLine {
    shared: Arc<Shared>,
    space: SpaceId,
    epoch: Epoch,
    chain: Vec<Point>,
    dirty: BTreeMap<Key, Change>,
    frozen: Option<Arc<Frozen>>,
    clean: Cache<Key, Option<Arc<Record>>>,
    extents: Vec<Arc<RamExtent>>,
    open: Option<Arc<RamExtent>>,
    ended: bool,
}

impl LiveLine {
    pub(crate) fn new(shared: Arc<Shared>, chain: Vec<Point>, point: Point) -> Self {
        Self {
            shared,
            space: point.space,
            epoch: point.epoch,
            chain,
            dirty: BTreeMap::new(),
            frozen: None,
            clean: Cache::new(CLEAN_RECORDS),
            extents: Vec::new(),
            open: None,
            ended: false,
        }
    }

    /// No commit takes what would be changed from now on. An owner asks under its lock, before each change.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next cut is the last one.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The space that the line writes.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// The open epoch: the birth of everything that is written now.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Changed records that no commit has taken yet.
    #[must_use]
    pub fn dirty_records(&self) -> usize {
        self.dirty.len()
    }

    /// Writes a version of `key`.
    pub fn put(&mut self, key: Key, body: Box<[u8]>, pieces: Box<[Piece]>) {
        let base = self.base(key);
        self.set(key, base, Some((body, pieces)));
    }

    /// Writes a version of a key that is known to be absent now, without reading it.
    pub fn put_new(&mut self, key: Key, body: Box<[u8]>, pieces: Box<[Piece]>) {
        let base = self.absent_base(key);
        self.set(key, base, Some((body, pieces)));
    }

    /// Writes the first version of a key that this line's history has *never* held, for example under a fresh
    /// inode number. Quicker to delete again than after [`LiveLine::put_new`].
    pub fn put_fresh(&mut self, key: Key, body: Box<[u8]>, pieces: Box<[Piece]>) {
        self.put_new(key, body, pieces);
        if let Some(Change { base: Base::Known(None), new: Some(record) }) =
            self.dirty.get_mut(&key)
            && let Some(record) = Arc::get_mut(record)
        {
            record.over = false;
        }
    }

    fn absent_base(&mut self, key: Key) -> Base {
        let changed = self.dirty.contains_key(&key)
            || self.frozen.as_ref().is_some_and(|frozen| frozen.changes.contains_key(&key));
        if changed { self.base(key) } else { Base::Known(None) }
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: Key) {
        let base = self.base(key);
        if matches!(base, Base::Known(None)) {
            if self.dirty.remove(&key).is_some() {
                self.shared.dirty_records.fetch_sub(1, Ordering::Relaxed);
            }
            self.clean.insert(key, None, 1);
            return;
        }
        self.set(key, base, None);
    }

    fn set(&mut self, key: Key, base: Base, new: Option<Content>) {
        let epoch = self.epoch;
        let over = match &base {
            Base::Known(Some(old)) => old.over || old.birth < epoch,
            // A tombstone of this very epoch may lie there and would be replaced.
            Base::Known(None) | Base::Unknown => true,
        };
        let new = new.map(|(body, pieces)| {
            Arc::new(Record { birth: epoch, body, pieces: joined(pieces), over })
        });
        if self.dirty.insert(key, Change { base, new }).is_none() {
            self.shared.dirty_records.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was there before this round.
    fn base(&mut self, key: Key) -> Base {
        if let Some(change) = self.dirty.get(&key) {
            return change.base.clone();
        }
        if let Some(change) = self.frozen.as_ref().and_then(|frozen| frozen.changes.get(&key)) {
            return Base::Known(change.new.clone());
        }
        match self.clean.get(&key) {
            Some(record) => Base::Known(record),
            None => Base::Unknown,
        }
    }

    /// Takes whole blocks of new data (at most 32) for `object` from its block `first_block` on. The pieces
    /// start at position `at` and follow each other.
    pub fn stage(&mut self, object: u64, first_block: u64, at: u16, data: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(1);
        let (mut at, mut block, mut rest) = (at, first_block, data);
        while !rest.is_empty() {
            let extent = self.extent_for(rest.len() / BLOCK);
            let count = extent.room().min(rest.len() / BLOCK);
            if count == 0 {
                break;
            }
            let (now, later) = rest.split_at(count * BLOCK);
            let owner =
                Owner { space: self.space.0, object, first_block: block, count: 0, index: 0 };
            let first = extent.push(owner, now);
            let len = u16::try_from(count).unwrap_or(u16::MAX);
            pieces.push(Piece { at, len, extent: extent.id, first, birth: self.epoch });
            at = at.saturating_add(len);
            block += count as u64;
            rest = later;
            self.shared.ram.unwritten.fetch_add(now.len(), Ordering::Relaxed);
            if extent.room() == 0 {
                self.full(&extent);
            }
        }
        pieces
    }

    /// A whole span gets an extent of its own; less goes behind what was staged before.
    fn extent_for(&mut self, blocks: usize) -> Arc<RamExtent> {
        if blocks < EXTENT_BLOCKS
            && let Some(open) = &self.open
        {
            return open.clone();
        }
        let id = self.shared.next_extent.fetch_add(1, Ordering::Relaxed);
        let extent = Arc::new(RamExtent::new(id, self.shared.ram.buffer()));
        self.shared.ram.insert(extent.clone());
        self.extents.push(extent.clone());
        if blocks < EXTENT_BLOCKS {
            self.open = Some(extent.clone());
        }
        extent
    }

    fn full(&mut self, extent: &Arc<RamExtent>) {
        extent.seal();
        if self.open.as_ref().is_some_and(|open| open.id == extent.id) {
            self.open = None;
        }
        self.shared.ram.enqueue(extent.clone());
        self.shared.bell.ring(|wanted| wanted.write = true);
    }

    /// Overwrites bytes of a block that was staged in this round; `false`: stage a new block instead.
    pub fn modify(&mut self, extent: u64, index: u16, offset: usize, data: &[u8]) -> bool {
        self.open
            .as_ref()
            .filter(|open| open.id == extent)
            .is_some_and(|open| open.modify(index, offset, data))
    }

    /// Another reference to the blocks of `piece`, at position `at`.
    #[must_use]
    pub fn share(&self, piece: &Piece, at: u16) -> Piece {
        // Two references: from now on neither may be changed in place.
        if let Some(open) = self.open.as_ref().filter(|open| open.id == piece.extent) {
            open.seal();
        }
        Piece { at, birth: self.epoch, ..*piece }
    }

    /// Blocks that are reserved and read as zeroes.
    #[must_use]
    pub fn reserve(&self, at: u16, len: u16) -> Piece {
        Piece { at, len, extent: 0, first: 0, birth: self.epoch }
    }

    /// Hands all changes over; later ones belong to the next round, and to `next` if given.
    pub(crate) fn cut(&mut self, next: Option<Epoch>) -> Arc<Frozen> {
        self.absorb();
        if let Some(open) = self.open.take() {
            open.seal();
        }
        let frozen = Arc::new(Frozen {
            space: self.space,
            epoch: self.epoch,
            changes: std::mem::take(&mut self.dirty),
            extents: std::mem::take(&mut self.extents),
        });
        self.shared.dirty_records.fetch_sub(frozen.changes.len(), Ordering::Relaxed);
        self.frozen = Some(frozen.clone());
        if let Some(next) = next {
            self.epoch = next;
            if let Some(first) = self.chain.first_mut() {
                first.epoch = next;
            }
        }
        frozen
    }

    /// Moves the changes of a finished commit into the cache.
    fn absorb(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        for (key, change) in &frozen.changes {
            self.clean.insert(*key, change.new.clone(), 1);
        }
    }

    /// Forgets everything that no commit has taken.
    fn discard(&mut self) {
        self.shared.abandon(&self.extents);
        self.shared.dirty_records.fetch_sub(self.dirty.len(), Ordering::Relaxed);
        self.extents.clear();
        self.dirty.clear();
        self.open = None;
    }

    fn overlay(&self, key: Key) -> Option<&Option<Arc<Record>>> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.changes.get(&key));
        self.dirty.get(&key).or_else(frozen).map(|change| &change.new)
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Neighbouring pieces of one extent become one.
fn joined(pieces: Box<[Piece]>) -> Box<[Piece]> {
    let follows = |a: &Piece, b: &Piece| {
        a.extent == b.extent
            && a.birth == b.birth
            && a.at + a.len == b.at
            && (a.extent == 0 || a.first + a.len == b.first)
    };
    if pieces.windows(2).all(|pair| !matches!(pair, [a, b] if follows(a, b))) {
        return pieces;
    }
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match out.last_mut() {
            Some(last) if follows(last, &piece) => last.len += piece.len,
            _ => out.push(piece),
        }
    }
    out.into()
}

impl Moment for LiveLine {
    fn get(&mut self, key: Key) -> Result<Option<Arc<Record>>> {
        if let Some(found) = self.overlay(key) {
            return Ok(found.clone());
        }
        if let Some(found) = self.clean.get(&key) {
            return Ok(found);
        }
        let found = self.shared.get_record(&self.chain, key)?.map(Arc::new);
        self.clean.insert(key, found.clone(), 1);
        Ok(found)
    }

    fn scan(&mut self, from: Key, to: Key, visit: &mut Visit<'_>) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let none = BTreeMap::new();
        let changes = self.frozen.as_ref().map_or(&none, |frozen| &frozen.changes);
        let mut overlay = Overlay {
            dirty: self.dirty.range(range).peekable(),
            frozen: changes.range(range).peekable(),
        };
        let mut stopped = false;
        self.shared.scan_records(&self.chain, from, to, &mut |key, record| {
            while let Some((changed, new)) = overlay.next_upto(key) {
                if let Some(new) = new
                    && visit(changed, new).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
                if changed == key {
                    return ControlFlow::Continue(());
                }
            }
            let flow = visit(key, &Arc::new(record));
            stopped = flow.is_break();
            flow
        })?;
        while !stopped && let Some((changed, new)) = overlay.next_upto(to) {
            stopped = new.as_ref().is_some_and(|new| visit(changed, new).is_break());
        }
        Ok(())
    }

    fn prefetch(&mut self, keys: &[Key]) -> Result<()> {
        let wanted = missing(keys, |key| self.overlay(key).is_some() || self.clean.contains(&key));
        let clean = &mut self.clean;
        self.shared.get_records(&self.chain, &wanted, &mut |key, record| {
            clean.insert(key, record.map(Arc::new), 1);
        })
    }

    fn blocks(&self) -> BlockReader {
        BlockReader(self.shared.clone())
    }
}

type Changes<'c> = std::iter::Peekable<std::collections::btree_map::Range<'c, Key, Change>>;

/// Two layers of changes as one ordered sequence; the newer layer wins.
struct Overlay<'c> {
    dirty: Changes<'c>,
    frozen: Changes<'c>,
}

impl<'c> Overlay<'c> {
    fn next_upto(&mut self, limit: Key) -> Option<(Key, &'c Option<Arc<Record>>)> {
        let dirty = self.dirty.peek().map(|(key, _)| **key);
        let frozen = self.frozen.peek().map(|(key, _)| **key);
        let key = match (dirty, frozen) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        if key > limit {
            return None;
        }
        let older = if frozen == Some(key) { self.frozen.next() } else { None };
        let newer = if dirty == Some(key) { self.dirty.next() } else { None };
        newer.or(older).map(|(key, change)| (*key, &change.new))
    }
}
