//! Who writes a line: opening, ending, and what takes a line's place.
//!
//! Invariant: everything that an owner's line takes is taken by a commit, or the line's owner hears that it was refused.
//! Three rules keep it, all under the commit lock, so that no cut falls in between:
//!
//! - A line is opened and its owner registered under one hold of the commit lock. So each cut since the opening has
//!   reached the line: it writes the space and the epoch that the catalog says, never those of before a snapshot or restore.
//! - An owner lets go under one hold: its line ends (under the owner's lock, see [`LiveLine::has_ended`]), then its last changes are
//!   committed, then it is forgotten.
//! - A line that is replaced is replaced under the lock of its owner that its cut took, which is held until the commit is
//!   durable. What came before is in the cut, what comes after is in the new line.
//!
//! A line has one owner at a time.

use crate::commit::CommitGuard;
use crate::error::{Result, StoreError};
use crate::live::LiveLine;
use crate::meta::Place;
use crate::room::{Aim, Round};
use crate::store::{Core, Store, find_snapshot, find_volume};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tintype_history::{Epoch, Point, SpaceId};
use tintype_kv::Batch;
use tintype_model::{SnapshotId, VolumeId};

/// Whose line: a volume's live end or a writable snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineRef {
    /// The live end of a volume.
    Volume(VolumeId),
    /// A writable snapshot.
    Snapshot(SnapshotId),
}

/// Who serves a line.
pub trait LineOwner: Send + Sync {
    /// Locks its state, puts what it keeps lazily, and calls `f` with the line. What changes the line takes the same lock, and first
    /// asks [`LiveLine::has_ended`].
    fn with_line(&self, f: &mut dyn FnMut(&mut LiveLine));
    /// The line shows another moment now: every cache is stale.
    fn replaced(&self);
    /// The line is no more.
    fn gone(&self) {}
}

/// A new line for an owner, in the commit that makes its space.
pub(crate) struct Replacing<'o> {
    pub(crate) owner: &'o Arc<dyn LineOwner>,
    /// The space that the line leaves.
    pub(crate) old: SpaceId,
}

impl Store {
    /// Opens the writable end of a line for the owner that `make` builds around it; from now on commits take its changes.
    /// `make` is called under the commit lock: it may read, and must ask the store nothing that commits.
    ///
    /// # Errors
    /// The line does not exist, somebody serves it, earlier changes of it still wait for room on the disk, or `make` failed.
    pub fn serve<O, E>(
        &self,
        line: LineRef,
        make: impl FnOnce(LiveLine) -> std::result::Result<Arc<O>, E>,
    ) -> std::result::Result<Arc<O>, E>
    where
        O: LineOwner + 'static,
        E: From<StoreError>,
    {
        let guard = self.commit.lock();
        let fresh = self.open_line(&guard, line)?;
        let space = fresh.space();
        let owner = make(fresh)?;
        let served: Arc<dyn LineOwner> = Arc::<O>::clone(&owner);
        self.owners.lock().insert(space, Arc::downgrade(&served));
        Ok(owner)
    }

    fn open_line(&self, guard: &CommitGuard<'_>, line: LineRef) -> Result<LiveLine> {
        self.shared.check()?;
        let space = line_space(&self.core(), line)?;
        if self.is_served(space) {
            return Err(StoreError::Busy { what: name_of(&self.core(), line)? });
        }
        if self.holds(space) {
            self.commit_for(guard, &BTreeMap::new(), Aim::Keep, |_, _| Ok(()))?;
        }
        Ok(self.line(&self.core(), space))
    }

    fn line(&self, core: &Core, space: SpaceId) -> LiveLine {
        let epoch = core.history.tree().get(space).map_or(Epoch(0), |space| space.open);
        let point = Point { space, epoch };
        LiveLine::new(self.shared.clone(), core.history.tree().chain(point), point)
    }

    /// Whether somebody writes this space.
    pub(crate) fn is_served(&self, space: SpaceId) -> bool {
        self.owners.lock().get(&space).is_some_and(|owner| owner.strong_count() > 0)
    }

    /// Who writes this space.
    pub(crate) fn owner_of(&self, space: SpaceId) -> Option<Arc<dyn LineOwner>> {
        self.owners.lock().get(&space).and_then(Weak::upgrade)
    }

    /// Ends an owner's line, commits it and forgets the owner. Nothing happens when it serves no line any more.
    ///
    /// # Errors
    /// The commit failed. What a full disk refused is committed when there is room, unless the store closes before.
    pub fn detach(&self, owner: &dyn LineOwner) -> Result<()> {
        let guard = self.commit.lock();
        let space = self.space_served_by(owner);
        let Some(space) = space else { return self.shared.check() };
        let synced = self.end_lines(&guard, &[owner]);
        self.owners.lock().remove(&space);
        if matches!(&synced, Err(error) if error.is_full()) {
            self.hold_line(owner);
        }
        synced
    }

    fn space_served_by(&self, owner: &dyn LineOwner) -> Option<SpaceId> {
        let is_it = |served: &Weak<dyn LineOwner>| std::ptr::addr_eq(served.as_ptr(), owner);
        self.owners.lock().iter().find(|(_, served)| is_it(served)).map(|(space, _)| *space)
    }

    /// Commits all lines after these have ended.
    fn end_lines(&self, guard: &CommitGuard<'_>, owners: &[&dyn LineOwner]) -> Result<()> {
        self.shared.check()?;
        owners.iter().for_each(|owner| owner.with_line(&mut LiveLine::end));
        self.commit_for(guard, &BTreeMap::new(), Aim::Keep, |_, _| Ok(()))
    }

    /// Commits the last changes of all lines and stops: no line takes anything any more.
    pub(crate) fn end_all(&self) -> Result<()> {
        let guard = self.commit.lock();
        let owners: Vec<_> = self.owners.lock().values().filter_map(Weak::upgrade).collect();
        let owners: Vec<_> = owners.iter().map(|owner| &**owner).collect();
        let synced = self.end_lines(&guard, &owners);
        self.shared.shut_down();
        synced
    }

    /// Cuts all lines and writes that and what `extra` adds; the line of one owner goes on in the space that `extra` makes. Nobody
    /// reaches this owner between the cut and the new line.
    pub(crate) fn cut_and_replace(
        &self,
        replacing: &Replacing<'_>,
        next: &BTreeMap<SpaceId, Epoch>,
        extra: impl FnOnce(&mut Core, &mut Batch) -> Result<SpaceId>,
    ) -> Result<SpaceId> {
        let mut extra = Some(extra);
        let mut written = None;
        replacing.owner.with_line(&mut |line| {
            let Some(extra) = extra.take() else { return };
            let mut frozen = self.cut_all(next, Some(replacing.old));
            let own = line.cut(next.get(&line.space()).copied());
            frozen.extend((!own.is_empty()).then_some(own));
            let round = Round { frozen, next: next.clone(), refused: 0 };
            let done = self.write_or_hold(round, Aim::Make, extra);
            if let Ok(space) = &done {
                *line = self.line(&self.core(), *space);
            }
            written = Some(done);
        });
        let missing = || StoreError::Invalid { what: "the owner of the line keeps it".to_owned() };
        let space = written.unwrap_or_else(|| Err(missing()))?;
        let mut owners = self.owners.lock();
        owners.remove(&replacing.old);
        owners.insert(space, Arc::downgrade(replacing.owner));
        Ok(space)
    }

    /// Forgets the owners of lines that are no more. The caller holds the commit lock.
    pub(crate) fn tell_gone(&self, gone: &[(SpaceId, Arc<dyn LineOwner>)]) {
        for (space, owner) in gone {
            self.owners.lock().remove(space);
            owner.gone();
        }
    }
}

fn name_of(core: &Core, line: LineRef) -> Result<String> {
    let name = |volume| find_volume(core, volume).map(|volume| volume.meta.name.to_string());
    match line {
        LineRef::Volume(id) => name(id),
        LineRef::Snapshot(id) => {
            let snapshot = find_snapshot(core, id)?;
            Ok(format!("{}@{}", name(snapshot.volume)?, snapshot.meta.name))
        }
    }
}

fn line_space(core: &Core, line: LineRef) -> Result<SpaceId> {
    match line {
        LineRef::Volume(id) => Ok(find_volume(core, id)?.space),
        LineRef::Snapshot(id) => match find_snapshot(core, id)?.place {
            Place::Writable(space) => Ok(space),
            Place::ReadOnly(_) => Err(StoreError::Invalid {
                what:
                    "the snapshot is read-only; make it writable with `snapshot update --writable`"
                        .to_owned(),
            }),
        },
    }
}
