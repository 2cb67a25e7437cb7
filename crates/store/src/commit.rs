//! The commit: one instant of all lines becomes durable in one batch.
//!
//! Order, and why a crash at any place is safe: extents are appended and their segments synced; then one batch
//! with every record, list, sum and extent row is written and synced. Before the batch is durable nothing points to the new
//! extents; after it everything does. The state after a crash is the state at some commit.

use crate::clean::GROUP_BYTES;
use crate::error::{Result, StoreError};
use crate::lines::{LineOwner, Replacing};
use crate::live::Frozen;
use crate::ram::RamExtent;
use crate::refs::RefChanges;
use crate::room::{Aim, Round};
use crate::store::{Core, NEXT_EXTENT, Store};
use parking_lot::MutexGuard;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tintype_history::codec::put_varint;
use tintype_history::{Epoch, Output, SpaceId};
use tintype_kv::Batch;
use tintype_segments::{
    BLOCK, Codec, EXTENT_BLOCKS, Encoded, ExtentId, Stored, encode, encode_bytes,
};

/// Extents that are packed and appended together.
const WRITE_GROUP: usize = 16;

/// Room that such a group takes at most.
pub(crate) const AHEAD_BYTES: u64 = (WRITE_GROUP * EXTENT_BLOCKS * BLOCK) as u64;

/// Proof that the caller holds the commit lock.
pub(crate) type CommitGuard<'s> = MutexGuard<'s, ()>;

impl Store {
    /// Everything that returned before this call is durable when it returns. Concurrent callers share one commit.
    ///
    /// # Errors
    /// The disk is full ([`StoreError::is_full`]): the changes wait in memory. Another write or sync failed: the store is poisoned.
    pub fn sync(&self) -> Result<()> {
        let wanted = self.started.load(Ordering::SeqCst) + 1;
        let guard = self.commit.lock();
        if self.done.load(Ordering::SeqCst) >= wanted {
            return self.shared.check();
        }
        self.commit_for(&guard, &BTreeMap::new(), Aim::Keep, |_, _| Ok(()))
    }

    /// Takes all changes into the engines, durable too.
    pub(crate) fn commit_now(&self) -> Result<()> {
        self.sync()
    }

    /// One commit. `next` opens new epochs at the instant of the cut; `extra` adds to the batch after the
    /// lines' changes.
    pub(crate) fn run_commit<T>(
        &self,
        guard: &CommitGuard<'_>,
        next: &BTreeMap<SpaceId, Epoch>,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<T>,
    ) -> Result<T> {
        self.commit_for(guard, next, Aim::Make, extra)
    }

    /// As [`Store::run_commit`]; `aim` says what it is for.
    pub(crate) fn commit_for<T>(
        &self,
        guard: &CommitGuard<'_>,
        next: &BTreeMap<SpaceId, Epoch>,
        aim: Aim,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<T>,
    ) -> Result<T> {
        self.commit_by(guard, aim, || {
            let frozen = self.cut_all(next, None);
            let round = Round { frozen, next: next.clone(), refused: 0 };
            self.write_or_hold(round, aim, extra)
        })
    }

    /// As [`Store::run_commit`], and one owner's line goes on in the space that `extra` makes.
    pub(crate) fn run_replacing(
        &self,
        guard: &CommitGuard<'_>,
        next: &BTreeMap<SpaceId, Epoch>,
        replacing: &Replacing<'_>,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<SpaceId>,
    ) -> Result<SpaceId> {
        self.commit_by(guard, Aim::Make, || self.cut_and_replace(replacing, next, extra))
    }

    fn commit_by<T>(
        &self,
        _guard: &CommitGuard<'_>,
        aim: Aim,
        cut_and_write: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.shared.check()?;
        let ticket = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        let committed = self.make_ready(aim).and_then(|()| cut_and_write());
        self.note_room(&committed);
        if committed.is_ok() {
            self.done.store(ticket, Ordering::SeqCst);
            self.settle_loans(ticket);
        }
        self.shared.bell.room.notify_all();
        committed
    }

    /// Writes a cut and what `extra` adds. Without room nothing has changed, but for extents that a segment has.
    pub(crate) fn write_commit<T>(
        &self,
        round: &Round,
        aim: Aim,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<T>,
    ) -> Result<T> {
        let Round { frozen, next, .. } = round;
        let stored = self.poisoning(self.write_extents(frozen))?;
        let mut core = self.core.lock();
        let mut batch = Batch::new();
        if aim.frees(stored.len()) {
            batch.frees_space();
        }
        let places: Vec<_> = stored.iter().map(|(_, place)| place.clone()).collect();
        let filled = self.fill_batch(&mut core, &mut batch, frozen, stored, next);
        self.poisoning(filled)?;
        // What the caller adds may be refused without harm: it checks before it changes anything.
        let extra_done = extra(&mut core, &mut batch);
        let written = self.write_batch(&mut core, batch, true);
        self.poisoning(written)?;
        self.shared.settled(places.iter());
        self.finish(&mut core, frozen);
        extra_done
    }

    /// A failure between cut and durable batch stops the store: memory and disk would disagree. A full disk has
    /// changed nothing.
    pub(crate) fn poisoning<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && !error.is_full()
        {
            self.shared.poison(error);
        }
        result
    }

    /// Writes a batch that follows from changes of `core`. Without room for it these are taken back.
    pub(crate) fn write_batch(&self, core: &mut Core, batch: Batch, durable: bool) -> Result<()> {
        self.shared.check()?;
        if !batch.is_empty() {
            let bytes = batch.bytes() as u64;
            self.shared.kv.write(batch).map_err(|error| self.undo(core, error.into(), bytes))?;
            core.unsynced = true;
        }
        if durable && core.unsynced {
            self.shared.kv.sync()?;
            core.unsynced = false;
        }
        Ok(())
    }

    /// All lines at one instant: every owner's lock is held before the first line is cut. The caller holds that of `without`, and cuts it.
    pub(crate) fn cut_all(
        &self,
        next: &BTreeMap<SpaceId, Epoch>,
        without: Option<SpaceId>,
    ) -> Vec<Arc<Frozen>> {
        let mut owners = self.owners.lock();
        owners.retain(|_, owner| owner.strong_count() > 0);
        let others = owners.iter().filter(|(space, _)| Some(**space) != without);
        let held: Vec<_> = others.filter_map(|(_, owner)| owner.upgrade()).collect();
        drop(owners);
        let mut frozen = Vec::with_capacity(held.len());
        cut_rest(&held, next, &mut frozen);
        frozen.retain(|part| !part.is_empty());
        frozen
    }

    fn fill_batch(
        &self,
        core: &mut Core,
        batch: &mut Batch,
        frozen: &[Arc<Frozen>],
        stored: Vec<(u64, Stored)>,
        next: &BTreeMap<SpaceId, Epoch>,
    ) -> Result<()> {
        let mut output = Output::default();
        for part in frozen {
            let changes = part.changes.iter().map(|(key, change)| (*key, change));
            core.history.commit(batch, part.space, part.epoch, changes, &mut output)?;
        }
        for (space, epoch) in next {
            core.history.open_epoch(batch, *space, *epoch);
        }
        if !stored.is_empty() {
            let mut value = Vec::new();
            put_varint(&mut value, self.shared.next_extent.load(Ordering::Relaxed));
            batch.put(NEXT_EXTENT, value);
        }
        self.apply_refs(core, batch, stored, &output)
    }

    pub(crate) fn apply_refs(
        &self,
        core: &mut Core,
        batch: &mut Batch,
        stored: Vec<(u64, Stored)>,
        output: &Output,
    ) -> Result<()> {
        if !output.freed.is_empty() || !stored.is_empty() {
            self.clean_due.store(true, Ordering::Release);
        }
        let mut changes = RefChanges::new(&self.shared, stored.into_iter());
        changes.apply(output)?;
        changes.finish(batch, &mut core.sums);
        Ok(())
    }

    fn finish(&self, core: &mut Core, frozen: &[Arc<Frozen>]) {
        for part in frozen {
            self.shared.ram.remove(part.extents.iter());
        }
        self.publish_usage(core);
    }

    /// Writes the extents of a cut that the writer has not written yet, and syncs them. The writer goes on meanwhile: nobody waits for the disk who
    /// has asked for no sync.
    fn write_extents(&self, frozen: &[Arc<Frozen>]) -> Result<Vec<(u64, Stored)>> {
        let stored = self.append_rest(frozen)?;
        if stored.iter().any(|(_, stored)| !stored.is_inline()) {
            self.shared.segments.sync()?;
        }
        Ok(stored)
    }

    /// Appends what is left of a cut; where all of it lies. A small commit keeps it inline.
    fn append_rest(&self, frozen: &[Arc<Frozen>]) -> Result<Vec<(u64, Stored)>> {
        let _write = self.write.lock();
        let all: Vec<_> = frozen.iter().flat_map(|part| &part.extents).collect();
        let waiting: usize = all.iter().map(|extent| extent.held()).sum();
        let inline = waiting <= self.options.inline_commit
            && all.iter().all(|extent| extent.stored().is_none());
        let mut stored = Vec::with_capacity(all.len());
        for part in frozen {
            let codec = self.codec(part.space);
            for group in part.extents.chunks(WRITE_GROUP) {
                self.write_group(codec, group, inline)?;
            }
            for extent in &part.extents {
                let place = extent.stored().ok_or(StoreError::Moved(extent.id))?;
                stored.push((extent.id, place));
            }
        }
        Ok(stored)
    }

    fn codec(&self, space: SpaceId) -> Codec {
        let core = self.core.lock();
        let tag = core.history.tree().get(space).map_or(0, |space| space.tag);
        Self::codec_of(&core, tag)
    }

    fn write_group(&self, codec: Codec, group: &[Arc<RamExtent>], inline: bool) -> Result<()> {
        let mut packed = Vec::with_capacity(group.len());
        for extent in group {
            extent.seal();
            if let Some(encoded) = pack(extent, codec, inline) {
                packed.push((extent, encoded?));
            }
        }
        let places = if inline {
            packed.iter().map(|(_, encoded)| encoded.inline()).collect()
        } else {
            self.append(&packed)?
        };
        for ((extent, encoded), place) in packed.into_iter().zip(places) {
            // It may share the buffer.
            drop(encoded);
            let (buffer, abandoned) = extent.written(place.clone());
            self.shared.ram.recycle(buffer);
            if abandoned {
                self.shared.settled(std::iter::once(&place));
            }
        }
        Ok(())
    }

    fn append(&self, packed: &[(&Arc<RamExtent>, Encoded)]) -> Result<Vec<Stored>> {
        let frames: Vec<Encoded> = packed.iter().map(|(_, encoded)| encoded.clone()).collect();
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let places = self.shared.segments.append(&frames)?;
        self.shared.appended(places.iter());
        Ok(places)
    }

    /// Writes full extents while operations go on; answers how many.
    pub(crate) fn write_ahead(&self) -> Result<usize> {
        let group = {
            let _write = self.write.lock();
            // A commit may take all room that there is. What waits for one leaves cleaning what it needs to make more.
            self.shared.kv.room_for(0, AHEAD_BYTES + GROUP_BYTES, false)?;
            let group = self.shared.ram.dequeue(WRITE_GROUP);
            let codec = self.ahead_codec(&group);
            self.write_group(codec, &group, false)?;
            group.len()
        };
        self.shared.bell.room.notify_all();
        Ok(group)
    }

    fn ahead_codec(&self, group: &[Arc<RamExtent>]) -> Codec {
        let space = group.iter().find_map(|extent| extent.space());
        space.map_or(Codec::Lz4, |space| self.codec(SpaceId(space)))
    }
}

/// `None`: there is nothing to write, because it is written or was abandoned just now. Inline, it is kept for long, so it gets a buffer of its size.
fn pack(extent: &Arc<RamExtent>, codec: Codec, inline: bool) -> Option<Result<Encoded>> {
    let (bytes, owners) = extent.share()?;
    let blocks = bytes.len() / tintype_segments::BLOCK;
    let present = u32::MAX.checked_shr(32 - u32::try_from(blocks).unwrap_or(32)).unwrap_or(0);
    let id = ExtentId(extent.id);
    let encoded = match inline {
        true => encode(codec, id, present, &owners, &bytes),
        false => encode_bytes(codec, id, present, &owners, bytes),
    };
    Some(encoded.map_err(StoreError::from))
}

fn cut_rest(
    owners: &[Arc<dyn LineOwner>],
    next: &BTreeMap<SpaceId, Epoch>,
    frozen: &mut Vec<Arc<Frozen>>,
) {
    let Some((first, rest)) = owners.split_first() else { return };
    first.with_line(&mut |line| {
        cut_rest(rest, next, frozen);
        frozen.push(line.cut(next.get(&line.space()).copied()));
    });
}
