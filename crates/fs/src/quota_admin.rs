//! Setting, showing and unsetting the quotas of directories.
//!
//! Directories are named by their path from the root; symlinks are not followed. Setting returns at once: what is in
//! the directory already is counted by a walk (`quota_walk.rs`).

use crate::edit::Edit;
use crate::error::{FsError, Result, refuse};
use crate::keys::ROOT_INO;
use crate::mounted::Mounted;
use crate::paths;
use crate::place::Place;
use crate::quota::{NESTED, Phase, Quota, QuotaLimits};
use crate::quotas::{self, Note};
use crate::read::BYTES;
use crate::reading;
use crate::vfs::{Node, ROOT};
use tintype_store::{Moment, MomentRef, Store};

/// How far a quota is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaStatus {
    /// It counts everything below its directory.
    Active,
    /// It still counts what was there when it was set.
    Counting,
}

/// A quota and what it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaReport {
    /// The inode of its directory.
    pub dir: u64,
    /// The path of the directory from the root, without a leading slash.
    pub path: Vec<u8>,
    /// The limits.
    pub limits: QuotaLimits,
    /// Bytes that files below map or reserve.
    pub used: u64,
    /// Inodes below, the directory included.
    pub inodes: u64,
    /// Since when, in seconds of 1970, the soft limit is passed.
    pub over_since: Option<u64>,
    /// How far it is.
    pub status: QuotaStatus,
    /// Whether nothing may be added for it now, or for one above.
    pub full: bool,
}

/// The quotas of a moment, by path, as of its last commit; of a snapshot as they were.
///
/// # Errors
/// The moment does not exist, the store failed, or a record is damaged.
pub fn quotas(store: &Store, moment: MomentRef) -> Result<Vec<QuotaReport>> {
    let mut view = store.view_of(moment)?;
    if reading::superblock(&mut view)?.is_none_or(|sup| sup.quotas == 0) {
        return Ok(Vec::new());
    }
    let table = quotas::load(&mut view)?;
    reports(&mut view, table.iter().map(|(dir, quota)| (*dir, quota.clone())).collect())
}

fn reports(m: &mut dyn Moment, all: Vec<(u64, Quota)>) -> Result<Vec<QuotaReport>> {
    let mut list = Vec::new();
    let now = quotas::seconds();
    for (dir, quota) in all.into_iter().filter(|(_, quota)| !quota.is_unset()) {
        // A directory without a name, which some program still holds, is nobody's to see.
        if let Some(path) = paths::paths(m, dir)?.into_iter().next() {
            list.push(report(dir, path, quota, now));
        }
    }
    list.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(list)
}

fn report(dir: u64, path: Vec<u8>, quota: Quota, now: u64) -> QuotaReport {
    let status = match quota.phase {
        Phase::Active => QuotaStatus::Active,
        _ => QuotaStatus::Counting,
    };
    QuotaReport {
        dir,
        path,
        used: quota.blocks.saturating_mul(BYTES),
        inodes: quota.inodes,
        over_since: quota.over_since,
        status,
        full: quota.refuses(1, now),
        limits: quota.limits,
    }
}

/// Directories above one another, at most; damage must not make a way endless.
const DEPTH: usize = 1 << 20;

impl Mounted {
    /// Sets the quota of a directory, or changes its limits.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR` for the path, [`FsError::Nested`], or the store failed.
    pub fn set_quota(&self, path: &[u8], limits: QuotaLimits) -> Result<QuotaReport> {
        self.at(ROOT)?;
        let dir = self.live.edit(|edit| edit.set_quota(path, limits))?;
        self.live_quota(dir)
    }

    /// Takes the quota of a directory away: it limits nothing from now on.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR` for the path, [`FsError::NoQuota`], or the store failed.
    pub fn unset_quota(&self, path: &[u8]) -> Result<()> {
        self.at(ROOT)?;
        self.live.edit(|edit| edit.unset_quota(path))
    }

    /// All quotas of the live filesystem, by path.
    ///
    /// # Errors
    /// The store failed, or a record is damaged.
    pub fn quotas(&self) -> Result<Vec<QuotaReport>> {
        self.at(ROOT)?;
        let mut state = self.live.state.lock();
        let all = state.quotas.iter().map(|(dir, quota)| (dir, quota.clone())).collect();
        reports(&mut state.line, all)
    }

    /// The quota of a directory.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR` for the path, [`FsError::NoQuota`], or the store failed.
    pub fn quota(&self, path: &[u8]) -> Result<QuotaReport> {
        self.at(ROOT)?;
        let dir = self.live.edit(|edit| edit.directory_at(path))?;
        self.live_quota(dir)
    }

    fn live_quota(&self, dir: u64) -> Result<QuotaReport> {
        let mut state = self.live.state.lock();
        let found = state.quotas.get(dir).filter(|quota| !quota.is_unset()).cloned();
        let Some(quota) = found else { return Err(FsError::NoQuota) };
        let list = reports(&mut state.line, vec![(dir, quota)])?;
        list.into_iter().next().ok_or(FsError::NoQuota)
    }

    /// All blocks and free blocks as the quotas around a node leave them.
    pub(crate) fn quota_room(&self, node: Node, there: (u64, u64)) -> (u64, u64) {
        let Ok((Place::Live(tree), ino)) = self.at(node) else { return there };
        let mut state = tree.state.lock();
        if state.quotas.is_empty() {
            return there;
        }
        match reading::inode(&mut state.line, ino) {
            Ok((inode, _)) => state.quotas.room(inode.quota, there),
            Err(_) => there,
        }
    }
}

impl Edit<'_> {
    fn directory_at(&mut self, path: &[u8]) -> Result<u64> {
        let at = self.inode_at(path)?;
        self.directory(at)?;
        Ok(at)
    }

    fn set_quota(&mut self, path: &[u8], limits: QuotaLimits) -> Result<u64> {
        let dir = self.directory_at(path)?;
        let Some(old) = self.state.quotas.get(dir).cloned() else {
            self.check_nesting(dir)?;
            let quota = Quota { limits, phase: Phase::Waiting, ..Quota::default() };
            self.note_quota(Note::Put(dir, quota));
            return Ok(dir);
        };
        if old.is_unset() {
            self.check_nesting(dir)?;
        }
        let phase = match old.phase {
            Phase::Ending => Phase::Active,
            Phase::Removing => Phase::Counting,
            Phase::Left => Phase::Waiting,
            other => other,
        };
        self.turn(dir, old.phase, phase);
        self.note_quota(Note::Put(dir, Quota { limits, phase, ..old }));
        Ok(dir)
    }

    fn unset_quota(&mut self, path: &[u8]) -> Result<()> {
        let dir = self.directory_at(path)?;
        let Some(old) = self.state.quotas.get(dir) else { return Err(FsError::NoQuota) };
        let (phase, above) = match (old.phase, old.above) {
            (Phase::Waiting, above) if old.inodes > 0 => (Phase::Left, above),
            (Phase::Waiting, _) => {
                self.note_quota(Note::Drop(dir));
                return Ok(());
            }
            (Phase::Active, above) => (Phase::Ending, above),
            (Phase::Counting, above) => (Phase::Removing, above),
            _ => return Err(FsError::NoQuota),
        };
        self.turn(dir, old.phase, phase);
        self.note_quota(Note::Phase(dir, phase, above));
        Ok(())
    }

    /// A walk that goes the other way from now on begins again at the top.
    fn turn(&mut self, dir: u64, old: Phase, new: Phase) {
        let walks = self.state.quotas.walk.as_ref().is_some_and(|walk| walk.dir == dir);
        if old != new && walks {
            self.state.quotas.walk = None;
        }
    }

    /// Refuses a quota on `dir` when there would be too many around one file.
    fn check_nesting(&mut self, dir: u64) -> Result<()> {
        let above = self.quotas_around(dir)?.len();
        let all: Vec<u64> =
            self.state.quotas.iter().filter(|(_, q)| !q.is_unset()).map(|(d, _)| d).collect();
        let mut below = 0;
        for other in all {
            let around = self.quotas_around(other)?;
            if other != dir && self.lies_in(other, dir)? {
                below = below.max(around.len() + 1 - above);
            }
        }
        if above + 1 + below > NESTED { Err(FsError::Nested) } else { Ok(()) }
    }

    /// The directories with a quota strictly above `dir`.
    fn quotas_around(&mut self, dir: u64) -> Result<Vec<u64>> {
        let mut list = Vec::new();
        self.climb(dir, |edit, at| {
            if at != dir && edit.state.quotas.get(at).is_some_and(|quota| !quota.is_unset()) {
                list.push(at);
            }
        })?;
        Ok(list)
    }

    fn lies_in(&mut self, below: u64, dir: u64) -> Result<bool> {
        let mut found = false;
        self.climb(below, |_, at| found |= at == dir)?;
        Ok(found)
    }

    /// Visits a directory and all above it.
    fn climb(&mut self, dir: u64, mut visit: impl FnMut(&Self, u64)) -> Result<()> {
        let mut at = dir;
        for _ in 0..DEPTH {
            visit(self, at);
            if at == ROOT_INO || at == 0 {
                return Ok(());
            }
            // Not through the edit: it remembers all that it loads, and there may be many quotas.
            at = reading::inode(&mut self.state.line, at)?.0.parent;
        }
        refuse(libc::ELOOP)
    }
}
