//! The versioned map itself: opens it, changes spaces and points, commits changes.
//!
//! All changes go into a batch that the caller writes in one piece together with its own rows; the state in memory
//! changes at the same time, so a failed write means: close and open again. The caller serialises all
//! calls that take `&mut self`. Reading needs no lock: see [`crate::read`].

use crate::codec::{
    ALIVE, Bytes, Dead, TOMBSTONE_VALUE, cell_row, dead_row, encode_dead, encode_keys,
    encode_record, parse_row, prefix, put_varint, record_bytes, row_range, space_row, touched_row,
    version_row,
};
use crate::error::{HistoryError, Result};
use crate::read;
use crate::thin::Stale;
use crate::tree::{Removal, Sequence, Space, Tree, Work};
use crate::types::{Epoch, Key, Piece, Point, Record, SpaceId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tintype_kv::{Batch, Kv};

/// Accounted bytes of one block of data.
pub const BLOCK_BYTES: u64 = 4096;

/// Items in one row of a dead list.
const DEAD_CHUNK: usize = 512;
/// Keys in one row of touched keys.
const TOUCHED_CHUNK: usize = 4096;

/// What a change starts from.
#[derive(Clone, Debug)]
pub enum Base {
    /// The newest version before this change, `None` when the key was absent.
    Known(Option<Arc<Record>>),
    /// Not at hand: looked up at commit.
    Unknown,
}

/// One key's change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Before.
    pub base: Base,
    /// After; `None` deletes.
    pub new: Option<Arc<Record>>,
}

/// Consecutive blocks of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocks {
    /// The extent.
    pub extent: u64,
    /// First index.
    pub first: u16,
    /// Number of blocks.
    pub len: u16,
}

/// What a commit or a step of reclaim means for data.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// References that came into being.
    pub born: Vec<Blocks>,
    /// References that nothing needs any more.
    pub freed: Vec<Blocks>,
    /// Accounted bytes freed.
    pub freed_bytes: u64,
}

/// The versioned map.
pub struct History {
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) tree: Tree,
    pub(crate) queue: BTreeSet<Work>,
    /// Finished cells may make further work due.
    pub(crate) deep: bool,
    excluded: BTreeSet<Work>,
    next_epoch: u64,
    next_space: u64,
    next_seq: u64,
    pub(crate) dirty_cells: BTreeSet<(SpaceId, Epoch, Epoch)>,
    pub(crate) stale: Stale,
    pub(crate) moved: Moved,
}

/// Spaces of which sums are other ones than when they were last asked for; some may have gone.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Cells have changed.
    pub cells: BTreeSet<SpaceId>,
    /// So has who sees what, or what older spaces own.
    pub shape: BTreeSet<SpaceId>,
}

impl History {
    /// Loads spaces and cells. Heads and names are the caller's to add before [`History::recount`].
    ///
    /// # Errors
    /// The engine failed or a row is damaged.
    pub fn open(kv: Arc<dyn Kv>) -> Result<Self> {
        let mut history = Self {
            kv,
            tree: Tree::default(),
            queue: BTreeSet::new(),
            deep: false,
            excluded: BTreeSet::new(),
            next_epoch: 1,
            next_space: 1,
            next_seq: 1,
            dirty_cells: BTreeSet::new(),
            stale: Stale::default(),
            moved: Moved::default(),
        };
        history.load_counters()?;
        history.load_spaces()?;
        history.load_cells()?;
        Ok(history)
    }

    fn load_counters(&mut self) -> Result<()> {
        let Some(value) = self.kv.get(&[prefix::COUNTERS])? else { return Ok(()) };
        let mut reader = Bytes(&value);
        let damaged =
            || HistoryError::Damaged { what: "counter", detail: "short value".to_owned() };
        self.next_epoch = reader.varint().ok_or_else(damaged)?;
        self.next_space = reader.varint().ok_or_else(damaged)?;
        self.next_seq = reader.varint().ok_or_else(damaged)?;
        Ok(())
    }

    fn load_spaces(&mut self) -> Result<()> {
        let (from, to) = row_range(prefix::SPACE, &[]);
        for row in self.kv.range(&from, &to) {
            let (key, value) = row?;
            let damaged = || HistoryError::Damaged { what: "space", detail: format!("{key:?}") };
            let [id] = parse_row::<1>(&key).ok_or_else(damaged)?;
            self.tree.insert(SpaceId(id), decode_space(&value).ok_or_else(damaged)?);
        }
        self.tree.link_children();
        self.moved.shape.extend(self.tree.iter().map(|(id, _)| id));
        Ok(())
    }

    fn load_cells(&mut self) -> Result<()> {
        let (from, to) = row_range(prefix::CELL, &[]);
        for row in self.kv.range(&from, &to) {
            let (key, value) = row?;
            let damaged = || HistoryError::Damaged { what: "cell", detail: format!("{key:?}") };
            let [space, death, birth] = parse_row::<3>(&key).ok_or_else(damaged)?;
            let bytes = Bytes(&value).varint().ok_or_else(damaged)?;
            let space = self.tree.get_mut(SpaceId(space)).ok_or_else(damaged)?;
            if Epoch(death) == ALIVE {
                space.cells.set_alive(Epoch(birth), bytes);
            } else {
                space.cells.set_dead(Epoch(death), Epoch(birth), bytes);
            }
        }
        Ok(())
    }

    /// Derives again what is due in these spaces, from which names or heads went. What follows from carrying it out is derived then.
    pub fn recount_near(&mut self, changed: &BTreeSet<SpaceId>) {
        let near = self.tree.near(changed);
        self.queue.retain(|item| !near.contains(&item.space()));
        self.queue.extend(self.tree.due_in(&near));
        self.queue.retain(|item| !self.excluded.contains(item));
        self.deep |= !self.queue.is_empty();
    }

    /// Derives all due work from scratch.
    pub fn recount(&mut self) {
        self.queue = self.tree.due().into_iter().collect();
        self.queue.retain(|item| !self.excluded.contains(item));
        self.deep = !self.queue.is_empty();
    }

    /// The piece of work that the next step does.
    #[must_use]
    pub fn first_due(&self) -> Option<Work> {
        self.queue.first().copied()
    }

    /// Leaves this work undone.
    pub fn exclude(&mut self, work: &BTreeSet<Work>) {
        self.excluded = work.clone();
        self.queue.retain(|item| !self.excluded.contains(item));
    }

    /// As [`History::recount`], and finds cuts that a crash left half done.
    ///
    /// # Errors
    /// The engine failed.
    pub fn resume(&mut self) -> Result<()> {
        self.recount();
        let ends: Vec<_> = self.tree.ends().collect();
        for (space, after) in ends {
            let mut left = false;
            for kind in [prefix::TOUCHED, prefix::DEAD] {
                let (from, _) = row_range(kind, &[space.0, after.0.saturating_add(1)]);
                let (_, to) = row_range(kind, &[space.0]);
                left |= self.kv.range(&from, &to).next().transpose()?.is_some();
            }
            if left {
                self.queue.insert(Work::CutBack { space, after });
                self.deep = true;
            }
        }
        Ok(())
    }

    /// The spaces and their sums.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The spaces of which sums have changed since this was last called, or since opening.
    pub fn take_moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// Marks or unmarks a live end; call [`History::recount_near`] after the last of a group of such changes.
    pub fn set_head(&mut self, space: SpaceId, head: bool) {
        if let Some(found) = self.tree.get_mut(space) {
            found.head = head;
            self.moved.shape.insert(space);
        }
    }

    /// The spaces of this tag are nobody's from now on.
    pub fn disown(&mut self, batch: &mut Batch, tag: u64) {
        let spaces: Vec<_> =
            self.tree.iter().filter(|(_, s)| s.tag == tag).map(|(id, _)| id).collect();
        for id in spaces {
            if let Some(space) = self.tree.get_mut(id) {
                space.tag = 0;
                batch.put(space_row(id), encode_space(space));
                self.moved.shape.insert(id);
            }
        }
    }

    /// A name appears at a point.
    pub fn add_name(&mut self, point: Point) {
        self.tree.add_name(point);
        self.moved.cells.insert(point.space);
    }

    /// Names go; what nobody else sees is queued.
    pub fn remove_names(&mut self, points: &[Point]) {
        let quick = self.tree.quick(points);
        for point in points {
            self.tree.remove_name(*point);
            self.moved.shape.insert(point.space);
        }
        match quick {
            Some(cells) => self.queue.extend(cells.into_iter().map(|(work, _)| work)),
            None => self.recount_near(&points.iter().map(|point| point.space).collect()),
        }
    }

    /// What exactly this removal would free.
    #[must_use]
    pub fn predict(&mut self, removal: &Removal) -> u64 {
        self.predict_without(&[], removal)
    }

    /// As [`History::predict`], as if these names were not there.
    pub fn predict_without(&mut self, names: &[Point], removal: &Removal) -> u64 {
        let known = self.queue.iter().chain(&self.excluded).map(|work| work.space());
        let pending = known.chain(names.iter().map(|point| point.space)).collect();
        for point in names {
            self.tree.remove_name(*point);
        }
        let bytes = self.tree.predict(pending, removal);
        for point in names {
            self.tree.add_name(*point);
        }
        bytes
    }

    /// A new space with an open epoch of its own, and a head.
    pub fn create_space(&mut self, batch: &mut Batch, parent: Option<Point>, tag: u64) -> SpaceId {
        let id = SpaceId(self.next_space);
        self.next_space += 1;
        let mut space = Space::new(parent, self.take_epoch(), tag);
        space.head = true;
        batch.put(space_row(id), encode_space(&space));
        self.tree.insert(id, space);
        // It shows nothing yet that is its own, and what it forked from has the point that it names.
        self.moved.cells.insert(id);
        self.put_counters(batch);
        id
    }

    fn take_epoch(&mut self) -> Epoch {
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        epoch
    }

    /// The epoch that the next cut of any space will open. Epochs given out by
    /// [`History::reserve_epoch`] are never reused, also when they stay empty.
    pub fn reserve_epoch(&mut self) -> Epoch {
        self.take_epoch()
    }

    /// Ends the open epoch of `id` and opens `next` (from [`History::reserve_epoch`]).
    pub fn open_epoch(&mut self, batch: &mut Batch, id: SpaceId, next: Epoch) {
        if let Some(space) = self.tree.get_mut(id) {
            let closed = std::mem::replace(&mut space.open, next);
            batch.put(space_row(id), encode_space(space));
            self.note_closed(id, closed);
        }
        self.put_counters(batch);
    }

    fn put_counters(&self, batch: &mut Batch) {
        let mut value = Vec::new();
        put_varint(&mut value, self.next_epoch);
        put_varint(&mut value, self.next_space);
        put_varint(&mut value, self.next_seq);
        batch.put(vec![prefix::COUNTERS], value);
    }

    fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Puts one space's changes of its epoch `epoch` into the batch.
    ///
    /// Every `new` record must carry `epoch` as its birth; new pieces too.
    ///
    /// # Errors
    /// A base had to be looked up and could not be read. Nothing in memory has changed then
    /// except what belongs to this batch: treat it as a failed write.
    pub fn commit<'c>(
        &mut self,
        batch: &mut Batch,
        space: SpaceId,
        epoch: Epoch,
        changes: impl Iterator<Item = (Key, &'c Change)>,
        output: &mut Output,
    ) -> Result<()> {
        let sequence = self.tree.sequence(space);
        // In a joined sequence it may free what older spaces own.
        if sequence.spaces.len() > 1 {
            self.moved.shape.insert(space);
        }
        let mut commit = Commit {
            space,
            epoch,
            chain: self.tree.chain(Point { space, epoch }),
            touched_wanted: self.tree.has_earlier_point(space),
            sequence,
            history: self,
            batch,
            output,
            dead: BTreeMap::new(),
            touched: Vec::new(),
        };
        for (key, change) in changes {
            commit.change(key, change)?;
        }
        commit.finish();
        self.flush_cells(batch);
        self.put_counters(batch);
        Ok(())
    }

    pub(crate) fn add_alive(&mut self, space: SpaceId, birth: Epoch, bytes: i64) {
        if let Some(found) = self.tree.get_mut(space) {
            let cells = &mut found.cells;
            cells.set_alive(birth, cells.alive(birth).saturating_add_signed(bytes));
            self.dirty_cells.insert((space, ALIVE, birth));
            self.moved.cells.insert(space);
        }
    }

    pub(crate) fn add_dead(&mut self, space: SpaceId, death: Epoch, birth: Epoch, bytes: i64) {
        if let Some(found) = self.tree.get_mut(space) {
            let cells = &mut found.cells;
            cells.set_dead(death, birth, cells.dead(death, birth).saturating_add_signed(bytes));
            self.dirty_cells.insert((space, death, birth));
            self.moved.cells.insert(space);
        }
    }

    pub(crate) fn flush_cells(&mut self, batch: &mut Batch) {
        for (space, death, birth) in std::mem::take(&mut self.dirty_cells) {
            let Some(cells) = self.tree.get(space).map(|space| &space.cells) else { continue };
            let bytes = if death == ALIVE { cells.alive(birth) } else { cells.dead(death, birth) };
            let row = cell_row(space, death, birth);
            if bytes == 0 {
                batch.delete(row);
            } else {
                let mut value = Vec::new();
                put_varint(&mut value, bytes);
                batch.put(row, value);
            }
        }
    }
}

pub(crate) fn encode_space(space: &Space) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, space.open.0);
    put_varint(&mut out, space.tag);
    if let Some(parent) = space.parent {
        put_varint(&mut out, parent.space.0);
        put_varint(&mut out, parent.epoch.0);
    }
    out
}

fn decode_space(bytes: &[u8]) -> Option<Space> {
    let mut reader = Bytes(bytes);
    let open = Epoch(reader.varint()?);
    let tag = reader.varint()?;
    let parent = if reader.0.is_empty() {
        None
    } else {
        Some(Point { space: SpaceId(reader.varint()?), epoch: Epoch(reader.varint()?) })
    };
    reader.0.is_empty().then(|| Space::new(parent, open, tag))
}

/// One space's part of a commit.
struct Commit<'c> {
    history: &'c mut History,
    batch: &'c mut Batch,
    output: &'c mut Output,
    space: SpaceId,
    epoch: Epoch,
    chain: Vec<Point>,
    sequence: Sequence,
    touched_wanted: bool,
    dead: BTreeMap<Epoch, Vec<Dead>>,
    touched: Vec<Key>,
}

/// What becomes of an item that dies now.
enum Fate {
    /// Nobody can see it: it goes in this batch.
    Free(SpaceId),
    /// Some point needs it, or it is inherited: it is listed.
    Listed,
}

impl Commit<'_> {
    fn change(&mut self, key: Key, change: &Change) -> Result<()> {
        let looked_up;
        let old = match &change.base {
            Base::Known(record) => record.as_deref(),
            Base::Unknown => {
                looked_up = read::get(&*self.history.kv, &self.chain, key)?;
                looked_up.as_ref()
            }
        };
        let new = change.new.as_deref();
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        if self.touched_wanted && old.is_none_or(|old| old.birth != self.epoch) {
            self.touched.push(key);
        }
        let old_pieces = old.map_or(&[][..], |record| &record.pieces);
        let new_pieces = new.map_or(&[][..], |record| &record.pieces);
        self.pieces(old_pieces, new_pieces);
        let keep_tombstone = match old {
            Some(old) => self.version_dies(key, old, new.is_none())?,
            None => false,
        };
        self.write_version(key, new, keep_tombstone);
        Ok(())
    }

    fn write_version(&mut self, key: Key, new: Option<&Record>, tombstone: bool) {
        let row = version_row(self.space, key, self.epoch);
        match new {
            Some(record) => {
                self.batch.put(row, encode_record(record));
                let bytes = record_bytes(record).cast_signed();
                self.history.add_alive(self.space, self.epoch, bytes);
            }
            None if tombstone => {
                self.batch.put(row, TOMBSTONE_VALUE.to_vec());
            }
            None => {
                self.batch.delete(row);
            }
        }
    }

    /// Accounts for the end of a version; answers whether a deletion needs a tombstone.
    fn version_dies(&mut self, key: Key, old: &Record, deleted: bool) -> Result<bool> {
        let bytes = record_bytes(old);
        match self.fate(old.birth, bytes) {
            Fate::Listed => {
                self.dead.entry(old.birth).or_default().push(Dead::Version(key));
                Ok(true)
            }
            Fate::Free(owner) => {
                if old.birth != self.epoch {
                    self.batch.delete(version_row(owner, key, old.birth));
                }
                self.output.freed_bytes += bytes;
                let tombstone = deleted && old.over && self.older_exists(key, old.birth)?;
                // Also when it was born just now: if it comes again, the list names it twice.
                if old.birth != self.epoch || deleted {
                    self.history.note_gone(owner, old.birth);
                }
                if deleted && !tombstone {
                    self.history.note_gone(self.space, self.epoch);
                }
                Ok(tombstone)
            }
        }
    }

    fn older_exists(&self, key: Key, birth: Epoch) -> Result<bool> {
        let Some(below) = birth.0.checked_sub(1) else { return Ok(false) };
        let point = Point { space: self.space, epoch: Epoch(below) };
        let chain = self.history.tree.chain(point);
        let clipped: Vec<_> = chain
            .into_iter()
            .map(|part| Point { epoch: part.epoch.min(Epoch(below)), ..part })
            .collect();
        Ok(read::get(&*self.history.kv, &clipped, key)?.is_some())
    }

    fn fate(&mut self, birth: Epoch, bytes: u64) -> Fate {
        let signed = bytes.cast_signed();
        let owner = self.history.tree.owner(self.space, birth);
        let inherited = birth <= self.sequence.base;
        if !inherited && !self.history.tree.seen(&self.sequence, birth, self.epoch) {
            self.history.add_alive(owner, birth, -signed);
            return Fate::Free(owner);
        }
        if owner == self.space {
            self.history.add_alive(owner, birth, -signed);
        }
        self.history.add_dead(self.space, self.epoch, birth, signed);
        Fate::Listed
    }

    fn pieces(&mut self, old: &[Piece], new: &[Piece]) {
        if old == new {
            return;
        }
        let mut born = RunBuilder::default();
        for (at, block) in blocks(new) {
            if lookup(old, at) != Some(block) {
                born.push(block);
            }
        }
        for (run, _) in born.finish() {
            self.history.add_alive(
                self.space,
                self.epoch,
                (u64::from(run.len) * BLOCK_BYTES).cast_signed(),
            );
            self.output.born.push(run);
        }
        let mut died = RunBuilder::default();
        for (at, block) in blocks(old) {
            if lookup(new, at) != Some(block) {
                died.push(block);
            }
        }
        for (run, birth) in died.finish() {
            self.blocks_die(run, birth);
        }
    }

    fn blocks_die(&mut self, run: Blocks, birth: Epoch) {
        let bytes = u64::from(run.len) * BLOCK_BYTES;
        match self.fate(birth, bytes) {
            Fate::Free(_) => {
                self.output.freed_bytes += bytes;
                self.output.freed.push(run);
            }
            Fate::Listed => self.dead.entry(birth).or_default().push(Dead::Blocks {
                extent: run.extent,
                first: run.first,
                len: run.len,
            }),
        }
    }

    fn finish(mut self) {
        for (birth, items) in std::mem::take(&mut self.dead) {
            for chunk in items.chunks(DEAD_CHUNK) {
                let seq = self.history.take_seq();
                let row = dead_row(self.space, self.epoch, birth, seq);
                self.batch.put(row, encode_dead(chunk));
            }
        }
        for chunk in self.touched.chunks(TOUCHED_CHUNK) {
            let seq = self.history.take_seq();
            self.batch.put(touched_row(self.space, self.epoch, seq), encode_keys(chunk));
        }
    }
}

type BlockRef = (u64, u16, Epoch);

/// All written blocks of a record as (position, reference).
pub(crate) fn blocks(pieces: &[Piece]) -> impl Iterator<Item = (u16, BlockRef)> + '_ {
    pieces.iter().filter(|piece| piece.extent != 0).flat_map(|piece| {
        (0..piece.len).map(move |step| {
            let reference = (piece.extent, piece.first.saturating_add(step), piece.birth);
            (piece.at.saturating_add(step), reference)
        })
    })
}

fn lookup(pieces: &[Piece], at: u16) -> Option<BlockRef> {
    let index = pieces.partition_point(|piece| piece.at <= at).checked_sub(1)?;
    let piece = pieces.get(index)?;
    piece.block(at).filter(|_| piece.extent != 0)
}

/// Joins block references into runs of consecutive blocks with one birth.
#[derive(Default)]
pub(crate) struct RunBuilder {
    runs: Vec<(Blocks, Epoch)>,
}

impl RunBuilder {
    pub(crate) fn push(&mut self, (extent, index, birth): BlockRef) {
        if let Some((run, run_birth)) = self.runs.last_mut()
            && run.extent == extent
            && *run_birth == birth
            && run.first.checked_add(run.len) == Some(index)
        {
            run.len += 1;
            return;
        }
        self.runs.push((Blocks { extent, first: index, len: 1 }, birth));
    }

    pub(crate) fn finish(self) -> Vec<(Blocks, Epoch)> {
        self.runs
    }
}
