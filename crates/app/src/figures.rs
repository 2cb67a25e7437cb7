//! What there is to watch, in numbers that are known without looking far: for whoever collects them every few seconds.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tintype_model::VolumeKind;
use tintype_store::Volume;

use crate::convert::store_error;
use crate::error::AppResult;
use crate::open::App;
use crate::types::Figures;

/// How long what was found of quotas is good for.
const QUOTAS_KEPT: Duration = Duration::from_secs(60);

/// How many quotas were nearly full, and when that was looked up.
#[derive(Debug, Default)]
pub(crate) struct QuotaGlance(Mutex<Option<(Instant, u64)>>);

impl App {
    /// Everything that is counted.
    pub fn figures(&self) -> AppResult<Figures> {
        let store = self.store()?;
        let status = store.status().map_err(|e| store_error(&self.store_object(), &e))?;
        let (read_only, writable) = self.tally.lock().total();
        let of_kind = |kind| status.volumes.iter().filter(|v| v.meta.kind == kind).count() as u64;
        let (tasks_running, _) = self.tasks.counts();
        // A lock that is taken within a larger expression is held to the end of it.
        let unmounted = self.problems.lock().len();
        let problems = unmounted + self.policy_problems(&status.volumes).len();
        let alive = |mounted: &&std::sync::Arc<crate::mounts::Mounted>| mounted.mount.is_alive();
        let mounts = self.mounts.lock().values().filter(alive).count() as u64;
        Ok(Figures {
            healthy: status.stopped.is_none(),
            started: self.started.as_second().unsigned_abs(),
            filesystems: of_kind(VolumeKind::Filesystem),
            disks: of_kind(VolumeKind::Disk),
            snapshots: read_only + writable,
            mounts,
            disk_bytes: status.record_bytes + status.segment_bytes,
            dead_bytes: status.segment_bytes.saturating_sub(status.segment_live_bytes),
            dirty_bytes: status.unwritten_bytes as u64,
            reclaim_due: status.reclaim_due as u64,
            commits: status.commits,
            jobs: self.jobs.list().len() as u64 + u64::from(status.progress.scrub_running),
            tasks_running,
            problems: problems as u64,
            quota_warnings: self.quotas_nearly_full(&status.volumes)?,
            quota: self.store_quota(),
            free_bytes: self.space_probe()?().map(|(_, free)| free),
            disk_connections: self.disk_connections(),
        })
    }

    fn quotas_nearly_full(&self, volumes: &[Volume]) -> AppResult<u64> {
        let mut last = self.quota_glance.0.lock();
        if let Some((time, found)) = *last
            && time.elapsed() < QUOTAS_KEPT
        {
            return Ok(found);
        }
        let found = self.quota_warnings(volumes)?.len() as u64;
        *last = Some((Instant::now(), found));
        Ok(found)
    }
}
