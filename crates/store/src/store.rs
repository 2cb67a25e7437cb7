//! A store: engines, history, catalog and lines under one roof.
//!
//! Lock order: `commit` (one commit at a time), then the owners of lines (while cutting), `write`, `core`, and last
//! `merges`. An owner may ask the store things that take `core`, never anything that commits while it holds its own lock.
//!
//! Who writes a line, and from when to when: `lines.rs`.

use crate::error::{Result, StoreError};
use crate::lines::LineOwner;
use crate::meta::{Catalog, Place, Snapshot, Volume};
use crate::moment::View;
use crate::pins::Pins;
use crate::refs::{SEGMENT, SegmentSums};
use crate::room::{Refused, Round};
use crate::shared::Shared;
use crate::usage::{Sums, Usage};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tintype_history::codec::{Bytes, row_range};
use tintype_history::{Epoch, History, Key, Point, Removal, SpaceId, Work};
use tintype_kv::Kv;
use tintype_model::{SnapshotId, SnapshotMeta, VolumeId, VolumeMeta};
use tintype_segments::{Codec, SegmentId, Segments};

/// Row of the next extent id.
pub(crate) const NEXT_EXTENT: &[u8] = b"E";

/// How long a change waits for a commit that finds no room.
pub(crate) const FULL_WAIT: Duration = Duration::from_millis(250);

/// How a store behaves.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The longest time that a change stays un-synced by itself.
    pub commit_interval: Duration,
    /// Run commits, reclaim and cleaning by themselves. Tests turn it off and drive them.
    pub background: bool,
    /// A commit with at most this much new data keeps it in the records: one sync instead of two. Bytes.
    pub inline_commit: usize,
    /// New data that may wait in memory before writers wait. Bytes.
    pub unwritten_max: usize,
    /// Changed records that may wait in memory before a commit starts.
    pub dirty_records_max: usize,
    /// Share of dead bytes in all segments above which cleaning starts, in percent.
    pub clean_percent: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(1),
            background: true,
            inline_commit: 32 << 10,
            unwritten_max: 32 << 20,
            dirty_records_max: 40_000,
            clean_percent: 8,
        }
    }
}

/// A moment to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MomentRef {
    /// A volume as it is now.
    Live(VolumeId),
    /// A snapshot.
    Snapshot(SnapshotId),
}

/// What a new volume is to be.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// Name and settings.
    pub meta: VolumeMeta,
}

/// What a new snapshot is to be.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// Name and the rest.
    pub meta: SnapshotMeta,
    /// Make the access point unique by adding a number.
    pub unique_access_point: bool,
    /// Of this snapshot instead of the live volume.
    pub source: Option<SnapshotId>,
    /// With a line of its own.
    pub writable: bool,
}

pub(crate) struct Core {
    pub(crate) history: History,
    pub(crate) catalog: Catalog,
    pub(crate) sums: SegmentSums,
    /// Written since the last sync of the record engine.
    pub(crate) unsynced: bool,
    /// Touched lists may be droppable.
    pub(crate) trim: bool,
    /// Segments that damage keeps from being cleaned.
    pub(crate) stuck_segments: BTreeSet<SegmentId>,
    /// Work that a damaged row keeps from being done.
    pub(crate) stuck_work: BTreeSet<Work>,
    /// What volumes use.
    pub(crate) usage: Sums,
    /// Chains may have become mergeable.
    pub(crate) merge_due: bool,
    /// Moments that are kept without a name.
    pub(crate) pins: Pins,
    /// What was refused for want of room.
    pub(crate) refused: Refused,
}

/// See the module header.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: StoreOptions,
    pub(crate) core: Mutex<Core>,
    pub(crate) owners: Mutex<BTreeMap<SpaceId, Weak<dyn LineOwner>>>,
    pub(crate) commit: Mutex<()>,
    pub(crate) started: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) usage: RwLock<HashMap<VolumeId, (Usage, bool)>>,
    pub(crate) write: Mutex<()>,
    /// Segments may hold dead bytes.
    pub(crate) clean_due: AtomicBool,
    pub(crate) progress: Mutex<crate::status::Progress>,
    pub(crate) threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Cuts for which the disk had no room, oldest first; changed under `commit`.
    pub(crate) held: Mutex<VecDeque<Round>>,
    /// The last commit found no room.
    pub(crate) full: AtomicBool,
    /// What a check that holds the core has noted for `status`.
    pub(crate) noted: Mutex<Option<crate::status::Glance>>,
}

impl Store {
    /// Opens a store over its engines. An empty one becomes a store.
    ///
    /// # Errors
    /// An engine failed or a row is damaged.
    pub fn open(
        kv: Arc<dyn Kv>,
        segments: Arc<Segments>,
        options: StoreOptions,
    ) -> Result<Arc<Self>> {
        let next_extent = load_next_extent(&*kv)?;
        let mut history = History::open(kv.clone())?;
        let catalog = Catalog::load(&*kv)?;
        for volume in catalog.volumes.values() {
            history.set_head(volume.space, true);
        }
        for snapshot in catalog.snapshots.values() {
            match snapshot.place {
                Place::ReadOnly(point) => history.add_name(point),
                Place::Writable(space) => history.set_head(space, true),
            }
        }
        for point in catalog.holds.values().flat_map(|hold| hold.points) {
            history.add_name(point);
        }
        history.resume()?;
        if catalog.is_new() && segments.list()?.iter().any(|segment| segment.bytes > 4096) {
            return Err(StoreError::Invalid {
                what: "the records are empty though data segments hold data: the record files \
                       are damaged or were replaced; put them back from a copy"
                    .to_owned(),
            });
        }
        let core = Core {
            history,
            catalog,
            sums: load_sums(&*kv)?,
            unsynced: true,
            trim: true,
            stuck_segments: BTreeSet::new(),
            stuck_work: BTreeSet::new(),
            usage: Sums::default(),
            merge_due: true,
            pins: Pins::default(),
            refused: Refused::default(),
        };
        let shared = Arc::new(Shared::new(kv, segments, next_extent));
        let store = Arc::new(Self {
            shared,
            options,
            core: Mutex::new(core),
            owners: Mutex::default(),
            commit: Mutex::new(()),
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            usage: RwLock::default(),
            write: Mutex::new(()),
            clean_due: AtomicBool::new(true),
            progress: Mutex::default(),
            threads: Mutex::default(),
            held: Mutex::default(),
            full: AtomicBool::new(false),
            noted: Mutex::default(),
        });
        store.publish_usage(&mut store.core.lock());
        if options.background {
            store.start_threads();
        }
        Ok(store)
    }

    /// All volumes by id.
    #[must_use]
    pub fn volumes(&self) -> Vec<Volume> {
        self.core.lock().catalog.volumes.values().cloned().collect()
    }

    /// The volume of that name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<Volume> {
        self.core.lock().catalog.volume_named(name).cloned()
    }

    /// The volume with that id.
    #[must_use]
    pub fn volume_by_id(&self, id: VolumeId) -> Option<Volume> {
        self.core.lock().catalog.volumes.get(&id).cloned()
    }

    /// Snapshots of one volume or of all, oldest first.
    #[must_use]
    pub fn snapshots(&self, volume: Option<VolumeId>) -> Vec<Arc<Snapshot>> {
        let core = self.core.lock();
        let mut found: Vec<_> = match volume {
            Some(volume) => core.catalog.snapshots_of(volume).cloned().collect(),
            None => core.catalog.snapshots.values().cloned().collect(),
        };
        drop(core);
        found.sort_by(|a, b| a.meta.time.cmp(&b.meta.time).then(a.id.cmp(&b.id)));
        found
    }

    /// The snapshot of that name.
    #[must_use]
    pub fn snapshot(&self, volume: VolumeId, name: &str) -> Option<Arc<Snapshot>> {
        self.core.lock().catalog.snapshot_named(volume, name)
    }

    /// The snapshot with that id.
    #[must_use]
    pub fn snapshot_by_id(&self, id: SnapshotId) -> Option<Arc<Snapshot>> {
        self.core.lock().catalog.snapshots.get(&id).cloned()
    }

    /// The snapshot behind an access point.
    #[must_use]
    pub fn snapshot_at(&self, volume: VolumeId, access_point: &str) -> Option<Arc<Snapshot>> {
        self.core.lock().catalog.snapshot_at(volume, access_point)
    }

    /// A read-only snapshot's moment.
    ///
    /// # Errors
    /// The snapshot does not exist.
    pub fn view(&self, id: SnapshotId) -> Result<View> {
        self.view_of(MomentRef::Snapshot(id))
    }

    /// Any moment, as of the last commit.
    ///
    /// # Errors
    /// It does not exist.
    pub fn view_of(&self, moment: MomentRef) -> Result<View> {
        let core = self.core.lock();
        let point = moment_point(&core, moment)?;
        Ok(View::new(self.shared.clone(), core.history.tree().chain(point)))
    }

    /// Every key that may differ between two moments, sorted, each once.
    ///
    /// # Errors
    /// [`StoreError::Unrelated`]: they share no history. The store failed.
    pub fn touched(&self, a: MomentRef, b: MomentRef) -> Result<Vec<Key>> {
        self.fix(a, b)?.touched()
    }

    /// What deleting exactly these snapshots frees, in accounted bytes.
    ///
    /// # Errors
    /// One of them does not exist.
    pub fn reclaimable(&self, ids: &[SnapshotId]) -> Result<u64> {
        let mut core = self.core.lock();
        let mut removal = Removal::default();
        for id in ids {
            match find_snapshot(&core, *id)?.place {
                Place::ReadOnly(point) => removal.names.push(point),
                Place::Writable(space) => removal.heads.push(space),
            }
        }
        Ok(core.predict(&removal))
    }

    /// As [`Store::reclaimable`] for each of many snapshots on its own.
    #[must_use]
    pub fn reclaimable_each(&self, snapshots: &[Arc<Snapshot>]) -> Vec<u64> {
        let mut core = self.core.lock();
        let mut each = |snapshot: &Arc<Snapshot>| {
            let mut removal = Removal::default();
            match snapshot.place {
                Place::ReadOnly(point) => removal.names.push(point),
                Place::Writable(space) => removal.heads.push(space),
            }
            core.predict(&removal)
        };
        snapshots.iter().map(&mut each).collect()
    }

    /// The engines' state that readers share, for the layers' own tools.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// The codec that new data of a volume is packed with.
    pub(crate) fn codec_of(core: &Core, tag: u64) -> Codec {
        use tintype_model::Compression;
        let volume = core.catalog.volumes.get(&VolumeId(tag));
        match volume.map(|volume| volume.meta.compression) {
            Some(Compression::Off) => Codec::Off,
            Some(Compression::Zstd(level)) => Codec::Zstd(i32::from(level)),
            _ => Codec::Lz4,
        }
    }

    /// Forgets everything that is not durable and stops: every later call fails until the store is opened again.
    pub fn drop_unsynced(&self) {
        self.shared.shut_down();
    }

    /// Fails once the store has stopped.
    ///
    /// # Errors
    /// Why it stopped.
    pub fn check(&self) -> Result<()> {
        self.shared.check()
    }

    /// Changed records above which writers wait.
    pub(crate) fn records_hard(&self) -> usize {
        self.options.dirty_records_max.saturating_mul(3)
    }

    /// Waits while too much is in memory. Call after a change, without your lock. On a full disk it waits only for a moment: what
    /// frees space must go on.
    pub fn throttle(&self) {
        let shared = &self.shared;
        if shared.dirty_records.load(Ordering::Relaxed) > self.options.dirty_records_max {
            shared.bell.ring(|wanted| wanted.commit = true);
        }
        let over = || {
            shared.ram.unwritten.load(Ordering::Relaxed) > self.options.unwritten_max
                || shared.dirty_records.load(Ordering::Relaxed) > self.records_hard()
        };
        if !over() {
            return;
        }
        if !self.options.background {
            let _ = self.commit_now();
            return;
        }
        shared.bell.ring(|wanted| wanted.commit = true);
        let start = Instant::now();
        let mut wanted = shared.bell.wanted.lock();
        while over() && shared.check().is_ok() && !wanted.stop {
            if self.is_full() && start.elapsed() > FULL_WAIT {
                break;
            }
            shared.bell.room.wait_for(&mut wanted, Duration::from_millis(50));
        }
    }
}

pub(crate) fn find_volume(core: &Core, id: VolumeId) -> Result<&Volume> {
    let missing = || StoreError::NotFound { what: format!("volume {}", id.0) };
    core.catalog.volumes.get(&id).ok_or_else(missing)
}

pub(crate) fn find_snapshot(core: &Core, id: SnapshotId) -> Result<Arc<Snapshot>> {
    let missing = || StoreError::NotFound { what: format!("snapshot {}", id.0) };
    core.catalog.snapshots.get(&id).cloned().ok_or_else(missing)
}

/// The space whose writable end a moment is; `None` for a read-only one.
pub(crate) fn moment_space(core: &Core, moment: MomentRef) -> Result<Option<SpaceId>> {
    Ok(match moment {
        MomentRef::Live(id) => Some(find_volume(core, id)?.space),
        MomentRef::Snapshot(id) => match find_snapshot(core, id)?.place {
            Place::ReadOnly(_) => None,
            Place::Writable(space) => Some(space),
        },
    })
}

pub(crate) fn moment_point(core: &Core, moment: MomentRef) -> Result<Point> {
    let space = match moment {
        MomentRef::Live(id) => find_volume(core, id)?.space,
        MomentRef::Snapshot(id) => match find_snapshot(core, id)?.place {
            Place::ReadOnly(point) => return Ok(point),
            Place::Writable(space) => space,
        },
    };
    let epoch = core.history.tree().get(space).map_or(Epoch(0), |space| space.open);
    Ok(Point { space, epoch })
}

fn load_next_extent(kv: &dyn Kv) -> Result<u64> {
    let Some(value) = kv.get(NEXT_EXTENT)? else { return Ok(1) };
    let damaged = || StoreError::Damaged { what: "extent counter", id: 0 };
    Bytes(&value).varint().ok_or_else(damaged)
}

pub(crate) fn load_sums(kv: &dyn Kv) -> Result<SegmentSums> {
    let mut sums = SegmentSums::new();
    let (from, to) = row_range(SEGMENT, &[]);
    for row in kv.range(&from, &to) {
        let (key, value) = row?;
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
        let damaged = || StoreError::Damaged { what: "segment sum", id };
        let bytes = Bytes(&value).varint().ok_or_else(damaged)?;
        sums.insert(SegmentId(id), bytes);
    }
    Ok(sums)
}
