//! One run of the policies: makes what is due, removes what nothing keeps, and notes what was served.
//!
//! A snapshot is made first and noted afterwards; its mark tells what it serves, so a crash in between neither loses it nor makes it twice. What
//! fails on one volume is told, tried again at the next run, and keeps no other volume from its snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tintype_model::policy::{Held, Mark, NameParts, PolicyName, surplus, time_of_name, together};
use tintype_model::{SnapshotId, SnapshotName, SnapshotRef, VolumeId};
use tintype_store::{MomentRef, Snapshot, Volume};

use super::book::{Entry, Job};
use crate::convert::store_error;
use crate::error::{AppError, AppResult};
use crate::open::App;
use crate::types::{SnapshotCreate, SnapshotInfo};

/// Snapshots of one name that are tried.
const NAMES_MAX: u32 = 1000;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Snapshots that were made.
    pub made: Vec<SnapshotRef>,
    /// Snapshots that were removed.
    pub removed: Vec<SnapshotRef>,
    /// What failed.
    pub failed: Vec<AppError>,
}

impl App {
    /// Looks at the clock once and does what is due. With `all`, snapshots of every volume are judged. Ends between two volumes when
    /// `go_on` says so.
    pub fn run_policies(&self, all: bool, go_on: &dyn Fn() -> bool) -> AppResult<RunReport> {
        let _one_run = self.policies.running.lock();
        let clock = self.policies.clock();
        let by_age = self.policies.trust.lock().look(&*clock);
        let (now, store) = (clock.now(), self.store()?);
        let volumes: BTreeMap<VolumeId, Volume> =
            store.volumes().into_iter().map(|volume| (volume.id, volume)).collect();
        let live: BTreeSet<VolumeId> = volumes.keys().copied().collect();
        let jobs = {
            let mut book = self.policies.book.lock();
            book.forget_gone(&store, &live)?;
            book.jobs(&live, now, all)
        };
        let (mut report, mut news) = (RunReport::default(), Vec::new());
        for job in jobs.iter().take_while(|_| go_on()) {
            let Some(volume) = volumes.get(&job.volume) else { continue };
            let served = self.serve(volume, job, now, by_age, &mut news, &mut report);
            let mut book = self.policies.book.lock();
            match served {
                Ok(()) => {
                    book.failures.remove(&job.volume);
                    book.unjudged.remove(&job.volume);
                }
                Err(error) => {
                    report.failed.push(error.clone());
                    let before = book.failures.insert(job.volume, error.clone());
                    if before.is_none_or(|before| before != error) {
                        tracing::error!(volume = %volume.meta.name, %error, "its policies failed; tried again at the next run");
                    }
                }
            }
        }
        self.policies.book.lock().note(&store, &news)?;
        Ok(report)
    }

    /// Serves one volume.
    fn serve(
        &self,
        volume: &Volume,
        job: &Job,
        now: Timestamp,
        by_age: bool,
        news: &mut Vec<(VolumeId, PolicyName, Timestamp)>,
        report: &mut RunReport,
    ) -> AppResult<()> {
        news.extend(job.again.iter().map(|name| (volume.id, name.clone(), now)));
        let attached = job.attached();
        let made = match together(&attached, now).filter(|_| job.due) {
            None => Ok(()),
            Some((marks, naming)) => {
                self.make(volume, job, &marks, naming, now, report).map(|()| {
                    let served =
                        marks.iter().map(|mark| (volume.id, mark.policy.clone(), mark.due));
                    news.extend(served);
                })
            }
        };
        // Removing goes on when making fails: it may be what makes room.
        let removed = self.rotate(volume, job, now, by_age, report);
        made.and(removed)
    }

    fn make(
        &self,
        volume: &Volume,
        job: &Job,
        marks: &[Mark],
        naming: usize,
        now: Timestamp,
        report: &mut RunReport,
    ) -> AppResult<()> {
        let of = |mark: &Mark| job.policies.iter().find(|(e, _)| e.policy.name == mark.policy);
        let may_skip =
            marks.iter().all(|mark| of(mark).is_some_and(|(e, _)| e.policy.skip_unchanged));
        if may_skip && let Some(newest) = self.unchanged_since(volume)? {
            return self.add_marks(&newest, marks);
        }
        let Some((entry, _)) = job.policies.get(naming) else { return Ok(()) };
        let Some(mark) = marks.iter().find(|mark| mark.policy == entry.policy.name) else {
            return Ok(());
        };
        let made = self.make_for(volume, entry, mark, marks.to_vec(), now)?;
        report.made.push(SnapshotRef { volume: made.volume, snapshot: made.name });
        Ok(())
    }

    /// Makes a snapshot that is named after one mark and carries all of them.
    pub(super) fn make_for(
        &self,
        volume: &Volume,
        entry: &Entry,
        mark: &Mark,
        marks: Vec<Mark>,
        now: Timestamp,
    ) -> AppResult<SnapshotInfo> {
        let snapshot = self.free_name(volume, entry, mark, now)?;
        let name = SnapshotRef { volume: volume.meta.name.clone(), snapshot };
        self.make_snapshot(&SnapshotCreate::plain(name), marks)
    }

    fn free_name(
        &self,
        volume: &Volume,
        entry: &Entry,
        mark: &Mark,
        now: Timestamp,
    ) -> AppResult<SnapshotName> {
        let (store, policy) = (self.store()?, &entry.policy);
        let time = time_of_name(mark.due, now, &entry.zone);
        let parts = NameParts {
            policy: &policy.name,
            class: mark.class,
            volume: &volume.meta.name,
            time: &time,
        };
        for number in 1..NAMES_MAX {
            let name = policy.name_pattern.name(parts, number).map_err(AppError::from)?;
            if store.snapshot(volume.id, name.as_str()).is_none() {
                return Ok(name);
            }
        }
        Err(AppError::invalid(
            format!("policy {}", policy.name),
            format!("finds no free name on {}", volume.meta.name),
            "Give it a name pattern with minutes in its time.",
        ))
    }

    /// The newest snapshot of the live volume, if a policy made it and nothing has changed since.
    fn unchanged_since(&self, volume: &Volume) -> AppResult<Option<Arc<Snapshot>>> {
        let store = self.store()?;
        let newest = self.tally.lock().volume(volume.id).newest;
        let newest = newest.and_then(|id| store.snapshot_by_id(id));
        let Some(newest) = newest.filter(|s| s.volume == volume.id && !s.meta.policies.is_empty())
        else {
            return Ok(None);
        };
        if newest.writable() {
            return Ok(None);
        }
        self.flush(volume)?;
        let object = format!("volume {}", volume.meta.name);
        let fail = |e| store_error(&object, &e);
        let fixed =
            store.fix(MomentRef::Snapshot(newest.id), MomentRef::Live(volume.id)).map_err(fail)?;
        Ok(fixed.touched().map_err(fail)?.is_empty().then(|| Arc::clone(&newest)))
    }

    /// A snapshot stands for more: it counts in every class that is due, so that a month without changes keeps its monthly one.
    fn add_marks(&self, newest: &Snapshot, marks: &[Mark]) -> AppResult<()> {
        let _one_change = self.admin.lock();
        let object = format!("snapshot {}", newest.meta.name);
        let mut change = |meta: &mut tintype_model::SnapshotMeta| {
            for mark in marks {
                match meta.policies.iter_mut().find(|old| old.policy == mark.policy) {
                    Some(old) => {
                        old.class = old.class.max(mark.class);
                        old.due = old.due.max(mark.due);
                    }
                    None => meta.policies.push(mark.clone()),
                }
            }
        };
        let changed = self.store()?.update_snapshot(newest.id, &mut change);
        changed.map(drop).map_err(|e| store_error(&object, &e))
    }

    /// Removes what the policies of a volume no longer keep.
    fn rotate(
        &self,
        volume: &Volume,
        job: &Job,
        now: Timestamp,
        by_age: bool,
        report: &mut RunReport,
    ) -> AppResult<()> {
        // The one that was just made is of the past.
        let now = self.policies.clock().now().max(now);
        let snapshots = self.store()?.snapshots(Some(volume.id));
        let held: Vec<Held> =
            snapshots.iter().filter(|one| rotates(one, now)).map(|one| held(one)).collect();
        let gone = surplus(&job.attached(), &held, now, by_age);
        if gone.is_empty() {
            return Ok(());
        }
        let removed = self.remove_rotated(&gone, now)?;
        let name = |snapshot| SnapshotRef { volume: volume.meta.name.clone(), snapshot };
        report.removed.extend(removed.into_iter().map(name));
        Ok(())
    }

    /// Removes snapshots by id, as far as they are still in rotation.
    fn remove_rotated(&self, ids: &[u64], now: Timestamp) -> AppResult<Vec<SnapshotName>> {
        let _one_change = self.admin.lock();
        let store = self.store()?;
        let found = ids.iter().filter_map(|id| store.snapshot_by_id(SnapshotId(*id)));
        let gone: BTreeMap<SnapshotId, Arc<Snapshot>> =
            found.filter(|one| rotates(one, now)).map(|one| (one.id, one)).collect();
        let names: Vec<SnapshotName> = gone.values().map(|one| one.meta.name.clone()).collect();
        let list: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.remove_snapshots(&gone, &list)?;
        Ok(names)
    }
}

/// Is it made by a policy, and neither protected nor somebody's to write to?
pub(super) fn rotates(snapshot: &Snapshot, now: Timestamp) -> bool {
    let protected = snapshot.meta.delete.is_some_and(|rule| rule.protects(now));
    !snapshot.meta.policies.is_empty() && !protected && !snapshot.writable()
}

pub(super) fn held(snapshot: &Snapshot) -> Held {
    Held { id: snapshot.id.0, time: snapshot.meta.time, marks: snapshot.meta.policies.clone() }
}
