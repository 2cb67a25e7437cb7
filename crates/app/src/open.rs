//! Opening and closing a store, and what all use cases share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tintype_kv::FjallKv;
use tintype_model::{SnapshotLimits, SnapshotRef, VolumeId, VolumeKind, VolumeName};
use tintype_segments::{FolderFiles, Segments};
use tintype_store::{LineRef, Snapshot, Store, StoreOptions, Volume};

use crate::access::Access;
use crate::at_rest::QuotasAtRest;
use crate::change_lists::ChangeLists;
use crate::convert::store_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::events::Events;
use crate::figures::QuotaGlance;
use crate::folder::{Holder, StoreFolder};
use crate::jobs::Jobs;
use crate::mounts::Mounted;
use crate::once::Onces;
use crate::policies::Policies;
use crate::port::{DiskServer, Mounter};
use crate::room::StoreQuota;
use crate::tally::Tally;
use crate::tasks::Tasks;
use crate::trees::fsck_info;
use crate::types::FsckInfo;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct AppOptions {
    /// The folder of the store.
    pub store: PathBuf,
    /// Make a store when there is none.
    pub create: bool,
    /// Replaces the limits that the store remembers.
    pub snapshot_limits: Option<SnapshotLimits>,
    /// Who asks when a request does not say.
    pub user: String,
}

/// How long the threads of a mount that is gone may hold the store.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// The one facade. Every method may be called from many threads; all of them block.
pub struct App {
    /// Absent only after a reopening that failed.
    store: RwLock<Option<Arc<Store>>>,
    pub(crate) folder: Mutex<StoreFolder>,
    path: PathBuf,
    pub(crate) mounter: Arc<dyn Mounter>,
    /// What is mounted. Locked briefly: never while the kernel or the store is asked.
    pub(crate) mounts: Mutex<BTreeMap<VolumeId, Arc<Mounted>>>,
    /// Disks that are open. Locked briefly, and while one is opened or deleted.
    pub(crate) disks: Mutex<BTreeMap<LineRef, Arc<tintype_disk::Disk>>>,
    /// Who serves disks. It goes before the app does, so it is not held.
    pub(crate) disk_server: Mutex<Option<Weak<dyn DiskServer>>>,
    /// Why a filesystem that should be mounted is not.
    pub(crate) problems: Mutex<BTreeMap<VolumeId, String>>,
    /// Held while names, volumes or mounts change: one such change at a time.
    pub(crate) admin: Mutex<()>,
    /// Numbers of snapshots; changed under `admin`.
    pub(crate) tally: Mutex<Tally>,
    /// Quotas of filesystems that are not mounted.
    pub(crate) at_rest: QuotasAtRest,
    /// Bytes that the store may take on disk.
    pub(crate) quota: Arc<StoreQuota>,
    pub(crate) jobs: Jobs,
    pub(crate) quota_glance: QuotaGlance,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) events: Arc<Events>,
    /// Answers of requests that carry a key.
    pub(crate) onces: Arc<Onces>,
    /// Users, tokens and sessions.
    pub(crate) access: Access,
    pub(crate) policies: Policies,
    /// Change lists that are read.
    pub(crate) change_lists: ChangeLists,
    /// The id of the store, once somebody asked.
    pub(crate) store_id: OnceLock<[u8; 16]>,
    pub(crate) addresses: Mutex<Vec<String>>,
    pub(crate) started: Timestamp,
    pub(crate) user: String,
    pub(crate) host: String,
}

impl App {
    /// Opens the store. Nothing is mounted yet: see [`App::mount_remembered`].
    pub fn open(options: AppOptions, mounter: Arc<dyn Mounter>) -> AppResult<Arc<Self>> {
        let now = Timestamp::now();
        let mut folder = StoreFolder::open(&options.store, options.create, now)?;
        let host = host_name();
        let pid = std::process::id();
        folder.announce(&Holder { pid, host: host.clone(), ..Holder::default() })?;
        if let Some(limits) = options.snapshot_limits {
            folder.change_settings(|settings| settings.snapshot_limits = limits)?;
        }
        let path = folder.path().to_owned();
        let store = open_store(&path)?;
        crate::import::remove_halves(&store);
        let access = Access::load(&store)?;
        let tally = Mutex::new(Tally::of(&store));
        let quota = Arc::new(StoreQuota::new(folder.settings().quota));
        let policies = Policies::load(&store, now)?;
        let onces = Arc::new(Onces::load(&store)?);
        let events = Arc::new(Events::new()?);
        Ok(Arc::new(Self {
            store: RwLock::new(Some(store)),
            folder: Mutex::new(folder),
            path,
            mounter,
            mounts: Mutex::default(),
            disks: Mutex::default(),
            disk_server: Mutex::default(),
            problems: Mutex::default(),
            admin: Mutex::default(),
            tally,
            at_rest: QuotasAtRest::default(),
            quota,
            jobs: Jobs::default(),
            quota_glance: QuotaGlance::default(),
            tasks: Arc::new(Tasks::new(Arc::clone(&events))),
            events,
            onces,
            access,
            policies,
            change_lists: ChangeLists::default(),
            store_id: OnceLock::new(),
            addresses: Mutex::default(),
            started: now,
            user: options.user,
            host,
        }))
    }

    /// The folder of the store.
    pub fn store_path(&self) -> &Path {
        &self.path
    }

    /// The name of this machine.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Tells others where this server listens.
    pub fn announce(&self, addresses: Vec<String>) -> AppResult<()> {
        *self.addresses.lock() = addresses;
        self.write_holder(false)
    }

    fn write_holder(&self, stopping: bool) -> AppResult<()> {
        let addresses = self.addresses.lock().clone();
        let (pid, host) = (std::process::id(), self.host.clone());
        self.folder.lock().announce(&Holder { pid, host, addresses, stopping })
    }

    /// Flushes and unmounts everything, makes it durable, and closes the store.
    pub fn close(&self) -> AppResult<()> {
        self.tasks.stop_all();
        if let Some(store) = &*self.store.read() {
            store.closes_soon();
        }
        let _one_change = self.admin.lock();
        let said = self.write_holder(true);
        self.unmount_all();
        self.close_disks();
        self.store()?.close().map_err(|e| store_error(&self.store_object(), &e))?;
        said
    }

    pub(crate) fn store(&self) -> AppResult<Arc<Store>> {
        let store = self.store.read().clone();
        store.ok_or_else(|| {
            AppError::new(
                ErrorKind::Unavailable,
                self.store_object(),
                "could not be opened again",
                "Restart the server: `tintype down`, then `tintype up`.",
            )
        })
    }

    pub(crate) fn store_object(&self) -> String {
        format!("store {}", self.path.display())
    }

    /// Closes the store and opens it again: after a shutdown request of a program, or a failed write.
    /// Nothing may be mounted. The caller holds `admin`.
    pub(crate) fn reopen(&self) -> AppResult<()> {
        self.close_all_clients();
        self.disks.lock().clear();
        let mut place = self.store.write();
        if let Some(old) = place.take() {
            // What could not be written stays unwritten; that is known already.
            drop(old.close());
        }
        let store = open_released(&self.path)?;
        *self.tally.lock() = Tally::of(&store);
        self.at_rest.forget_all();
        *place = Some(store);
        Ok(())
    }

    /// A volume of any kind.
    pub(crate) fn volume(&self, name: &VolumeName) -> AppResult<Volume> {
        let found = self.store()?.volume(name.as_str());
        let found = found.ok_or_else(|| AppError::no_volume(name.as_str()))?;
        crate::disks::refuse_importing(&found)?;
        Ok(found)
    }

    /// A filesystem.
    pub(crate) fn filesystem(&self, name: &VolumeName) -> AppResult<Volume> {
        let found = self.store()?.volume(name.as_str());
        let found = found.ok_or_else(|| AppError::no_filesystem(name.as_str()))?;
        if found.meta.kind == VolumeKind::Filesystem {
            return Ok(found);
        }
        Err(AppError::invalid(
            format!("disk {name}"),
            "is no filesystem",
            "`tintype fs list` shows the filesystems.",
        ))
    }

    pub(crate) fn snapshot(&self, name: &SnapshotRef) -> AppResult<(Volume, Arc<Snapshot>)> {
        let volume = self.volume(&name.volume)?;
        let found = self.store()?.snapshot(volume.id, name.snapshot.as_str());
        let missing = || AppError::no_snapshot(name.volume.as_str(), name.snapshot.as_str());
        Ok((volume, found.ok_or_else(missing)?))
    }
}

/// Opens a store that the last threads of a mount may still hold for a moment.
fn open_released(path: &Path) -> AppResult<Arc<Store>> {
    let start = Instant::now();
    loop {
        match open_store(path) {
            Err(e) if e.kind == ErrorKind::Busy && start.elapsed() < RELEASE_LIMIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Checks a store that does not open because rows are damaged. A repair writes sums again when nothing else is damaged;
/// then it opens.
pub fn fsck_unopened(path: &Path, repair: bool) -> AppResult<FsckInfo> {
    let folder = StoreFolder::open(path, false, Timestamp::now())?;
    let object = format!("store {}", folder.path().display());
    let check = |repair| {
        let (kv, segments) = open_engines(folder.path())?;
        tintype_store::fsck_unopened(kv, segments, repair).map_err(|e| store_error(&object, &e))
    };
    let first = check(repair)?;
    let again = if first.repaired > 0 { Some(check(false)?) } else { None };
    Ok(fsck_info(&object, &first, again.as_ref()))
}

fn open_store(path: &Path) -> AppResult<Arc<Store>> {
    let object = format!("store {}", path.display());
    let (kv, segments) = open_engines(path)?;
    Store::open(kv, segments, StoreOptions::default()).map_err(|e| store_error(&object, &e))
}

fn open_engines(path: &Path) -> AppResult<(Arc<FjallKv>, Arc<Segments>)> {
    let object = format!("store {}", path.display());
    let (kv_dir, data_dir) = (path.join("kv"), path.join("segments"));
    for dir in [&kv_dir, &data_dir] {
        std::fs::create_dir_all(dir).map_err(|e| AppError::io(dir, "make the folder", &e))?;
    }
    let kv = FjallKv::open(&kv_dir, tintype_kv::Options::default())
        .map_err(|e| store_error(&object, &e.into()))?;
    let files = FolderFiles::open(&data_dir)
        .map_err(|e| AppError::io(&data_dir, "open the data segments", &e))?;
    let segments = Segments::open(Arc::new(files), tintype_segments::Options::default())
        .map_err(|e| store_error(&object, &e.into()))?;
    // The folders' own entries too: a synced file in a folder that a power loss takes is lost.
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    for dir in [kv_dir.as_path(), &data_dir, path].into_iter().chain(above) {
        std::fs::File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| AppError::io(dir, "sync the folder", &e))?;
    }
    Ok((Arc::new(kv), Arc::new(segments)))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
