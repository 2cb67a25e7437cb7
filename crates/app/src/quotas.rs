//! Use cases of quotas of directories: set, list, show, unset; and what to warn of.
//!
//! The filesystem counts and refuses (`fs`); here limits are checked and put into words. A filesystem that is not mounted
//! is opened for the change.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::io::Errno;
use tintype_fs::{Mounted, OWNER_MAX, QuotaLimits, QuotaReport, QuotaStatus};
use tintype_model::{Span, VolumeName};
use tintype_store::{MomentRef, Volume};

use crate::convert::fs_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::trees;
use crate::types::diff::path_text;
use crate::types::{DeletedInfo, QuotaInfo, QuotaSet, QuotaState};
use crate::which::WhichFilesystem;

/// How long a request counts what is in the directory already. The rest is counted in the background.
const COUNT_LIMIT: Duration = Duration::from_secs(1);
/// Percent of a limit from which on it is warned of.
const WARN_PERCENT: u64 = 90;

impl App {
    /// Sets the quota of a directory, or changes it.
    pub fn quota_set(
        &self,
        filesystem: &impl WhichFilesystem,
        path: &str,
        wish: &QuotaSet,
    ) -> AppResult<QuotaInfo> {
        let _one_change = self.admin.lock();
        let volume = filesystem.filesystem(self)?;
        let object = object(&volume.meta.name, path);
        let report = self.with_tree(&volume, &object, |tree| {
            let old = match tree.quota(path.as_bytes()) {
                Ok(report) => Some(report.limits),
                Err(tintype_fs::FsError::NoQuota) => None,
                Err(error) => return Err(quota_error(&object, &error)),
            };
            let limits = merge(&object, old, wish)?;
            let report = tree.set_quota(path.as_bytes(), limits);
            let report = report.map_err(|e| quota_error(&object, &e))?;
            count(tree);
            tree.quota(path.as_bytes()).or(Ok(report))
        })?;
        Ok(info(report))
    }

    /// Takes the quota of a directory away.
    pub fn quota_unset(
        &self,
        filesystem: &impl WhichFilesystem,
        path: &str,
    ) -> AppResult<DeletedInfo> {
        let _one_change = self.admin.lock();
        let volume = filesystem.filesystem(self)?;
        let filesystem = &volume.meta.name;
        let object = object(filesystem, path);
        self.with_tree(&volume, &object, |tree| {
            tree.unset_quota(path.as_bytes()).map_err(|e| quota_error(&object, &e))?;
            count(tree);
            Ok(())
        })?;
        Ok(DeletedInfo { deleted: vec![format!("{filesystem}:{}", rooted(path))] })
    }

    /// All quotas of a filesystem by path, or as they were in one of its snapshots.
    pub fn quota_list(
        &self,
        filesystem: &impl WhichFilesystem,
        snapshot: Option<&str>,
    ) -> AppResult<Vec<QuotaInfo>> {
        let volume = filesystem.filesystem(self)?;
        let filesystem = &volume.meta.name;
        let reports = match snapshot {
            None => self.quota_reports(&volume)?,
            Some(name) => {
                let found = self.store()?.snapshot(volume.id, name);
                let missing = || AppError::no_snapshot(filesystem.as_str(), name);
                let moment = MomentRef::Snapshot(found.ok_or_else(missing)?.id);
                let object = format!("snapshot {filesystem}@{name}");
                let found = tintype_fs::quotas(&*self.store()?, moment);
                found.map_err(|e| fs_error(&object, &e))?
            }
        };
        Ok(reports.into_iter().map(info).collect())
    }

    /// The quota of a directory.
    pub fn quota_show(
        &self,
        filesystem: &impl WhichFilesystem,
        path: &str,
    ) -> AppResult<QuotaInfo> {
        let volume = filesystem.filesystem(self)?;
        let filesystem = &volume.meta.name;
        let wanted = rooted(path);
        let found = self.quota_reports(&volume)?.into_iter();
        let mut found = found.filter(|report| report.path == wanted.as_bytes().split_at(1).1);
        let none = || quota_error(&object(filesystem, path), &tintype_fs::FsError::NoQuota);
        found.next().map(info).ok_or_else(none)
    }

    fn quota_reports(&self, volume: &Volume) -> AppResult<Vec<QuotaReport>> {
        let fail = |e| fs_error(&format!("filesystem {}", volume.meta.name), &e);
        let found = match self.mounted(volume.id) {
            Some(mounted) => mounted.tree.quotas(),
            None => {
                let store = self.store()?;
                let read = || tintype_fs::quotas(&store, MomentRef::Live(volume.id)).map_err(fail);
                return self.at_rest.get(volume.id, read);
            }
        };
        found.map_err(fail)
    }

    /// Works on a filesystem, mounted or not. The caller holds `admin`.
    pub(crate) fn with_tree<T>(
        &self,
        volume: &Volume,
        object: &str,
        work: impl FnOnce(&Mounted) -> AppResult<T>,
    ) -> AppResult<T> {
        if let Some(mounted) = self.mounted(volume.id) {
            return work(&mounted.tree);
        }
        let opened = trees::open(&self.store()?, volume.id, self.space_probe()?);
        let tree = opened.map_err(|e| fs_error(object, &e))?;
        let done = work(&tree);
        let closed = tree.close().map_err(|e| fs_error(object, &e));
        self.at_rest.forget(volume.id);
        let done = done?;
        closed.map(|()| done)
    }

    /// What is nearly or quite used up, in all filesystems.
    pub(crate) fn quota_warnings(&self, volumes: &[Volume]) -> AppResult<Vec<String>> {
        let (mut list, store) = (self.store_warnings()?, self.store()?);
        for volume in volumes {
            let name = &volume.meta.name;
            let used = volume.meta.quota.and_then(|_| self.referenced(&store, volume));
            let told = volume_warnings(volume.meta.quota, used);
            list.extend(told.into_iter().map(|text| format!("filesystem {name}: {text}")));
            if volume.meta.kind != tintype_model::VolumeKind::Filesystem {
                continue;
            }
            for report in self.quota_reports(volume).unwrap_or_default() {
                let quota = info(report);
                let object = format!("quota {name}:{}", quota.path);
                list.extend(quota.warnings.into_iter().map(|text| format!("{object}: {text}")));
            }
        }
        Ok(list)
    }
}

/// Counts for a while what quotas have not counted yet. What fails or is left goes on in the background.
fn count(tree: &Mounted) {
    let start = Instant::now();
    while start.elapsed() < COUNT_LIMIT && matches!(tree.step_quotas(), Ok(true)) {}
}

/// The path with one slash before each name.
pub(crate) fn rooted(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    format!("/{}", names.join("/"))
}

fn object(filesystem: &VolumeName, path: &str) -> String {
    format!("quota {filesystem}:{}", rooted(path))
}

fn merge(object: &str, old: Option<QuotaLimits>, wish: &QuotaSet) -> AppResult<QuotaLimits> {
    let mut limits = old.unwrap_or_default();
    limits.hard = wish.hard.unwrap_or(limits.hard);
    limits.soft = wish.soft.unwrap_or(limits.soft);
    limits.grace = wish.grace.map_or(limits.grace, |grace| grace.map(Span::seconds));
    if let Some(owner) = &wish.owner {
        limits.owner.clone_from(owner);
    }
    if limits.soft.is_none() {
        limits.grace = wish.grace.flatten().map(Span::seconds);
    }
    let refuse = |problem: &str, remedy: &str| Err(AppError::invalid(object, problem, remedy));
    match (limits.hard, limits.soft) {
        (None, None) => refuse("has no limit", "Give --hard SIZE or --soft SIZE, or unset it."),
        (Some(0), _) | (_, Some(0)) => {
            refuse("a limit of 0 bytes would refuse everything", "Give a size like 10G.")
        }
        (Some(hard), Some(soft)) if soft > hard => refuse(
            "has a soft limit above its hard limit",
            "Give a soft limit that is reached before the hard one.",
        ),
        (_, None) if limits.grace.is_some() => {
            refuse("has a time of grace, but no soft limit", "Give --soft SIZE with --grace.")
        }
        _ if limits.owner.len() > OWNER_MAX || limits.owner.chars().any(char::is_control) => {
            refuse("has an owner that is too long", "Write up to 48 bytes, like an address.")
        }
        _ => Ok(limits),
    }
}

pub(crate) fn quota_error(object: &str, error: &tintype_fs::FsError) -> AppError {
    use tintype_fs::FsError;
    match error {
        FsError::Nested => AppError::invalid(
            object,
            error.to_string(),
            "Unset one above or below first; `tintype fs quota list` shows them.",
        ),
        FsError::NoQuota => AppError::new(
            ErrorKind::NotFound,
            object,
            "does not exist",
            "`tintype fs quota list` shows the directories that have one.",
        ),
        FsError::Refused(code) if *code == Errno::NOENT.raw_os_error() => AppError::new(
            ErrorKind::NotFound,
            object,
            "the directory does not exist",
            "Write its path from the root of the filesystem, like home:/projects.",
        ),
        FsError::Refused(code) if *code == Errno::NOTDIR.raw_os_error() => AppError::invalid(
            object,
            "is no directory",
            "Name a directory; symlinks are not followed.",
        ),
        other => fs_error(object, other),
    }
}

fn info(report: QuotaReport) -> QuotaInfo {
    let warnings = warnings(&report);
    let (path, path_hex) = path_text(&[b"/".as_slice(), report.path.as_slice()].concat());
    let time = |secs: u64| Timestamp::from_second(i64::try_from(secs).ok()?).ok();
    QuotaInfo {
        path,
        path_hex,
        inode: report.dir,
        hard: report.limits.hard,
        soft: report.limits.soft,
        grace: report.limits.grace.map(Span::from_seconds),
        owner: report.limits.owner,
        used_bytes: report.used,
        inodes: report.inodes,
        soft_since: report.over_since.and_then(time),
        state: match report.status {
            QuotaStatus::Active => QuotaState::Active,
            QuotaStatus::Counting => QuotaState::Counting,
        },
        warnings,
    }
}

/// Of what share of a limit is used, when that is worth a warning.
pub(crate) fn share(used: u64, limit: u64, of: &str) -> Option<String> {
    let percent = u128::from(used) * 100 / u128::from(limit.max(1));
    (percent >= u128::from(WARN_PERCENT)).then(|| format!("{percent} % of {of} is used"))
}

/// What to tell of a volume with this quota.
pub(crate) fn volume_warnings(quota: Option<u64>, used: Option<u64>) -> Vec<String> {
    quota.zip(used).and_then(|(quota, used)| share(used, quota, "the quota")).into_iter().collect()
}

fn warnings(report: &QuotaReport) -> Vec<String> {
    let limits = &report.limits;
    let mut list: Vec<String> = Vec::new();
    list.extend(limits.hard.and_then(|hard| share(report.used, hard, "the hard limit")));
    if let Some(since) = report.over_since {
        let ends = limits.grace.map(|grace| since.saturating_add(grace));
        let ends = ends.and_then(|secs| Timestamp::from_second(i64::try_from(secs).ok()?).ok());
        list.push(match ends {
            _ if report.full => "the soft limit is passed: nothing can be added".to_owned(),
            Some(time) => format!("the soft limit is passed: nothing can be added from {time} on"),
            None => "the soft limit is passed".to_owned(),
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_merged_and_checked() {
        let set = |hard, soft| QuotaSet { hard, soft, ..QuotaSet::default() };
        let limits = merge("q", None, &set(Some(Some(100)), None)).unwrap();
        assert_eq!((limits.hard, limits.soft), (Some(100), None));
        let grace =
            QuotaSet { grace: Some(Some(Span::from_seconds(7))), ..set(None, Some(Some(50))) };
        let limits = merge("q", Some(limits), &grace).unwrap();
        assert_eq!((limits.hard, limits.soft, limits.grace), (Some(100), Some(50), Some(7)));
        let limits = merge("q", Some(limits), &set(None, Some(None))).unwrap();
        assert_eq!((limits.soft, limits.grace), (None, None), "the grace goes with the soft limit");
        assert!(merge("q", Some(limits.clone()), &set(Some(None), None)).is_err());
        assert!(merge("q", None, &set(Some(Some(0)), None)).is_err());
        assert!(merge("q", None, &set(Some(Some(1)), Some(Some(2)))).is_err());
        let owner = QuotaSet { owner: Some("x".repeat(49)), ..QuotaSet::default() };
        assert!(merge("q", Some(limits), &owner).is_err());
    }

    #[test]
    fn what_is_nearly_used_up_is_told() {
        let limits = QuotaLimits {
            hard: Some(100),
            soft: Some(50),
            grace: Some(10),
            ..QuotaLimits::default()
        };
        let report = QuotaReport {
            dir: 2,
            path: b"d".to_vec(),
            limits,
            used: 89,
            inodes: 1,
            over_since: Some(0),
            status: QuotaStatus::Active,
            full: false,
        };
        let told = warnings(&report);
        assert_eq!(
            told,
            ["the soft limit is passed: nothing can be added from 1970-01-01T00:00:10Z on"]
        );
        let told = warnings(&QuotaReport { used: 90, full: true, ..report });
        assert_eq!(
            told,
            ["90 % of the hard limit is used", "the soft limit is passed: nothing can be added"]
        );
        assert_eq!(volume_warnings(Some(100), Some(95)), ["95 % of the quota is used"]);
        assert!(volume_warnings(Some(100), Some(5)).is_empty());
        assert_eq!(rooted("a//b/"), "/a/b");
    }
}
