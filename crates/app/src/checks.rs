//! The check of volumes: every live one, and every snapshot when asked for.

use std::sync::Arc;

use tintype_disk::Disk;
use tintype_model::VolumeKind;
use tintype_store::{LineRef, MomentRef, Snapshot, Store, Volume, stop};

use crate::convert::{disk_error, fs_error, store_error};
use crate::error::AppResult;
use crate::open::App;
use crate::trees;
use crate::types::diff::path_text;
use crate::types::{FsckFinding, FsckInfo};

/// What a check found, whatever the kind of the volume.
#[derive(Default)]
struct Found {
    counts: [(&'static str, u64); 2],
    problems: Vec<Problem>,
    /// Also those that are not listed.
    problem_count: u64,
}

struct Problem {
    /// Where in the volume, to be read on from its name.
    place: String,
    what: String,
    repairable: bool,
}

impl From<tintype_fs::CheckReport> for Found {
    fn from(report: tintype_fs::CheckReport) -> Self {
        let problem = |problem: tintype_fs::CheckProblem| {
            let path = problem.path.map(|path| format!(", /{}", path_text(&path).0));
            let inode = problem.ino.map(|ino| format!(", inode {ino}"));
            let place = [path.unwrap_or_default(), inode.unwrap_or_default()].concat();
            Problem { place, what: problem.what, repairable: problem.repairable }
        };
        Self {
            counts: [("inodes", report.inodes), ("names", report.names)],
            problems: report.problems.into_iter().map(problem).collect(),
            problem_count: report.problem_count,
        }
    }
}

impl From<tintype_disk::CheckReport> for Found {
    fn from(report: tintype_disk::CheckReport) -> Self {
        let problem = |problem: tintype_disk::CheckProblem| {
            let place = problem.range.map(|(from, to)| format!(", bytes {from} to {to}"));
            let (what, repairable) = (problem.what, problem.repairable);
            Problem { place: place.unwrap_or_default(), what, repairable }
        };
        Self {
            counts: [("block maps", report.maps), ("blocks", report.blocks)],
            problems: report.problems.into_iter().map(problem).collect(),
            problem_count: report.problem_count,
        }
    }
}

impl App {
    /// Checks the store and all live volumes, with `all` every snapshot too, and repairs what can
    /// be repaired if asked to. Ends early with an error when nobody waits for it any more ([`crate::until`]).
    pub fn fsck(&self, repair: bool, all: bool) -> AppResult<FsckInfo> {
        let store = self.store()?;
        let volumes = store.volumes();
        let snapshots = if all { store.snapshots(None).len() as u64 } else { 0 };
        let job = self.jobs.begin("fsck", 1 + volumes.len() as u64 + snapshots);
        let wanted = || stop::check().map_err(|e| store_error("fsck", &e));
        let checked = trees::fsck(&store, repair);
        let mut info = checked.map_err(|e| store_error(&self.store_object(), &e))?;
        job.step(1);
        for volume in &volumes {
            self.check_live(&store, volume, repair, &mut info);
            let snapshots = if all { store.snapshots(Some(volume.id)) } else { Vec::new() };
            for snapshot in &snapshots {
                wanted()?;
                self.check_snapshot(&store, volume, snapshot, &mut info);
                job.step(1);
            }
            wanted()?;
            job.step(1);
        }
        info.clean = info.clean && info.findings.iter().all(|finding| finding.repaired);
        Ok(info)
    }

    /// Names, mounts and the tree stay as they are meanwhile.
    fn check_live(&self, store: &Arc<Store>, volume: &Volume, repair: bool, info: &mut FsckInfo) {
        let _one_change = self.admin.lock();
        if store.volume_by_id(volume.id).is_none() {
            return;
        }
        let (object, counted) = match volume.meta.kind {
            VolumeKind::Filesystem => (format!("filesystem {}", volume.meta.name), "filesystems"),
            VolumeKind::Disk => (format!("disk {}", volume.meta.name), "disks"),
        };
        let examine = |repair| match volume.meta.kind {
            VolumeKind::Filesystem => self.examine_tree(store, volume, repair, &object),
            VolumeKind::Disk => self.examine_disk(store, volume, repair, &object),
        };
        let found = examine(repair).and_then(|first| {
            let again = repair && first.problem_count > 0;
            let left = again.then(|| examine(false)).transpose()?;
            Ok((first, left))
        });
        count(info, counted, 1);
        match found {
            Ok((first, left)) => note(info, &object, &first, left.as_ref()),
            Err(error) => fail(info, &object, &error.detail),
        }
    }

    fn examine_tree(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        repair: bool,
        object: &str,
    ) -> AppResult<Found> {
        // Also a mount that somebody else took away keeps serving its tree until it is let go.
        let served = self.mounts.lock().get(&volume.id).cloned();
        let report = match served {
            Some(mounted) => mounted.tree.check(repair),
            None if !repair => tintype_fs::check(store, MomentRef::Live(volume.id)),
            None => tintype_fs::Mounted::open(Arc::clone(store), volume.id).and_then(|tree| {
                let report = tree.check(true);
                let closed = tree.close();
                self.at_rest.forget(volume.id);
                closed?;
                report
            }),
        };
        report.map(Found::from).map_err(|e| fs_error(object, &e))
    }

    fn examine_disk(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        repair: bool,
        object: &str,
    ) -> AppResult<Found> {
        let line = LineRef::Volume(volume.id);
        let served = self.disks.lock().get(&line).filter(|disk| !disk.is_gone()).cloned();
        let report = match served {
            Some(disk) => disk.check(repair),
            None => tintype_disk::check(store, MomentRef::Live(volume.id)).and_then(|report| {
                // A disk that cannot be opened has nothing that can be repaired.
                if repair && report.problems.iter().any(|problem| problem.repairable) {
                    let disk = Disk::open(store, line)?;
                    let report = disk.check(true);
                    disk.close()?;
                    return report;
                }
                Ok(report)
            }),
        };
        report.map(Found::from).map_err(|e| disk_error(object, &e))
    }

    fn check_snapshot(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        snapshot: &Snapshot,
        info: &mut FsckInfo,
    ) {
        let object = format!("snapshot {}@{}", volume.meta.name, snapshot.meta.name);
        let moment = MomentRef::Snapshot(snapshot.id);
        let served = self.mounts.lock().get(&volume.id).cloned();
        let found = match (volume.meta.kind, served) {
            (VolumeKind::Disk, _) => tintype_disk::check(store, moment)
                .map(Found::from)
                .map_err(|e| disk_error(&object, &e)),
            (VolumeKind::Filesystem, Some(mounted)) => mounted
                .tree
                .check_snapshot(snapshot.id)
                .map(Found::from)
                .map_err(|e| fs_error(&object, &e)),
            (VolumeKind::Filesystem, None) => {
                tintype_fs::check(store, moment).map(Found::from).map_err(|e| fs_error(&object, &e))
            }
        };
        // What was deleted meanwhile cannot be judged.
        if store.snapshot_by_id(snapshot.id).is_none() {
            return;
        }
        count(info, "snapshots", 1);
        match found {
            Ok(found) => note(info, &object, &found, None),
            Err(error) => fail(info, &object, &error.detail),
        }
    }
}

fn count(info: &mut FsckInfo, what: &str, number: u64) {
    *info.checked.entry(what.to_owned()).or_default() += number;
}

fn note(info: &mut FsckInfo, object: &str, first: &Found, left: Option<&Found>) {
    for (what, number) in first.counts {
        count(info, what, number);
    }
    count(info, "problems", first.problem_count);
    let repaired = |problem: &Problem| {
        left.is_some_and(|left| {
            !left.problems.iter().any(|p| p.place == problem.place && p.what == problem.what)
        })
    };
    info.findings.extend(first.problems.iter().map(|problem| FsckFinding {
        object: format!("{object}{}", problem.place),
        problem: explain(problem),
        repaired: repaired(problem),
    }));
    info.clean = info.clean && left.unwrap_or(first).problem_count == 0;
}

fn fail(info: &mut FsckInfo, object: &str, detail: &str) {
    let problem = format!("cannot be read: {detail}");
    count(info, "problems", 1);
    info.findings.push(FsckFinding { object: object.to_owned(), problem, repaired: false });
}

fn explain(problem: &Problem) -> String {
    let remedy = if problem.repairable {
        "`tintype fsck --repair` puts it right"
    } else {
        "put it back from a snapshot"
    };
    format!("{}; {remedy}", problem.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_the_file_and_what_to_do() {
        let mut info = FsckInfo { clean: true, checked: Default::default(), findings: Vec::new() };
        let problem = |ino, path: Option<&[u8]>, repairable| tintype_fs::CheckProblem {
            ino,
            path: path.map(<[u8]>::to_vec),
            what: "is wrong".to_owned(),
            repairable,
        };
        let problems = vec![problem(Some(7), Some(b"a/b"), true), problem(None, None, false)];
        let report = |problems: Vec<_>| tintype_fs::CheckReport {
            problem_count: problems.len() as u64,
            problems,
            ..Default::default()
        };
        let left = report(problems.iter().skip(1).cloned().collect());
        note(&mut info, "filesystem home", &report(problems).into(), Some(&left.into()));
        let told =
            info.findings.iter().map(|f| (f.object.as_str(), f.problem.as_str(), f.repaired));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (
                    "filesystem home, /a/b, inode 7",
                    "is wrong; `tintype fsck --repair` puts it right",
                    true
                ),
                ("filesystem home", "is wrong; put it back from a snapshot", false),
            ]
        );
        assert!(!info.clean);
    }
}
