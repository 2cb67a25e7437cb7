//! Snapshots: create, change, delete, restore, clone.
//!
//! Each is one commit: the lines' changes so far, the new rows and the new points are one batch. A name is a
//! point or a space of its own; nothing is copied.

use crate::commit::CommitGuard;
use crate::error::{Result, StoreError};
use crate::lines::Replacing;
use crate::meta::{Place, Snapshot, Volume};
use crate::room::Aim;
use crate::store::{Core, NewSnapshot, NewVolume, Store, find_snapshot, find_volume};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tintype_history::{Epoch, Point, SpaceId};
use tintype_kv::Batch;
use tintype_model::{AccessPoint, DeleteRule, SnapshotId, SnapshotMeta, VolumeId};

impl Store {
    /// Names a moment; durable on return. Whatever reached the line before the call is in it.
    ///
    /// # Errors
    /// The name or access point is taken, the source does not exist, or the store failed.
    pub fn create_snapshot(&self, volume: VolumeId, new: NewSnapshot) -> Result<Arc<Snapshot>> {
        let guard = self.commit.lock();
        self.before_cut(&guard)?;
        let (point, cut) = self.plan_cut(volume, new.source)?;
        self.check_new(volume, &new)?;
        self.run_commit(&guard, &cut, |core, batch| {
            Self::add_snapshot(core, batch, volume, new, point)
        })
    }

    fn check_new(&self, volume: VolumeId, new: &NewSnapshot) -> Result<()> {
        let core = self.core();
        find_volume(&core, volume)?;
        let mut meta = new.meta.clone();
        if new.unique_access_point {
            meta.access_point = unique(&core, volume, &meta)?;
        }
        core.catalog.check_free(volume, &meta, None)
    }

    /// Commits what an earlier cut left waiting for room: it goes to the epoch that it was cut from, and a point
    /// planned before that would name an epoch that the line has left. The caller holds the commit lock until its own
    /// commit has ended.
    fn before_cut(&self, _guard: &CommitGuard<'_>) -> Result<()> {
        self.shared.check()?;
        let ready = self.make_ready(Aim::Make);
        self.note_room(&ready);
        ready
    }

    /// The point that a snapshot of `source` (or of the live volume) gets, and the cut that makes it.
    fn plan_cut(
        &self,
        volume: VolumeId,
        source: Option<SnapshotId>,
    ) -> Result<(Point, BTreeMap<SpaceId, Epoch>)> {
        let mut core = self.core();
        let space = match source {
            None => find_volume(&core, volume)?.space,
            Some(id) => match find_snapshot(&core, id)?.place {
                Place::ReadOnly(point) => return Ok((point, BTreeMap::new())),
                Place::Writable(space) => space,
            },
        };
        let epoch = core.history.tree().get(space).map_or(Epoch(0), |space| space.open);
        let next = core.history.reserve_epoch();
        Ok((Point { space, epoch }, BTreeMap::from([(space, next)])))
    }

    fn add_snapshot(
        core: &mut Core,
        batch: &mut Batch,
        volume: VolumeId,
        new: NewSnapshot,
        point: Point,
    ) -> Result<Arc<Snapshot>> {
        let mut meta = new.meta;
        if new.unique_access_point {
            meta.access_point = unique(core, volume, &meta)?;
        }
        core.catalog.check_free(volume, &meta, None)?;
        let id = SnapshotId(core.catalog.take_id(batch));
        let place = if new.writable {
            Place::Writable(core.history.create_space(batch, Some(point), volume.0))
        } else {
            core.history.add_name(point);
            Place::ReadOnly(point)
        };
        core.catalog.put_snapshot(batch, Snapshot { id, volume, meta, place })
    }

    /// Changes what users see of a snapshot; durable on return.
    ///
    /// # Errors
    /// It does not exist, its new name or access point is taken, or the store failed.
    pub fn update_snapshot(
        &self,
        id: SnapshotId,
        change: &mut dyn FnMut(&mut SnapshotMeta),
    ) -> Result<Arc<Snapshot>> {
        let guard = self.commit.lock();
        self.run_commit(&guard, &BTreeMap::new(), |core, batch| {
            let snapshot = Self::changed(core, id, change)?;
            core.catalog.put_snapshot(batch, snapshot)
        })
    }

    /// Gives a read-only snapshot a line of its own and changes what users see of it, both or neither; there is no way back. A
    /// writable one only changes what users see.
    ///
    /// # Errors
    /// It does not exist, its new name or access point is taken, or the store failed.
    pub fn make_writable(
        &self,
        id: SnapshotId,
        change: &mut dyn FnMut(&mut SnapshotMeta),
    ) -> Result<Arc<Snapshot>> {
        let guard = self.commit.lock();
        self.run_commit(&guard, &BTreeMap::new(), |core, batch| {
            let mut snapshot = Self::changed(core, id, change)?;
            if let Place::ReadOnly(point) = snapshot.place {
                let tag = snapshot.volume.0;
                let space = core.history.create_space(batch, Some(point), tag);
                snapshot.place = Place::Writable(space);
                core.history.remove_names(&[point]);
            }
            core.catalog.put_snapshot(batch, snapshot)
        })
    }

    /// The snapshot as it will be; nothing has changed yet.
    fn changed(
        core: &Core,
        id: SnapshotId,
        change: &mut dyn FnMut(&mut SnapshotMeta),
    ) -> Result<Snapshot> {
        let mut snapshot = (*find_snapshot(core, id)?).clone();
        change(&mut snapshot.meta);
        core.catalog.check_free(snapshot.volume, &snapshot.meta, Some(id))?;
        Ok(snapshot)
    }

    /// Deletes snapshots, all or none; the names are gone on return, the space comes back in the background.
    ///
    /// # Errors
    /// One does not exist or is protected, or the store failed.
    pub fn delete_snapshots(&self, ids: &[SnapshotId]) -> Result<()> {
        let guard = self.commit.lock();
        let mut gone = Vec::new();
        self.run_freeing(&guard, |core, batch| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            let snapshots: Vec<_> =
                ids.iter().map(|id| find_snapshot(core, *id)).collect::<Result<_>>()?;
            Self::check_unprotected(core, &snapshots)?;
            gone = self.remove_snapshots(core, batch, &snapshots);
            Ok(())
        })?;
        self.tell_gone(&gone);
        self.tidy_soon();
        Ok(())
    }

    pub(crate) fn check_unprotected(core: &Core, snapshots: &[Arc<Snapshot>]) -> Result<()> {
        let now = Timestamp::now();
        for snapshot in snapshots {
            let Some(rule) = snapshot.meta.delete.filter(|rule| rule.protects(now)) else {
                continue;
            };
            let volume = core.catalog.volumes.get(&snapshot.volume);
            let volume = volume.map_or_else(String::new, |volume| volume.meta.name.to_string());
            let rule = match rule {
                DeleteRule::Never => "never to be deleted".to_owned(),
                DeleteRule::After(time) => format!("not to be deleted before {time}"),
            };
            let snapshot = format!("{volume}@{}", snapshot.meta.name);
            return Err(StoreError::Protected { snapshot, rule });
        }
        Ok(())
    }

    /// The live volume becomes the moment `from`; `keep` names what was there. Works while it is served:
    /// the owner's line is replaced and its owner told. What the owner took before is in `keep`, what it takes afterwards is live.
    ///
    /// # Errors
    /// Something does not exist or is taken, or the store failed.
    pub fn restore(
        &self,
        volume: VolumeId,
        from: SnapshotId,
        keep: Option<NewSnapshot>,
    ) -> Result<()> {
        let guard = self.commit.lock();
        if let Some(keep) = &keep {
            self.check_new(volume, keep)?;
        }
        self.before_cut(&guard)?;
        let (source, mut cut) = self.plan_cut(volume, Some(from))?;
        let (before, live_cut) = self.plan_cut(volume, None)?;
        cut.extend(live_cut);
        let change = |core: &mut Core, batch: &mut Batch| {
            if let Some(keep) = keep {
                Self::add_snapshot(core, batch, volume, keep, before)?;
            }
            Self::move_volume(core, batch, volume, source)
        };
        match self.owner_of(before.space) {
            Some(owner) => {
                let replacing = Replacing { owner: &owner, old: before.space };
                self.run_replacing(&guard, &cut, &replacing, change)?;
                owner.replaced();
            }
            None => drop(self.run_commit(&guard, &cut, change)?),
        }
        drop(guard);
        self.tidy_soon();
        Ok(())
    }

    /// Gives a volume a new space that starts from `source`.
    fn move_volume(
        core: &mut Core,
        batch: &mut Batch,
        volume: VolumeId,
        source: Point,
    ) -> Result<SpaceId> {
        let mut row = find_volume(core, volume)?.clone();
        let old = row.space;
        row.space = core.history.create_space(batch, Some(source), volume.0);
        core.history.set_head(old, false);
        core.history.recount_near(&BTreeSet::from([old]));
        core.merge_due = true;
        let space = row.space;
        core.catalog.put_volume(batch, row)?;
        Ok(space)
    }

    /// A new volume that starts from a snapshot and shares its blocks.
    ///
    /// # Errors
    /// The snapshot does not exist, the name is taken, or the store failed.
    pub fn clone_snapshot(&self, from: SnapshotId, new: NewVolume) -> Result<Volume> {
        let guard = self.commit.lock();
        let volume = find_snapshot(&self.core(), from)?.volume;
        self.before_cut(&guard)?;
        let (point, cut) = self.plan_cut(volume, Some(from))?;
        self.run_commit(&guard, &cut, |core, batch| Self::add_volume(core, batch, new, Some(point)))
    }
}

fn unique(core: &Core, volume: VolumeId, meta: &SnapshotMeta) -> Result<AccessPoint> {
    let taken = |name: &str| core.catalog.snapshot_at(volume, name).is_some();
    AccessPoint::default_at(meta.time, taken)
        .map_err(|error| StoreError::Invalid { what: error.to_string() })
}
