//! Use cases that look at moments: what differs between two, and what deleting some would free.

use tintype_disk::Blocks;
use tintype_model::{MomentName, SnapshotRef, VolumeKind};
use tintype_store::MomentRef;

use crate::convert::{fs_error, store_error};
use crate::error::AppResult;
use crate::open::App;
use crate::types::{Diff, DiffChange, DiffEntry, DiffObject, SpaceInfo};

impl App {
    /// Everything that differs from one moment to another; with `ranges` the changed parts of files.
    pub fn diff(&self, from: &MomentName, to: &MomentName, ranges: bool) -> AppResult<Diff> {
        if self.volume(to.volume())?.meta.kind == VolumeKind::Disk {
            return self.diff_disks(from, to, ranges);
        }
        self.filesystem(from.volume())?;
        let (a, b) = (self.moment(from)?, self.moment(to)?);
        let store = self.store()?;
        let entries = crate::trees::diff(&store, a, b, ranges)
            .map_err(|e| fs_error(&format!("diff of {from} and {to}"), &e))?;
        Ok(Diff { from: from.clone(), to: to.clone(), entries })
    }

    /// A disk is one object, and either differs or not.
    fn diff_disks(&self, from: &MomentName, to: &MomentName, ranges: bool) -> AppResult<Diff> {
        let changes = self.disk_changes(from, to, tintype_store::BLOCK as u64)?;
        let before = self.disk_view(from)?.size();
        let entry = DiffEntry {
            path: String::new(),
            path_hex: None,
            old_path: None,
            old_path_hex: None,
            object: DiffObject::Disk,
            change: DiffChange::Modified,
            size: changes.size,
            ranges: ranges.then_some(changes.ranges.clone()),
        };
        let differs = !changes.ranges.is_empty() || before != changes.size;
        let entries = if differs { vec![entry] } else { Vec::new() };
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
