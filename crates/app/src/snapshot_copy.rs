//! The use case of copying one snapshot over another: the name and the access point go on, and lead to what the first one shows.

use tintype_model::{AccessPoint, SnapshotName, SnapshotRef};

use crate::error::{AppError, AppResult};
use crate::open::App;
use crate::types::{SnapshotCreate, SnapshotInfo, SnapshotUpdate};
use crate::which::{WhichSnapshot, called};

impl App {
    /// The snapshot `to` of the same volume becomes what `which` shows, and stays writable or not. What it was goes, or is kept under the
    /// name `keep`. The old one is only moved aside until the new one is there: whatever fails, nothing is lost.
    pub fn snapshot_copy(
        &self,
        which: &impl WhichSnapshot,
        to: &SnapshotName,
        keep: Option<&SnapshotName>,
        keep_at: Option<AccessPoint>,
    ) -> AppResult<SnapshotInfo> {
        let (volume, source) = which.snapshot(self)?;
        let from = called(&volume, &source);
        let target = SnapshotRef { volume: from.volume.clone(), snapshot: to.clone() };
        let (volume, old) = self.snapshot(&target)?;
        if old.id == source.id {
            return Err(AppError::invalid(
                format!("snapshot {target}"),
                "cannot be copied over itself",
                "Name another snapshot.",
            ));
        }
        if keep.is_none() {
            self.refuse_protected(&volume, std::slice::from_ref(&old))?;
        }
        let aside = match keep {
            Some(keep) => keep.clone(),
            None => SnapshotName::new(format!("overwritten-{}", old.id))?,
        };
        let at = keep_at.unwrap_or_else(|| aside.clone().into());
        self.snapshot_update(&old.id, &rename(aside, at))?;
        let wish = SnapshotCreate {
            writable: old.writable(),
            source: Some(from),
            access_point: Some(old.meta.access_point.clone()),
            tags: old.meta.tags.clone(),
            label: old.meta.label.clone(),
            description: old.meta.description.clone(),
            ..SnapshotCreate::plain(target)
        };
        let made = match self.snapshot_create(&wish) {
            Ok(made) => made,
            Err(error) => {
                let back = rename(to.clone(), old.meta.access_point.clone());
                drop(self.snapshot_update(&old.id, &back));
                return Err(error);
            }
        };
        if keep.is_none() {
            self.snapshot_delete(&[old.id])?;
        }
        Ok(made)
    }
}

fn rename(name: SnapshotName, access_point: AccessPoint) -> SnapshotUpdate {
    let (name, access_point) = (Some(name), Some(access_point));
    SnapshotUpdate { name, access_point, ..SnapshotUpdate::default() }
}
