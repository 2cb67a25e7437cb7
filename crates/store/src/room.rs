//! A disk without room: what a commit could not put there waits, and goes first when there is room again.
//!
//! Room is asked for before lines are cut. When it turns out to be missing only afterwards, the cut stays here as a round:
//! each line still shows it, nothing is cut again before it is on disk, and the state in memory goes back to what the rows
//! say. So those who wait (`sync`, snapshots) hear of the full disk, and nothing is lost as long as the store stays open.
//!
//! Snapshots and volumes can be deleted meanwhile: such a commit leaves the lines alone, and its batch may use the
//! room that the engine keeps for batches that free space.

use crate::clean::GROUP_BYTES;
use crate::commit::{AHEAD_BYTES, CommitGuard};
use crate::error::{Result, StoreError};
use crate::lines::LineOwner;
use crate::live::Frozen;
use crate::store::{Core, FULL_WAIT, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tintype_history::{Epoch, SpaceId};
use tintype_kv::Batch;

/// Bytes that a changed record takes in a batch, about, with everything that follows from it.
const ROW_BYTES: u64 = 512;
/// Bytes of a batch besides its records.
const BATCH_BYTES: u64 = 16 << 10;

/// Bytes that a step of background work takes in a batch, about.
const STEP_BYTES: u64 = 32 << 10;
/// On a full disk so many times as much may wait in memory as writers otherwise wait for.
const FULL_FACTOR: usize = 2;

/// Sizes of batches that were refused for want of room; 0: the last one was not. They are asked for before the same is tried again,
/// because a refused batch costs reading the whole history again.
#[derive(Default)]
pub(crate) struct Refused {
    last: u64,
    /// Of reclaim.
    pub(crate) step: u64,
    /// Of merging.
    pub(crate) merge: u64,
}

/// What a commit is for; it decides which room it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The lines' changes become durable. Without new data they are taken for what frees space: growth was refused above.
    Keep,
    /// Something new is made.
    Make,
    /// Something goes.
    Free,
}

impl Aim {
    /// Whether a commit with so much new data may use the room that is kept.
    pub(crate) fn frees(self, data: usize) -> bool {
        self == Self::Free || (self == Self::Keep && data == 0)
    }
}

/// One cut: parts of lines, and the epochs that they went on to.
#[derive(Default)]
pub(crate) struct Round {
    pub(crate) frozen: Vec<Arc<Frozen>>,
    pub(crate) next: BTreeMap<SpaceId, Epoch>,
    /// Bytes of the batch for which there was no room.
    pub(crate) refused: u64,
}

impl Round {
    /// Bytes of its batch, about.
    fn rows(&self) -> u64 {
        let records = self.frozen.iter().map(|part| part.changes.len()).sum();
        row_bytes(records).max(self.refused)
    }

    /// Bytes of data that no segment holds yet.
    fn data(&self) -> usize {
        self.frozen.iter().flat_map(|part| &part.extents).map(|extent| extent.held()).sum()
    }
}

impl Store {
    /// Free bytes of the disk that new data must leave: the record engine's, and what cleaning and writing ahead need.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.shared.kv.kept_bytes().saturating_add(AHEAD_BYTES + GROUP_BYTES)
    }

    /// Whether the last commit found no room.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Notes how a commit ended, and says it when that changes.
    pub(crate) fn note_room<T>(&self, committed: &Result<T>) {
        let full = matches!(committed, Err(error) if error.is_full());
        if self.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        if let Err(error) = committed {
            let error = crate::shared::chain_text(error);
            tracing::warn!(error, "the disk is full: changes wait in memory until there is room");
        } else {
            tracing::info!("the disk has room again");
        }
    }

    /// Asks for the room of the next commit, and commits what waits.
    pub(crate) fn make_ready(&self, aim: Aim) -> Result<()> {
        self.commit_held()?;
        let records = self.shared.dirty_records.load(Ordering::Relaxed);
        let data = self.shared.ram.unwritten.load(Ordering::Relaxed);
        if aim == Aim::Keep && records == 0 && data == 0 {
            return Ok(());
        }
        self.ask_room(row_bytes(records), data, aim)
    }

    /// Asks for the room of a step of background work, or of the batch of such a step that was refused.
    pub(crate) fn ask_step(&self, refused: u64, frees: bool) -> Result<()> {
        Ok(self.shared.kv.room_for(refused.max(STEP_BYTES), 0, frees)?)
    }

    fn ask_room(&self, rows: u64, data: usize, aim: Aim) -> Result<()> {
        Ok(self.shared.kv.room_for(rows, data as u64, aim.frees(data))?)
    }

    /// As [`Store::run_commit`] for what frees space: without room, the lines' changes wait and the rest is done.
    pub(crate) fn run_freeing<T>(
        &self,
        guard: &CommitGuard<'_>,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<T>,
    ) -> Result<T> {
        self.shared.check()?;
        match self.make_ready(Aim::Free) {
            Err(error) if error.is_full() => {
                let committed = self.write_commit(&Round::default(), Aim::Free, extra);
                self.shared.bell.room.notify_all();
                committed
            }
            Err(error) => Err(error),
            Ok(()) => self.commit_for(guard, &BTreeMap::new(), Aim::Free, extra),
        }
    }

    /// Writes a round; it waits when there is no room.
    pub(crate) fn write_or_hold<T>(
        &self,
        mut round: Round,
        aim: Aim,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<T>,
    ) -> Result<T> {
        self.core().refused.last = 0;
        let written = self.write_commit(&round, aim, extra);
        if matches!(&written, Err(error) if error.is_full()) {
            round.refused = round.refused.max(self.core().refused.last);
            self.held.lock().push_front(round);
        }
        written
    }

    /// Commits what waits, oldest first. The caller holds the commit lock.
    fn commit_held(&self) -> Result<()> {
        loop {
            let Some(round) = self.held.lock().pop_front() else { return Ok(()) };
            let round = self.without_gone(round);
            if let Err(error) = self.ask_room(round.rows(), round.data(), Aim::Keep) {
                self.held.lock().push_front(round);
                return Err(error);
            }
            self.write_or_hold(round, Aim::Keep, |_, _| Ok(()))?;
        }
    }

    /// A line that was deleted meanwhile takes its changes with it.
    fn without_gone(&self, mut round: Round) -> Round {
        let core = self.core();
        let tree = core.history.tree();
        let lives = |space: SpaceId| tree.get(space).is_some_and(|space| space.head);
        round.frozen.retain(|part| {
            let lives = lives(part.space);
            if !lives {
                self.shared.abandon(&part.extents);
            }
            lives
        });
        round.next.retain(|space, _| lives(*space));
        round
    }

    /// The changes of a line that nobody serves any more, and for which there was no room.
    pub(crate) fn hold_line(&self, owner: &dyn LineOwner) {
        owner.with_line(&mut |line| {
            let frozen = vec![line.cut(None)];
            self.held.lock().push_back(Round { frozen, ..Round::default() });
        });
    }

    /// Refuses changes while a full disk keeps more in memory than may wait there. `data`: the change brings data; what changes
    /// records only, like deletes, may go on for longer. Call before a change; what was taken stays, and is committed when
    /// there is room.
    ///
    /// # Errors
    /// [`StoreError::TooMuchWaits`], or the store has stopped.
    pub fn admit(&self, data: bool) -> Result<()> {
        self.shared.check()?;
        if !self.is_full() {
            return Ok(());
        }
        let bytes = self.shared.ram.unwritten.load(Ordering::Relaxed);
        let records = self.shared.dirty_records.load(Ordering::Relaxed);
        let much = data && bytes > self.options.unwritten_max.saturating_mul(FULL_FACTOR);
        if much || records > self.records_hard().saturating_mul(FULL_FACTOR) {
            return Err(self.too_much_waits());
        }
        Ok(())
    }

    /// What waits for room, as a refusal.
    pub(crate) fn too_much_waits(&self) -> StoreError {
        StoreError::TooMuchWaits {
            bytes: self.shared.ram.unwritten.load(Ordering::Relaxed),
            records: self.shared.dirty_records.load(Ordering::Relaxed),
        }
    }

    /// Commits, so that what was replaced or deleted becomes free, and waits for that for a moment.
    pub(crate) fn wait_for_room(&self) {
        if !self.options.background {
            let _ = self.commit_now();
            return;
        }
        let before = self.commits();
        self.shared.bell.ring(|wanted| wanted.commit = true);
        self.clean_soon();
        let start = Instant::now();
        let mut wanted = self.shared.bell.wanted.lock();
        while self.commits() == before && start.elapsed() < FULL_WAIT && !wanted.stop {
            self.shared.bell.room.wait_for(&mut wanted, Duration::from_millis(20));
        }
    }

    /// Whether changes of this line wait for room, or the epoch to which it went on.
    pub(crate) fn holds(&self, space: SpaceId) -> bool {
        let changed = |round: &Round| round.frozen.iter().any(|part| part.space == space);
        self.held.lock().iter().any(|round| changed(round) || round.next.contains_key(&space))
    }

    /// The engine refused a batch and has changed nothing: memory goes back to what the rows say.
    pub(crate) fn undo(&self, core: &mut Core, error: StoreError, bytes: u64) -> StoreError {
        if !error.is_full() {
            return error;
        }
        core.refused.last = bytes;
        match self.reload(core) {
            Ok(()) => error,
            Err(failed) => {
                self.shared.poison(&failed);
                failed
            }
        }
    }
}

impl Store {
    /// Writes the batch of a step of reclaim, and remembers its size when there is no room for it.
    pub(crate) fn write_step(&self, core: &mut Core, batch: Batch) -> Result<()> {
        let written = self.write_batch(core, batch, false);
        core.refused.step = core.refused.after(&written);
        written
    }
}

impl Refused {
    /// What is to be asked for after a batch was written, or was not.
    pub(crate) fn after(&self, written: &Result<()>) -> u64 {
        if matches!(written, Err(error) if error.is_full()) { self.last } else { 0 }
    }
}

/// Bytes that so many changed records take in a batch, about.
pub(crate) fn row_bytes(records: usize) -> u64 {
    records as u64 * ROW_BYTES + BATCH_BYTES
}
