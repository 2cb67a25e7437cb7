//! Use cases of filesystems: make, list, show, change, delete.

use jiff::Timestamp;
use tintype_model::{VolumeKind, VolumeMeta, VolumeName};
use tintype_store::{MomentRef, NewVolume, Store, Usage, Volume};

use crate::convert::{fs_error, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::mounts::Below;
use crate::open::App;
use crate::types::{Change, DeletedInfo, FsCreate, FsInfo, FsUpdate};
use crate::which::WhichFilesystem;

impl App {
    /// Makes a filesystem and mounts it when a folder is given; nothing stays behind when that fails.
    pub fn fs_create(&self, wish: &FsCreate) -> AppResult<FsInfo> {
        let _one_change = self.admin.lock();
        self.refuse_taken(&wish.name)?;
        let mut meta = VolumeMeta::new(wish.name.clone(), VolumeKind::Filesystem, Timestamp::now());
        meta.quota = wish.quota;
        meta.capacity = wish.capacity;
        meta.compression = wish.compression;
        let object = format!("filesystem {}", wish.name);
        refuse_zero(&object, wish.quota, wish.capacity)?;
        let store = self.store()?;
        let volume =
            store.create_volume(NewVolume { meta }).map_err(|e| store_error(&object, &e))?;
        if let Err(error) = crate::trees::create(&store, volume.id) {
            drop(store.delete_volume(volume.id, true));
            return Err(fs_error(&object, &error));
        }
        self.mount_new(volume, wish.mount.as_deref())
    }

    /// Mounts a volume that was just made, or takes it back.
    pub(crate) fn mount_new(
        &self,
        volume: Volume,
        dir: Option<&std::path::Path>,
    ) -> AppResult<FsInfo> {
        let created =
            || self.volume_event(VolumeKind::Filesystem, Change::Created, &volume.meta.name);
        let Some(dir) = dir else {
            created();
            return self.new_fs_info(&volume);
        };
        if let Err(error) = self.mount_now(&volume, dir, Below::Nothing) {
            drop(self.store()?.delete_volume(volume.id, true));
            return Err(error);
        }
        created();
        let volume = self.remember(&volume, Some(dir.to_owned()))?;
        self.new_fs_info(&volume)
    }

    pub(crate) fn refuse_taken(&self, name: &VolumeName) -> AppResult<()> {
        let Some(taken) = self.store()?.volume(name.as_str()) else { return Ok(()) };
        let (kind, list) = match taken.meta.kind {
            VolumeKind::Filesystem => ("filesystem", "fs"),
            VolumeKind::Disk => ("disk", "disk"),
        };
        Err(AppError::new(
            ErrorKind::Exists,
            format!("{kind} {name}"),
            "exists already",
            format!("Choose another name; `tintype {list} list` shows those in use."),
        ))
    }

    /// All filesystems by name.
    pub fn fs_list(&self) -> AppResult<Vec<FsInfo>> {
        let mut volumes = self.store()?.volumes();
        volumes.retain(|volume| volume.meta.kind == VolumeKind::Filesystem);
        volumes.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        volumes.iter().map(|volume| self.fs_info(volume)).collect()
    }

    /// One filesystem.
    pub fn fs_show(&self, which: &impl WhichFilesystem) -> AppResult<FsInfo> {
        self.fs_info(&which.filesystem(self)?)
    }

    /// Changes name, limits or compression.
    pub fn fs_update(&self, which: &impl WhichFilesystem, update: &FsUpdate) -> AppResult<FsInfo> {
        let _one_change = self.admin.lock();
        let volume = which.filesystem(self)?;
        let name = &volume.meta.name;
        if let Some(new) = update.name.as_ref().filter(|new| *new != name) {
            self.refuse_taken(new)?;
        }
        let object = format!("filesystem {name}");
        refuse_zero(&object, update.quota.flatten(), update.capacity.flatten())?;
        let mut change = |meta: &mut VolumeMeta| apply(update, meta);
        let store = self.store()?;
        let volume =
            store.update_volume(volume.id, &mut change).map_err(|e| store_error(&object, &e))?;
        if let Some(mounted) = self.mounted(volume.id) {
            mounted.tree.refresh_limits();
        }
        self.volume_event(VolumeKind::Filesystem, Change::Updated, &volume.meta.name);
        self.fs_info(&volume)
    }

    /// Deletes a filesystem; with `force` also its mount and its snapshots.
    pub fn fs_delete(&self, which: &impl WhichFilesystem, force: bool) -> AppResult<DeletedInfo> {
        let _one_change = self.admin.lock();
        let volume = which.filesystem(self)?;
        let name = &volume.meta.name;
        let object = format!("filesystem {name}");
        let snapshots = self.store()?.snapshots(Some(volume.id));
        if !force && !snapshots.is_empty() {
            return Err(has_snapshots(&object, snapshots.len()));
        }
        self.refuse_protected(&volume, &snapshots)?;
        if let Some(mounted) = self.mounted(volume.id).filter(|_| !force) {
            return Err(AppError::new(
                ErrorKind::Busy,
                object,
                format!("is mounted at {}", mounted.dir.display()),
                format!("Unmount it first (`tintype fs unmount {name}`), or use --force."),
            ));
        }
        self.unmount_now(volume.id, force)?;
        self.store()?.delete_volume(volume.id, force).map_err(|e| store_error(&object, &e))?;
        self.problems.lock().remove(&volume.id);
        self.tally.lock().remove_volume(volume.id);
        let mut deleted = vec![name.to_string()];
        deleted.extend(snapshots.iter().map(|snapshot| format!("{name}@{}", snapshot.meta.name)));
        self.volume_event(VolumeKind::Filesystem, Change::Deleted, name);
        Ok(DeletedInfo { deleted })
    }

    pub(crate) fn fs_info(&self, volume: &Volume) -> AppResult<FsInfo> {
        let store = self.store()?;
        let usage = store.usage(volume.id);
        Ok(self.fs_info_using(&store, volume, usage))
    }

    /// As [`App::fs_info`], of a filesystem that was just made: nothing is counted for its answer.
    fn new_fs_info(&self, volume: &Volume) -> AppResult<FsInfo> {
        let store = self.store()?;
        let usage = store.usage_lately(volume.id);
        Ok(self.fs_info_using(&store, volume, usage))
    }

    fn fs_info_using(&self, store: &Store, volume: &Volume, usage: Usage) -> FsInfo {
        let referenced = self.referenced(store, volume);
        let count = self.tally.lock().volume(volume.id);
        let meta = &volume.meta;
        FsInfo {
            name: meta.name.clone(),
            id: volume.id.to_string(),
            created: meta.created,
            quota: meta.quota,
            capacity: meta.capacity,
            compression: meta.compression,
            mount: meta.mount.clone(),
            mounted: self.mounted(volume.id).is_some(),
            snapshots: count.read_only + count.writable,
            referenced_bytes: referenced,
            live_bytes: usage.live_bytes,
            snapshot_bytes: usage.snapshot_bytes,
            warnings: crate::quotas::volume_warnings(meta.quota, referenced),
        }
    }

    /// Bytes that live files refer to, whoever else shares them; none when that cannot be read.
    pub(crate) fn referenced(&self, store: &Store, volume: &Volume) -> Option<u64> {
        if volume.meta.kind != VolumeKind::Filesystem {
            return None;
        }
        let usage = match self.mounted(volume.id) {
            Some(mounted) => Ok(mounted.tree.usage()),
            None => tintype_fs::usage(store, MomentRef::Live(volume.id)),
        };
        match usage {
            Ok(usage) => Some(usage.blocks.saturating_mul(tintype_store::BLOCK as u64)),
            Err(error) => {
                tracing::warn!(%error, volume = %volume.meta.name, "its usage cannot be read");
                None
            }
        }
    }
}

/// A limit of nothing is a slip: the first byte would be refused.
pub(crate) fn refuse_zero(
    object: &str,
    quota: Option<u64>,
    capacity: Option<u64>,
) -> AppResult<()> {
    let name = match (quota, capacity) {
        (Some(0), _) => "quota",
        (_, Some(0)) => "capacity",
        _ => return Ok(()),
    };
    Err(AppError::invalid(
        object,
        format!("a {name} of 0 bytes would refuse everything"),
        format!("Give a size like 10G, or `none` for no {name}."),
    ))
}

fn apply(update: &FsUpdate, meta: &mut VolumeMeta) {
    if let Some(name) = &update.name {
        meta.name = name.clone();
    }
    if let Some(quota) = update.quota {
        meta.quota = quota;
    }
    if let Some(capacity) = update.capacity {
        meta.capacity = capacity;
    }
    if let Some(compression) = update.compression {
        meta.compression = compression;
    }
}

pub(crate) fn has_snapshots(object: &str, count: usize) -> AppError {
    AppError::new(
        ErrorKind::Busy,
        object,
        if count == 1 { "has a snapshot".to_owned() } else { format!("has {count} snapshots") },
        "Delete what it has first, or use --force to delete all of it.",
    )
}
