//! Use cases of disks: make, list, show, change, delete, compare, verify; and opening them for whoever serves them.
//!
//! A live disk has one owner, opened at its first use and kept until it is deleted or the store closes, so that everybody who
//! serves it shares one lock and one view of what was written.

use std::sync::Arc;

use jiff::Timestamp;
use tintype_disk::{Allocation, Blocks, ByteRange, Disk, DiskError, DiskView, Equal};
use tintype_image::Uuid;
use tintype_model::{MomentName, VolumeId, VolumeKind, VolumeMeta, VolumeName};
use tintype_store::{LineRef, MomentRef, NewVolume, Store, Usage, Volume, stop};

use crate::convert::{disk_error, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::exports::ExportId;
use crate::filesystems::refuse_zero;
use crate::open::App;
use crate::progress;
use crate::types::{
    Change, DeletedInfo, DiffRange, DiskChanges, DiskCreate, DiskInfo, DiskUpdate, DiskVerified,
    FsckFinding,
};

/// Units in which changes can be told: 4 KiB times a power of two.
const GRANULARITY: std::ops::RangeInclusive<u64> = 4096..=(1 << 30);
/// Bytes that a verification reads at once.
const READ: usize = 1 << 20;
/// Findings that a verification tells, at most.
const FINDINGS: usize = 1000;

impl App {
    /// Makes a disk that reads as zeroes.
    pub fn disk_create(&self, wish: &DiskCreate) -> AppResult<DiskInfo> {
        let _one_change = self.admin.lock();
        self.refuse_taken(&wish.name)?;
        let object = format!("disk {}", wish.name);
        refuse_zero(&object, wish.quota, wish.capacity)?;
        let mut meta = VolumeMeta::new(wish.name.clone(), VolumeKind::Disk, Timestamp::now());
        (meta.quota, meta.capacity) = (wish.quota, wish.capacity);
        meta.compression = wish.compression;
        let store = self.store()?;
        let volume =
            store.create_volume(NewVolume { meta }).map_err(|e| store_error(&object, &e))?;
        if let Err(error) = tintype_disk::create(&store, LineRef::Volume(volume.id), wish.size) {
            drop(store.delete_volume(volume.id, true));
            return Err(disk_error(&object, &error));
        }
        self.volume_event(VolumeKind::Disk, Change::Created, &wish.name);
        self.disk_info(&volume)
    }

    /// All disks by name.
    pub fn disk_list(&self) -> AppResult<Vec<DiskInfo>> {
        let mut volumes = self.store()?.volumes();
        volumes.retain(|volume| volume.meta.kind == VolumeKind::Disk);
        volumes.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        volumes.iter().map(|volume| self.disk_info(volume)).collect()
    }

    /// One disk.
    pub fn disk_show(&self, name: &VolumeName) -> AppResult<DiskInfo> {
        self.disk_info(&self.disk(name)?)
    }

    /// Changes name, size, limits or compression.
    pub fn disk_update(&self, name: &VolumeName, update: &DiskUpdate) -> AppResult<DiskInfo> {
        let _one_change = self.admin.lock();
        let volume = self.disk(name)?;
        let object = format!("disk {name}");
        if let Some(new) = update.name.as_ref().filter(|new| *new != name) {
            self.refuse_taken(new)?;
        }
        let disk = self.live_disk(&volume)?;
        if let Some(size) = update.size {
            let before = disk.size();
            let resized = disk.resize(size).and_then(|()| disk.flush());
            if disk.size() != before {
                self.close_clients(&[ExportId::Disk(volume.id)]);
            }
            resized.map_err(|e| disk_error(&object, &e))?;
        }
        let mut change = |meta: &mut VolumeMeta| {
            if let Some(name) = &update.name {
                meta.name = name.clone();
            }
            meta.quota = update.quota.unwrap_or(meta.quota);
            meta.capacity = update.capacity.unwrap_or(meta.capacity);
            meta.compression = update.compression.unwrap_or(meta.compression);
        };
        let store = self.store()?;
        let volume =
            store.update_volume(volume.id, &mut change).map_err(|e| store_error(&object, &e))?;
        disk.refresh_limits();
        self.volume_event(VolumeKind::Disk, Change::Updated, &volume.meta.name);
        self.disk_info(&volume)
    }

    /// Deletes a disk; with `force` also its snapshots, and also when clients use it: they get errors, and are let go.
    pub fn disk_delete(&self, name: &VolumeName, force: bool) -> AppResult<DeletedInfo> {
        let _one_change = self.admin.lock();
        let volume = self.disk(name)?;
        let object = format!("disk {name}");
        let snapshots = self.store()?.snapshots(Some(volume.id));
        if !force && !snapshots.is_empty() {
            return Err(crate::filesystems::has_snapshots(&object, snapshots.len()));
        }
        self.refuse_protected(&volume, &snapshots)?;
        if !force {
            self.refuse_used(name, volume.id)?;
        }
        // Nobody opens it while it goes.
        let mut disks = self.disks.lock();
        if let Some(disk) = disks.remove(&LineRef::Volume(volume.id)) {
            retire(&disk, &object)?;
        }
        self.store()?.delete_volume(volume.id, force).map_err(|e| store_error(&object, &e))?;
        drop(disks);
        let mut exports: Vec<ExportId> =
            snapshots.iter().map(|snapshot| ExportId::Snapshot(snapshot.id)).collect();
        exports.push(ExportId::Disk(volume.id));
        self.close_clients(&exports);
        self.tally.lock().remove_volume(volume.id);
        let mut deleted = vec![name.to_string()];
        deleted.extend(snapshots.iter().map(|snapshot| format!("{name}@{}", snapshot.meta.name)));
        self.volume_event(VolumeKind::Disk, Change::Deleted, name);
        Ok(DeletedInfo { deleted })
    }

    /// The ranges that differ from one moment to another, in units of `granularity` bytes.
    pub fn disk_changes(
        &self,
        from: &MomentName,
        to: &MomentName,
        granularity: u64,
    ) -> AppResult<DiskChanges> {
        if !granularity.is_power_of_two() || !GRANULARITY.contains(&granularity) {
            return Err(AppError::invalid(
                format!("granularity {granularity}"),
                "is no unit of changes",
                "Choose a power of two from 4K to 1G.",
            ));
        }
        let (a, b) = (self.disk_moment(from)?, self.disk_moment(to)?);
        let store = self.store()?;
        let fail = |e: DiskError| disk_error(&format!("changes from {from} to {to}"), &e);
        let ranges = tintype_disk::changes(&store, a, b, Equal::Bytes).map_err(fail)?;
        let size = DiskView::open(&store, b).map_err(fail)?.size();
        let ranges = coarsened(&ranges, granularity, size);
        Ok(DiskChanges { from: from.clone(), to: to.clone(), size, granularity, ranges })
    }

    /// Reads everything that a moment holds and compares it with its checksums.
    pub fn disk_verify(&self, moment: &MomentName) -> AppResult<DiskVerified> {
        let store = self.store()?;
        let at = self.disk_moment(moment)?;
        store.sync().map_err(|e| store_error(&self.store_object(), &e))?;
        let object = match moment {
            MomentName::Live(_) => format!("disk {moment}"),
            MomentName::Snapshot(_) => format!("snapshot {moment}"),
        };
        let view = DiskView::open(&store, at).map_err(|e| disk_error(&object, &e))?;
        let mut verified =
            DiskVerified { moment: moment.clone(), clean: true, bytes: 0, findings: Vec::new() };
        let mut offset = 0;
        progress::tell(|progress| progress.expect(view.size()));
        while offset < view.size() {
            let runs = view.extents(offset, view.size() - offset, 256);
            for run in runs.map_err(|e| disk_error(&object, &e))? {
                stop::check().map_err(|e| store_error(&object, &e))?;
                offset = run.offset.saturating_add(run.length);
                progress::tell(|progress| progress.reach(offset));
                if run.allocation == Allocation::Data {
                    verify_run(&view, &object, run.offset, run.length, &mut verified);
                }
            }
        }
        verified.clean = verified.findings.is_empty();
        Ok(verified)
    }

    /// A moment of a disk, for reading; a live end as of its last commit.
    pub fn disk_view(&self, moment: &MomentName) -> AppResult<DiskView> {
        let at = self.disk_moment(moment)?;
        DiskView::open(&*self.store()?, at).map_err(|e| disk_error(&format!("disk {moment}"), &e))
    }

    /// Lets go of all disks; the store is about to close.
    pub(crate) fn close_disks(&self) {
        let all = std::mem::take(&mut *self.disks.lock());
        for disk in all.into_values() {
            if let Err(error) = disk.close() {
                tracing::error!(%error, "a disk could not be closed in order");
            }
        }
    }

    pub(crate) fn live_disk(&self, volume: &Volume) -> AppResult<Arc<Disk>> {
        self.open_line(LineRef::Volume(volume.id), &format!("disk {}", volume.meta.name))
    }

    pub(crate) fn open_line(&self, line: LineRef, object: &str) -> AppResult<Arc<Disk>> {
        let mut disks = self.disks.lock();
        if let Some(disk) = disks.get(&line).filter(|disk| !disk.is_gone()) {
            return Ok(Arc::clone(disk));
        }
        let disk = Disk::open(&self.store()?, line).map_err(|e| disk_error(object, &e))?;
        disk.set_space_probe(self.space_probe()?);
        disks.insert(line, Arc::clone(&disk));
        Ok(disk)
    }

    /// Size of a disk that somebody may have open.
    pub(crate) fn served_size(&self, id: VolumeId) -> Option<u64> {
        let disk = self.disks.lock().get(&LineRef::Volume(id)).cloned();
        disk.map(|disk| disk.size())
    }

    /// Lets go of a line that is about to be deleted.
    pub(crate) fn forget_line(&self, line: LineRef) -> AppResult<()> {
        let Some(disk) = self.disks.lock().remove(&line) else { return Ok(()) };
        retire(&disk, "disk")
    }

    pub(crate) fn disk(&self, name: &VolumeName) -> AppResult<Volume> {
        let volume = self.store()?.volume(name.as_str());
        let volume = volume.ok_or_else(|| AppError::no_disk(name.as_str()))?;
        refuse_importing(&volume)?;
        if volume.meta.kind == VolumeKind::Disk {
            return Ok(volume);
        }
        Err(AppError::invalid(
            format!("filesystem {name}"),
            "is no disk",
            "`tintype disk list` shows the disks.",
        ))
    }

    pub(crate) fn disk_moment(&self, name: &MomentName) -> AppResult<MomentRef> {
        let volume = self.disk(name.volume())?;
        match name {
            MomentName::Live(_) => Ok(MomentRef::Live(volume.id)),
            MomentName::Snapshot(name) => Ok(MomentRef::Snapshot(self.snapshot(name)?.1.id)),
        }
    }

    pub(crate) fn disk_info(&self, volume: &Volume) -> AppResult<DiskInfo> {
        let store = self.store()?;
        let usage = store.usage(volume.id);
        self.disk_info_using(&store, volume, usage)
    }

    /// As [`App::disk_info`], of a clone that was just made: nothing is counted for its answer.
    pub(crate) fn new_disk_info(&self, volume: &Volume) -> AppResult<DiskInfo> {
        let store = self.store()?;
        let usage = store.usage_lately(volume.id);
        self.disk_info_using(&store, volume, usage)
    }

    fn disk_info_using(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        usage: Usage,
    ) -> AppResult<DiskInfo> {
        let count = self.tally.lock().volume(volume.id);
        let open = self.disks.lock().get(&LineRef::Volume(volume.id)).cloned();
        let figures = match open {
            Some(disk) => Ok((disk.size(), disk.mapped_bytes(), disk.image())),
            None => DiskView::open(store, MomentRef::Live(volume.id))
                .map(|view| (view.size(), view.mapped_bytes(), view.image())),
        };
        let figures = figures
            .inspect_err(|error| {
                tracing::warn!(%error, volume = %volume.meta.name, "its size cannot be read");
            })
            .ok();
        let meta = &volume.meta;
        let (nbd_uri, nbd_network_uri) = match self.disk_uris(&meta.name) {
            Some(uris) => (Some(uris.local), uris.network),
            None => (None, None),
        };
        Ok(DiskInfo {
            name: meta.name.clone(),
            id: volume.id.to_string(),
            created: meta.created,
            size: figures.map(|(size, ..)| size),
            quota: meta.quota,
            capacity: meta.capacity,
            compression: meta.compression,
            snapshots: count.read_only + count.writable,
            referenced_bytes: figures.map(|(_, mapped, _)| mapped),
            live_bytes: usage.live_bytes,
            snapshot_bytes: usage.snapshot_bytes,
            image: figures.and_then(|(.., image)| image).map(|id| Uuid(id).to_string()),
            importing: meta.importing,
            nbd_uri,
            nbd_network_uri,
        })
    }
}

/// Ends a line that is about to be deleted. What a full disk has no room for goes with it.
fn retire(disk: &Disk, object: &str) -> AppResult<()> {
    let retired = disk.retire().or_else(|e| if e.is_full() { Ok(()) } else { Err(e) });
    retired.map_err(|e| disk_error(object, &e))
}

/// What an image is being read into is nobody's yet.
pub(crate) fn refuse_importing(volume: &Volume) -> AppResult<()> {
    if !volume.meta.importing {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Busy,
        format!("disk {}", volume.meta.name),
        "is being imported",
        "Wait for the end of the import, or stop it: then the disk goes.",
    ))
}

fn verify_run(view: &DiskView, object: &str, from: u64, length: u64, verified: &mut DiskVerified) {
    let mut buf = vec![0; READ];
    let mut done = 0;
    while done < length {
        let count = (length - done).min(READ as u64) as usize;
        let Some(part) = buf.get_mut(..count) else { return };
        match view.read_at(from + done, part) {
            Ok(()) => verified.bytes += count as u64,
            Err(_) => verify_blocks(view, object, from + done, part, verified),
        }
        done += count as u64;
    }
}

/// Something in `part` is damaged: find out which blocks.
fn verify_blocks(
    view: &DiskView,
    object: &str,
    from: u64,
    part: &mut [u8],
    verified: &mut DiskVerified,
) {
    for (index, block) in part.chunks_mut(tintype_store::BLOCK).enumerate() {
        let at = from + (index * tintype_store::BLOCK) as u64;
        match view.read_at(at, block) {
            Ok(()) => verified.bytes += block.len() as u64,
            Err(error) if verified.findings.len() < FINDINGS => {
                let range = format!("{object}, bytes {at} to {}", at + block.len() as u64);
                let problem = disk_error(&range, &error).detail;
                verified.findings.push(FsckFinding { object: range, problem, repaired: false });
            }
            Err(_) => {}
        }
    }
}

/// The same ranges in larger units, each byte at most once.
fn coarsened(ranges: &[ByteRange], unit: u64, size: u64) -> Vec<DiffRange> {
    let mut list: Vec<DiffRange> = Vec::new();
    for range in ranges {
        let from = range.offset / unit * unit;
        let to = range.offset.saturating_add(range.length).div_ceil(unit).saturating_mul(unit);
        let to = to.min(size);
        match list.last_mut() {
            Some(last) if from <= last.offset + last.length => last.length = to - last.offset,
            _ => list.push(DiffRange { offset: from, length: to - from }),
        }
    }
    list
}

impl AppError {
    /// No disk of this name.
    pub fn no_disk(name: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("disk {name}"),
            "does not exist",
            "`tintype disk list` shows the disks; `tintype disk create` makes one.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_units_cover_the_same_bytes_once() {
        let range = |offset, length| ByteRange { offset, length };
        let ranges = [range(4096, 4096), range(12288, 4096), range(65536, 512)];
        let told = |unit| -> Vec<(u64, u64)> {
            let list = coarsened(&ranges, unit, 66048);
            list.into_iter().map(|range| (range.offset, range.length)).collect()
        };
        assert_eq!(told(4096), [(4096, 4096), (12288, 4096), (65536, 512)]);
        assert_eq!(told(8192), [(0, 16384), (65536, 512)]);
        assert_eq!(told(1 << 20), [(0, 66048)]);
    }
}
