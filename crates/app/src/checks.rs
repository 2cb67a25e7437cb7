//! The check of filesystems: every live one, and every snapshot when asked for.

use std::sync::Arc;

use tintype_fs::{CheckProblem, CheckReport, FsError};
use tintype_model::VolumeKind;
use tintype_store::{MomentRef, Snapshot, Store, Volume, stop};

use crate::convert::{fs_error, store_error};
use crate::error::AppResult;
use crate::open::App;
use crate::trees;
use crate::types::diff::path_text;
use crate::types::{FsckFinding, FsckInfo};

impl App {
    /// Checks the store and all live filesystems, with `all` every snapshot too, and repairs what can
    /// be repaired if asked to. Ends early with an error when nobody waits for it any more ([`crate::until`]).
    pub fn fsck(&self, repair: bool, all: bool) -> AppResult<FsckInfo> {
        let store = self.store()?;
        let mut volumes = store.volumes();
        volumes.retain(|volume| volume.meta.kind == VolumeKind::Filesystem);
        let job = self.jobs.begin("fsck", 1 + volumes.len() as u64);
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
        let object = format!("filesystem {}", volume.meta.name);
        let found = self.examine(store, volume, repair).and_then(|first| {
            let again = repair && first.problem_count > 0;
            let left = again.then(|| self.examine(store, volume, false)).transpose()?;
            Ok((first, left))
        });
        count(info, "filesystems", 1);
        match found {
            Ok((first, left)) => note(info, &object, &first, left.as_ref()),
            Err(error) => fail(info, &object, &error),
        }
    }

    fn examine(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        repair: bool,
    ) -> Result<CheckReport, FsError> {
        // Also a mount that somebody else took away keeps serving its tree until it is let go.
        let served = self.mounts.lock().get(&volume.id).cloned();
        if let Some(mounted) = served {
            return mounted.tree.check(repair);
        }
        if !repair {
            return tintype_fs::check(store, MomentRef::Live(volume.id));
        }
        let tree = tintype_fs::Mounted::open(Arc::clone(store), volume.id)?;
        let report = tree.check(true);
        tree.close()?;
        report
    }

    fn check_snapshot(
        &self,
        store: &Arc<Store>,
        volume: &Volume,
        snapshot: &Snapshot,
        info: &mut FsckInfo,
    ) {
        let served = self.mounts.lock().get(&volume.id).cloned();
        let found = match served {
            Some(mounted) => mounted.tree.check_snapshot(snapshot.id),
            None => tintype_fs::check(store, MomentRef::Snapshot(snapshot.id)),
        };
        // What was deleted meanwhile cannot be judged.
        if store.snapshot_by_id(snapshot.id).is_none() {
            return;
        }
        let object = format!("snapshot {}@{}", volume.meta.name, snapshot.meta.name);
        count(info, "snapshots", 1);
        match found {
            Ok(report) => note(info, &object, &report, None),
            Err(error) => fail(info, &object, &error),
        }
    }
}

fn count(info: &mut FsckInfo, what: &str, number: u64) {
    *info.checked.entry(what.to_owned()).or_default() += number;
}

fn note(info: &mut FsckInfo, object: &str, first: &CheckReport, left: Option<&CheckReport>) {
    count(info, "inodes", first.inodes);
    count(info, "names", first.names);
    count(info, "problems", first.problem_count);
    let repaired = |problem: &CheckProblem| {
        left.is_some_and(|left| {
            !left.problems.iter().any(|p| p.ino == problem.ino && p.what == problem.what)
        })
    };
    info.findings.extend(first.problems.iter().map(|problem| FsckFinding {
        object: name(object, problem),
        problem: explain(problem),
        repaired: repaired(problem),
    }));
    info.clean = info.clean && left.unwrap_or(first).problem_count == 0;
}

fn fail(info: &mut FsckInfo, object: &str, error: &FsError) {
    let problem = format!("cannot be read: {}", fs_error(object, error).detail);
    count(info, "problems", 1);
    info.findings.push(FsckFinding { object: object.to_owned(), problem, repaired: false });
}

fn name(object: &str, problem: &CheckProblem) -> String {
    let place = problem.path.as_ref().map(|path| format!(", /{}", path_text(path).0));
    let inode = problem.ino.map(|ino| format!(", inode {ino}"));
    [object.to_owned(), place.unwrap_or_default(), inode.unwrap_or_default()].concat()
}

fn explain(problem: &CheckProblem) -> String {
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
        let problem = |ino, path: Option<&[u8]>, repairable| CheckProblem {
            ino,
            path: path.map(<[u8]>::to_vec),
            what: "is wrong".to_owned(),
            repairable,
        };
        let problems = vec![problem(Some(7), Some(b"a/b"), true), problem(None, None, false)];
        let first = CheckReport { problems, problem_count: 2, ..CheckReport::default() };
        let left = CheckReport {
            problems: first.problems.iter().skip(1).cloned().collect(),
            problem_count: 1,
            ..CheckReport::default()
        };
        note(&mut info, "filesystem home", &first, Some(&left));
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
