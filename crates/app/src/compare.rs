//! Use cases that look at moments: what differs between two, and what deleting some would free.

use tintype_model::{MomentName, SnapshotRef};
use tintype_store::MomentRef;

use crate::convert::{fs_error, store_error};
use crate::error::AppResult;
use crate::open::App;
use crate::types::{Diff, SpaceInfo};

impl App {
    /// Everything that differs from one moment to another; with `ranges` the changed parts of files.
    pub fn diff(&self, from: &MomentName, to: &MomentName, ranges: bool) -> AppResult<Diff> {
        let (a, b) = (self.moment(from)?, self.moment(to)?);
        let store = self.store()?;
        let entries = crate::trees::diff(&store, a, b, ranges)
            .map_err(|e| fs_error(&format!("diff of {from} and {to}"), &e))?;
        Ok(Diff { from: from.clone(), to: to.clone(), entries })
    }

    fn moment(&self, name: &MomentName) -> AppResult<MomentRef> {
        let volume = self.volume(name.volume())?;
        // What programs wrote to a mount counts as written, in the live tree and in writable snapshots.
        self.flush(&volume)?;
        match name {
            MomentName::Live(_) => Ok(MomentRef::Live(volume.id)),
            MomentName::Snapshot(name) => Ok(MomentRef::Snapshot(self.snapshot(name)?.1.id)),
        }
    }

    /// What deleting exactly these snapshots would free.
    pub fn space(&self, names: &[SnapshotRef]) -> AppResult<SpaceInfo> {
        let ids: AppResult<Vec<_>> =
            names.iter().map(|name| Ok(self.snapshot(name)?.1.id)).collect();
        let mut ids = ids?;
        ids.sort_unstable();
        ids.dedup();
        let bytes = self.store()?.reclaimable(&ids).map_err(|e| store_error("snapshots", &e))?;
        Ok(SpaceInfo { snapshots: names.to_vec(), bytes })
    }
}
