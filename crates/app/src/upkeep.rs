//! Use cases that keep a store well: sync, status.

use tintype_model::{VolumeId, VolumeKind, VolumeName};
use tintype_store::{StoreStatus, Volume};

use crate::convert::store_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{JobInfo, MountInfo, StatusInfo, SyncInfo};

impl App {
    /// Makes everything durable that programs wrote before the call, in one filesystem or in all.
    pub fn sync(&self, only: Option<&VolumeName>) -> AppResult<SyncInfo> {
        let volumes = match only {
            Some(name) => vec![self.volume(name)?],
            None => self.store()?.volumes(),
        };
        for volume in &volumes {
            self.flush(volume)?;
        }
        self.store()?.sync().map_err(|e| store_error(&self.store_object(), &e))?;
        Ok(SyncInfo { synced: volumes.into_iter().map(|volume| volume.meta.name).collect() })
    }

    /// How the server and its store are.
    pub fn status(&self) -> AppResult<StatusInfo> {
        let store = self.store()?;
        let status = store.status().map_err(|e| store_error(&self.store_object(), &e))?;
        let (read_only, writable) = self.tally.lock().total();
        let of_kind = |kind| status.volumes.iter().filter(|v| v.meta.kind == kind).count() as u64;
        Ok(StatusInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            store: self.store_path().to_owned(),
            addresses: self.addresses.lock().clone(),
            health: status.stopped.clone().unwrap_or_else(|| "ok".to_owned()),
            filesystems: of_kind(VolumeKind::Filesystem),
            disks: of_kind(VolumeKind::Disk),
            snapshots: read_only + writable,
            disk_bytes: status.record_bytes + status.segment_bytes,
            dead_bytes: status.segment_bytes.saturating_sub(status.segment_live_bytes),
            dirty_bytes: status.unwritten_bytes as u64,
            mounts: self.mount_infos(&status.volumes),
            jobs: [jobs(&status), self.jobs.list()].concat(),
            problems: {
                let mounts = self.problems.lock().values().cloned().collect();
                [mounts, self.policy_problems(&status.volumes)].concat()
            },
            warnings: self.quota_warnings(&status.volumes)?,
        })
    }

    /// Whether the store takes changes.
    pub fn ready(&self) -> AppResult<()> {
        let store = self.store()?;
        let status = store.status().map_err(|e| store_error(&self.store_object(), &e))?;
        status.stopped.map_or(Ok(()), |why| {
            let remedy = "Look into the log of the server, and restart it.";
            Err(AppError::new(ErrorKind::Unavailable, self.store_object(), why, remedy))
        })
    }

    fn mount_infos(&self, volumes: &[Volume]) -> Vec<MountInfo> {
        let mounts = self.mounts.lock();
        let of = |id: VolumeId| volumes.binary_search_by_key(&id, |volume| volume.id);
        let alive = mounts.iter().filter(|(_, mounted)| mounted.mount.is_alive());
        let info = |(id, mounted): (&_, &std::sync::Arc<crate::mounts::Mounted>)| {
            Some(MountInfo {
                filesystem: volumes.get(of(*id).ok()?)?.meta.name.clone(),
                dir: mounted.dir.clone(),
                transport: mounted.mount.transport(),
            })
        };
        alive.filter_map(info).collect()
    }
}

/// What is going on. A job that has nothing to do is not listed.
fn jobs(status: &StoreStatus) -> Vec<JobInfo> {
    let progress = &status.progress;
    let mut jobs = Vec::new();
    if status.reclaim_due > 0 {
        let done = progress.reclaim_steps;
        let total = done + status.reclaim_due as u64;
        jobs.push(JobInfo { name: "reclaim".to_owned(), done, total });
    }
    if progress.scrub_running {
        jobs.push(JobInfo { name: "scrub".to_owned(), done: progress.scrubbed_extents, total: 0 });
    }
    jobs
}
