//! Volumes: create, change, delete.

use crate::error::{Result, StoreError};
use crate::lines::LineOwner;
use crate::meta::{Place, Snapshot, Volume};
use crate::store::{Core, NewVolume, Store, find_volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tintype_history::{Point, SpaceId};
use tintype_kv::Batch;
use tintype_model::{VolumeId, VolumeMeta};

impl Store {
    /// A new, empty volume; durable on return.
    ///
    /// # Errors
    /// The name is taken, or the store failed.
    pub fn create_volume(&self, new: NewVolume) -> Result<Volume> {
        let guard = self.commit.lock();
        self.run_commit(&guard, &BTreeMap::new(), |core, batch| {
            Self::add_volume(core, batch, new, None)
        })
    }

    pub(crate) fn add_volume(
        core: &mut Core,
        batch: &mut Batch,
        new: NewVolume,
        parent: Option<Point>,
    ) -> Result<Volume> {
        check_name(core, &new.meta, None)?;
        let id = VolumeId(core.catalog.take_id(batch));
        let space = core.history.create_space(batch, parent, id.0);
        core.merge_due = true;
        let volume = Volume { id, meta: new.meta, space };
        core.catalog.put_volume(batch, volume.clone())?;
        Ok(volume)
    }

    /// Changes a volume's name or settings; durable on return.
    ///
    /// # Errors
    /// It does not exist, the new name is taken, or the store failed.
    pub fn update_volume(
        &self,
        id: VolumeId,
        change: &mut dyn FnMut(&mut VolumeMeta),
    ) -> Result<Volume> {
        let guard = self.commit.lock();
        self.run_commit(&guard, &BTreeMap::new(), |core, batch| {
            let mut volume = find_volume(core, id)?.clone();
            change(&mut volume.meta);
            check_name(core, &volume.meta, Some(id))?;
            core.catalog.put_volume(batch, volume.clone())?;
            Ok(volume)
        })
    }

    /// Deletes a volume, with its snapshots when asked to. Clones of them go on.
    ///
    /// # Errors
    /// It does not exist, is being served, has snapshots (and `with_snapshots` is off), one of them is protected, or the store failed.
    pub fn delete_volume(&self, id: VolumeId, with_snapshots: bool) -> Result<()> {
        let guard = self.commit.lock();
        let mut gone: Vec<(SpaceId, Arc<dyn LineOwner>)> = Vec::new();
        self.run_freeing(&guard, |core, batch| {
            let volume = find_volume(core, id)?.clone();
            if self.is_served(volume.space) {
                return Err(StoreError::Busy { what: volume.meta.name.to_string() });
            }
            let snapshots: Vec<Arc<Snapshot>> = core.catalog.snapshots_of(id).cloned().collect();
            if !with_snapshots && !snapshots.is_empty() {
                let volume = volume.meta.name.to_string();
                return Err(StoreError::HasSnapshots { volume, count: snapshots.len() });
            }
            Self::check_unprotected(core, &snapshots)?;
            gone = self.remove_snapshots(core, batch, &snapshots);
            core.catalog.remove_volume(batch, id);
            core.history.disown(batch, id.0);
            core.history.set_head(volume.space, false);
            core.history.recount_near(&BTreeSet::from([volume.space]));
            core.trim = true;
            core.merge_due = true;
            Ok(())
        })?;
        self.tell_gone(&gone);
        self.tidy_soon();
        Ok(())
    }

    /// Removes rows, names and heads; answers the owners of writable ones, for [`Store::tell_gone`] once that is durable.
    pub(crate) fn remove_snapshots(
        &self,
        core: &mut Core,
        batch: &mut Batch,
        snapshots: &[Arc<Snapshot>],
    ) -> Vec<(SpaceId, Arc<dyn LineOwner>)> {
        let mut points = Vec::new();
        let mut owners = Vec::new();
        let mut heads = BTreeSet::new();
        for snapshot in snapshots {
            core.catalog.remove_snapshot(batch, snapshot.id);
            match snapshot.place {
                Place::ReadOnly(point) => points.push(point),
                Place::Writable(space) => {
                    owners.extend(self.owner_of(space).map(|owner| (space, owner)));
                    core.history.set_head(space, false);
                    heads.insert(space);
                }
            }
        }
        if !points.is_empty() {
            core.history.remove_names(&points);
        }
        if !heads.is_empty() {
            core.history.recount_near(&heads);
        }
        core.trim = true;
        core.merge_due = true;
        owners
    }
}

fn check_name(core: &Core, meta: &VolumeMeta, except: Option<VolumeId>) -> Result<()> {
    let taken = core.catalog.volume_named(meta.name.as_str());
    if taken.is_some_and(|volume| Some(volume.id) != except) {
        return Err(StoreError::Exists { what: format!("volume {}", meta.name) });
    }
    Ok(())
}
