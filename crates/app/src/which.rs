//! What a use case is about: something by its name, or by its id, which stays the same whatever it is called.
//!
//! Whoever finds something by its id in one moment and changes it by its name in the next may meet another one of that name; so a use case
//! takes either, and looks it up itself while nothing can change.

use std::sync::Arc;

use tintype_model::{SnapshotId, SnapshotRef, VolumeId, VolumeKind, VolumeName};
use tintype_store::{Snapshot, Volume};

use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;

/// A filesystem, somehow.
pub trait WhichFilesystem {
    /// The one that is meant.
    ///
    /// # Errors
    /// There is none.
    fn filesystem(&self, app: &App) -> AppResult<Volume>;
}

/// A snapshot, somehow.
pub trait WhichSnapshot {
    /// The one that is meant, and what it is a snapshot of.
    ///
    /// # Errors
    /// There is none.
    fn snapshot(&self, app: &App) -> AppResult<(Volume, Arc<Snapshot>)>;
}

impl WhichFilesystem for VolumeName {
    fn filesystem(&self, app: &App) -> AppResult<Volume> {
        app.filesystem(self)
    }
}

impl WhichFilesystem for VolumeId {
    fn filesystem(&self, app: &App) -> AppResult<Volume> {
        let found = app.store()?.volume_by_id(*self);
        let found = found.filter(|volume| volume.meta.kind == VolumeKind::Filesystem);
        found.ok_or_else(|| AppError::no_filesystem(&format!("with the id {self}")))
    }
}

impl WhichSnapshot for SnapshotRef {
    fn snapshot(&self, app: &App) -> AppResult<(Volume, Arc<Snapshot>)> {
        app.snapshot(self)
    }
}

impl WhichSnapshot for SnapshotId {
    fn snapshot(&self, app: &App) -> AppResult<(Volume, Arc<Snapshot>)> {
        let store = app.store()?;
        let missing = || {
            let remedy = "`tintype snapshot list` shows the snapshots.";
            let object = format!("snapshot with the id {self}");
            AppError::new(ErrorKind::NotFound, object, "does not exist", remedy)
        };
        let found = store.snapshot_by_id(*self).ok_or_else(missing)?;
        let volume = store.volume_by_id(found.volume).ok_or_else(missing)?;
        crate::disks::refuse_importing(&volume)?;
        Ok((volume, found))
    }
}

/// What people call it.
pub(crate) fn called(volume: &Volume, snapshot: &Snapshot) -> SnapshotRef {
    SnapshotRef { volume: volume.meta.name.clone(), snapshot: snapshot.meta.name.clone() }
}
