//! Use cases of snapshots: make, list, show, change, delete, restore, clone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tintype_model::policy::Mark;
use tintype_model::{
    AccessPoint, SnapshotFilter, SnapshotId, SnapshotMeta, SnapshotName, SnapshotRef, VolumeId,
    VolumeKind, VolumeMeta, VolumeName,
};
use tintype_store::{NewSnapshot, NewVolume, Snapshot, Volume};

use crate::convert::store_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::exports::ExportId;
use crate::open::App;
use crate::types::{
    Change, CloneRequest, DeletedInfo, RestoreInfo, SnapshotCreate, SnapshotInfo, SnapshotUpdate,
    VolumeInfo,
};
use crate::which::{WhichSnapshot, called};

/// What is written into the metadata of every snapshot.
const PROGRAM: &str = concat!("tintype ", env!("CARGO_PKG_VERSION"));

/// How long a mount may take to say what the kernel has to forget.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

impl App {
    /// Makes a snapshot. It holds every write that returned before the call.
    pub fn snapshot_create(&self, wish: &SnapshotCreate) -> AppResult<SnapshotInfo> {
        self.make_snapshot(wish, Vec::new())
    }

    /// As [`App::snapshot_create`], for policies.
    pub(crate) fn make_snapshot(
        &self,
        wish: &SnapshotCreate,
        policies: Vec<Mark>,
    ) -> AppResult<SnapshotInfo> {
        let volume = self.volume(&wish.snapshot.volume)?;
        let source = wish.source.as_ref().map(|source| self.source(&volume, source)).transpose()?;
        // Every dirty page, also of writable snapshots: they are part of the same mount.
        self.flush(&volume)?;
        let _one_change = self.admin.lock();
        self.refuse_too_many(u64::from(!wish.writable), u64::from(wish.writable))?;
        let mut new = self.new_snapshot(&volume, wish, source);
        new.meta.policies = policies;
        let snapshot = self
            .store()?
            .create_snapshot(volume.id, new)
            .map_err(|e| store_error(&format!("snapshot {}", wish.snapshot), &e))?;
        self.count_new(&snapshot, source.is_none() && !wish.writable);
        self.entries_changed(volume.id);
        self.snapshot_event(Change::Created, &wish.snapshot);
        self.snapshot_info(&volume, &snapshot)
    }

    fn count_new(&self, snapshot: &Snapshot, of_live: bool) {
        let mut tally = self.tally.lock();
        tally.add(snapshot);
        if of_live {
            tally.set_newest(snapshot.volume, Some(snapshot.id));
        }
    }

    fn source(&self, volume: &Volume, source: &SnapshotRef) -> AppResult<SnapshotId> {
        let (of, snapshot) = self.snapshot(source)?;
        if of.id == volume.id {
            return Ok(snapshot.id);
        }
        Err(AppError::invalid(
            format!("snapshot {source}"),
            format!("belongs to another volume than {}", volume.meta.name),
            "Clone it instead: `tintype snapshot clone`.",
        ))
    }

    fn new_snapshot(
        &self,
        volume: &Volume,
        wish: &SnapshotCreate,
        source: Option<SnapshotId>,
    ) -> NewSnapshot {
        let now = Timestamp::now();
        // The store makes a default access point unique; one that was asked for must be free.
        let unique_access_point = wish.access_point.is_none();
        let access_point =
            wish.access_point.clone().or_else(|| AccessPoint::default_at(now, |_| false).ok());
        let access_point = access_point.unwrap_or_else(|| wish.snapshot.snapshot.clone().into());
        let mut meta = SnapshotMeta::new(wish.snapshot.snapshot.clone(), access_point, now);
        meta.host.clone_from(&self.host);
        meta.user = wish.user.clone().unwrap_or_else(|| self.user.clone());
        meta.tags = wish.tags.clone();
        meta.label.clone_from(&wish.label);
        meta.description.clone_from(&wish.description);
        meta.delete = wish.delete.map(|delete| delete.rule(now));
        let parent = source.or_else(|| self.tally.lock().volume(volume.id).newest);
        meta.parent = parent.map(|id| id.to_string());
        meta.program_version = PROGRAM.to_owned();
        NewSnapshot { meta, unique_access_point, source, writable: wish.writable }
    }

    fn refuse_too_many(&self, read_only: u64, writable: u64) -> AppResult<()> {
        let limits = self.folder.lock().settings().snapshot_limits;
        let (r, w) = self.tally.lock().total();
        if limits.allow(r + read_only, w + writable) {
            return Ok(());
        }
        Err(AppError::new(
            ErrorKind::Limit,
            self.store_object(),
            format!("has {r} read-only and {w} writable snapshots, as many as it may have"),
            "Delete snapshots, or raise the limit with `tintype up --snapshot-limits`.",
        ))
    }

    /// Snapshots of one filesystem or of all, by time.
    pub fn snapshot_list(
        &self,
        volume: Option<&VolumeName>,
        filter: &SnapshotFilter,
    ) -> AppResult<Vec<SnapshotInfo>> {
        let of = volume.map(|name| self.volume(name)).transpose()?.map(|volume| volume.id);
        let store = self.store()?;
        let volumes: HashMap<VolumeId, Volume> =
            store.volumes().into_iter().map(|volume| (volume.id, volume)).collect();
        let mut found = store.snapshots(of);
        found.retain(|snapshot| filter.matches(&snapshot.meta));
        let frees = store.reclaimable_each(&found);
        // A volume that was deleted meanwhile took its snapshots with it.
        let info = |(snapshot, frees): (&Arc<Snapshot>, u64)| {
            let volume = volumes.get(&snapshot.volume)?;
            Some(snapshot_info(volume, snapshot, frees))
        };
        Ok(found.iter().zip(frees).filter_map(info).collect())
    }

    /// One snapshot.
    pub fn snapshot_show(&self, which: &impl WhichSnapshot) -> AppResult<SnapshotInfo> {
        let (volume, snapshot) = which.snapshot(self)?;
        self.snapshot_info(&volume, &snapshot)
    }

    /// Changes what a snapshot says about itself, or makes it writable.
    pub fn snapshot_update(
        &self,
        which: &impl WhichSnapshot,
        update: &SnapshotUpdate,
    ) -> AppResult<SnapshotInfo> {
        let _one_change = self.admin.lock();
        let (volume, snapshot) = which.snapshot(self)?;
        let name = called(&volume, &snapshot);
        let object = format!("snapshot {name}");
        let fail = |e| store_error(&object, &e);
        if update.writable == Some(false) && snapshot.writable() {
            return Err(AppError::invalid(
                object,
                "is writable, and there is no way back",
                format!(
                    "Make a read-only snapshot of it: `tintype snapshot create {}@NEW --source {name}`.",
                    name.volume
                ),
            ));
        }
        let becomes_writable = update.writable == Some(true) && !snapshot.writable();
        if becomes_writable {
            self.refuse_too_many(0, 1)?;
        }
        let store = self.store()?;
        let now = Timestamp::now();
        let mut change = |meta: &mut SnapshotMeta| apply(update, meta, now);
        let changed = if becomes_writable {
            store.make_writable(snapshot.id, &mut change)
        } else {
            store.update_snapshot(snapshot.id, &mut change)
        };
        let changed = changed.map_err(fail)?;
        if becomes_writable {
            let mut tally = self.tally.lock();
            tally.remove(&snapshot);
            tally.add(&changed);
        }
        self.entries_changed(volume.id);
        let now_named = format!("{}@{}", volume.meta.name, changed.meta.name);
        self.snapshot_event(Change::Updated, now_named);
        self.snapshot_info(&volume, &changed)
    }

    /// Deletes snapshots: all of them, or none.
    pub fn snapshot_delete(&self, all: &[impl WhichSnapshot]) -> AppResult<DeletedInfo> {
        let _one_change = self.admin.lock();
        let mut gone: BTreeMap<SnapshotId, Arc<Snapshot>> = BTreeMap::new();
        let mut deleted: Vec<String> = Vec::new();
        for which in all {
            let (volume, snapshot) = which.snapshot(self)?;
            let name = called(&volume, &snapshot);
            self.refuse_protected(&volume, std::slice::from_ref(&snapshot))?;
            // A name that is given twice is one deletion.
            if gone.insert(snapshot.id, snapshot).is_none() {
                deleted.push(name.to_string());
            }
        }
        self.remove_snapshots(&gone, &deleted)?;
        Ok(DeletedInfo { deleted })
    }

    /// Removes these snapshots: all of them, or none. The caller holds `admin`.
    pub(crate) fn remove_snapshots(
        &self,
        gone: &BTreeMap<SnapshotId, Arc<Snapshot>>,
        names: &[String],
    ) -> AppResult<()> {
        let ids: Vec<SnapshotId> = gone.keys().copied().collect();
        for snapshot in gone.values() {
            if let Some(mounted) = self.mounted(snapshot.volume) {
                mounted.tree.leave_snapshot(snapshot.id);
            }
        }
        self.store()?
            .delete_snapshots(&ids)
            .map_err(|e| store_error(&format!("snapshots {}", names.join(", ")), &e))?;
        gone.values().for_each(|snapshot| self.tally.lock().remove(snapshot));
        names.iter().for_each(|name| self.snapshot_event(Change::Deleted, name));
        let volumes: BTreeSet<VolumeId> = gone.values().map(|snapshot| snapshot.volume).collect();
        volumes.into_iter().for_each(|id| self.entries_changed(id));
        let exports: Vec<ExportId> = ids.into_iter().map(ExportId::Snapshot).collect();
        self.close_clients(&exports);
        Ok(())
    }

    pub(crate) fn refuse_protected(
        &self,
        volume: &Volume,
        snapshots: &[Arc<Snapshot>],
    ) -> AppResult<()> {
        let now = Timestamp::now();
        for snapshot in snapshots {
            let Some(rule) = snapshot.meta.delete.filter(|rule| rule.protects(now)) else {
                continue;
            };
            let name = format!("{}@{}", volume.meta.name, snapshot.meta.name);
            return Err(AppError::new(
                ErrorKind::Protected,
                format!("snapshot {name}"),
                format!("is protected against deletion; its rule says: delete {rule}"),
                format!(
                    "Change the rule first: `tintype snapshot update {name} --delete-anytime`."
                ),
            ));
        }
        Ok(())
    }

    /// The live volume becomes that moment; `keep` saves what was there.
    pub fn snapshot_restore(
        &self,
        which: &impl WhichSnapshot,
        keep: Option<&SnapshotName>,
    ) -> AppResult<RestoreInfo> {
        let (volume, _) = which.snapshot(self)?;
        self.flush(&volume)?;
        let _one_change = self.admin.lock();
        let (volume, snapshot) = which.snapshot(self)?;
        let name = called(&volume, &snapshot);
        let kept =
            keep.map(|keep| SnapshotRef { volume: name.volume.clone(), snapshot: keep.clone() });
        let new = match &kept {
            None => None,
            Some(kept) => {
                self.refuse_too_many(1, 0)?;
                let wish = SnapshotCreate {
                    description: format!("what was there before the restore of {name}"),
                    ..SnapshotCreate::plain(kept.clone())
                };
                Some(self.new_snapshot(&volume, &wish, None))
            }
        };
        let store = self.store()?;
        let size = self.served_size(volume.id);
        store
            .restore(volume.id, snapshot.id, new)
            .map_err(|e| store_error(&format!("snapshot {name}"), &e))?;
        let made = kept.as_ref().and_then(|kept| store.snapshot(volume.id, kept.snapshot.as_str()));
        if let Some(made) = made {
            self.count_new(&made, true);
        }
        self.tally.lock().set_newest(volume.id, Some(snapshot.id));
        self.entries_changed(volume.id);
        self.at_rest.forget(volume.id);
        self.volume_event(volume.meta.kind, Change::Restored, &name.volume);
        kept.iter().for_each(|kept| self.snapshot_event(Change::Created, kept));
        if self.served_size(volume.id) != size {
            self.close_clients(&[ExportId::Disk(volume.id)]);
        }
        let (filesystem, disk) = match self.volume_info(&self.volume(&name.volume)?)? {
            VolumeInfo::Filesystem(info) => (Some(info), None),
            VolumeInfo::Disk(info) => (None, Some(info)),
        };
        Ok(RestoreInfo { filesystem, disk, restored: name, kept })
    }

    fn volume_info(&self, volume: &Volume) -> AppResult<VolumeInfo> {
        match volume.meta.kind {
            VolumeKind::Filesystem => self.fs_info(volume).map(VolumeInfo::Filesystem),
            VolumeKind::Disk => self.disk_info(volume).map(VolumeInfo::Disk),
        }
    }

    /// A new, independent volume from a snapshot.
    pub fn snapshot_clone(
        &self,
        name: &SnapshotRef,
        request: &CloneRequest,
    ) -> AppResult<VolumeInfo> {
        let (source, _) = self.snapshot(name)?;
        self.flush(&source)?;
        let _one_change = self.admin.lock();
        let (source, snapshot) = self.snapshot(name)?;
        self.refuse_taken(&request.name)?;
        if source.meta.kind == VolumeKind::Disk && request.mount.is_some() {
            return Err(AppError::invalid(
                format!("disk {}", request.name),
                "cannot be mounted",
                "Leave --mount away; `tintype disk show` tells where a disk is served.",
            ));
        }
        let now = Timestamp::now();
        let mut meta = VolumeMeta::new(request.name.clone(), VolumeKind::Filesystem, now);
        meta.kind = source.meta.kind;
        meta.compression = source.meta.compression;
        meta.quota = source.meta.quota;
        meta.capacity = source.meta.capacity;
        let volume = self
            .store()?
            .clone_snapshot(snapshot.id, NewVolume { meta })
            .map_err(|e| store_error(&format!("snapshot {name}"), &e))?;
        if !snapshot.writable() {
            self.tally.lock().set_newest(volume.id, Some(snapshot.id));
        }
        match source.meta.kind {
            VolumeKind::Disk => {
                self.volume_event(VolumeKind::Disk, Change::Created, &request.name);
                self.new_disk_info(&volume).map(VolumeInfo::Disk)
            }
            VolumeKind::Filesystem => {
                self.mount_new(volume, request.mount.as_deref()).map(VolumeInfo::Filesystem)
            }
        }
    }

    /// The entries of `.snapshots` or the live tree changed: on return the kernel remembers nothing old.
    fn entries_changed(&self, volume: VolumeId) {
        if let Some(mounted) = self.mounted(volume) {
            mounted.tree.snapshots_changed();
            if !mounted.tree.settle(SETTLE_LIMIT) {
                tracing::warn!(%volume, "the mount did not tell in time what to forget");
            }
            mounted.mount.settle();
        }
    }

    fn snapshot_info(&self, volume: &Volume, snapshot: &Arc<Snapshot>) -> AppResult<SnapshotInfo> {
        let frees = self.store()?.reclaimable_each(std::slice::from_ref(snapshot));
        Ok(snapshot_info(volume, snapshot, frees.first().copied().unwrap_or_default()))
    }
}

fn snapshot_info(volume: &Volume, snapshot: &Snapshot, frees: u64) -> SnapshotInfo {
    let meta = &snapshot.meta;
    let id = snapshot.id.to_string();
    SnapshotInfo {
        name: meta.name.clone(),
        volume: volume.meta.name.clone(),
        kind: volume.meta.kind,
        time: meta.time,
        writable: snapshot.writable(),
        access_point: meta.access_point.clone(),
        tags: meta.tags.clone(),
        label: meta.label.clone(),
        description: meta.description.clone(),
        delete: meta.delete,
        reclaimable_bytes: frees,
        host: meta.host.clone(),
        user: meta.user.clone(),
        // Only copies carry the id of another snapshot.
        original: if meta.original.is_empty() { id.clone() } else { meta.original.clone() },
        id,
        parent: meta.parent.clone(),
        policies: meta.policies.clone(),
        program_version: meta.program_version.clone(),
    }
}

fn apply(update: &SnapshotUpdate, meta: &mut SnapshotMeta, now: Timestamp) {
    if let Some(name) = update.name.as_ref().filter(|name| **name != meta.name) {
        meta.name = name.clone();
        // Somebody wants to keep it: no policy counts or removes it any more.
        meta.policies.clear();
    }
    if let Some(access_point) = &update.access_point {
        meta.access_point = access_point.clone();
    }
    if let Some(tags) = &update.tags {
        meta.tags = tags.clone();
    }
    meta.tags = tintype_model::Tags::union([&meta.tags, &update.add_tags]);
    for tag in update.remove_tags.iter() {
        meta.tags.remove(tag);
    }
    if let Some(label) = &update.label {
        meta.label.clone_from(label);
    }
    if let Some(description) = &update.description {
        meta.description.clone_from(description);
    }
    if let Some(delete) = update.delete {
        meta.delete = delete.map(|delete| delete.rule(now));
    }
}
