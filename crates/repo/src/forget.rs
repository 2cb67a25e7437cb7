//! Forgetting: the rules of `retention` for all groups of a repository, and the removal of snapshots.
//!
//! A plan is a plain value that can be shown before anything happens. Removing a snapshot frees no space: that is what `prune` does.
//! The caller holds an exclusive lock while it removes.

use jiff::Timestamp;
use tintype_model::retention::KeepOptions;

use crate::backend::FileKind;
use crate::error::{RepoError, Result};
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::retention::{GroupBy, GroupKey, Judged, group_snapshots, judge};
use crate::snapshot::SnapshotFile;

/// The verdicts on all snapshots, by group.
#[derive(Clone, Debug, PartialEq)]
pub struct ForgetPlan<'s> {
    /// Groups in order, each with its snapshots from the newest to the oldest.
    pub groups: Vec<(GroupKey, Vec<Judged<'s>>)>,
}

impl ForgetPlan<'_> {
    /// The snapshots to remove.
    pub fn to_remove(&self) -> Vec<SnapshotId> {
        let all = self.groups.iter().flat_map(|(_, judged)| judged);
        all.filter(|judged| !judged.keep).map(|judged| judged.snapshot.id).collect()
    }
}

/// Judges all snapshots by the rules.
///
/// # Errors
/// [`RepoError::Refused`] when there is no rule, or when a group would lose its last snapshot without leave.
pub fn plan_forget<'s>(
    snapshots: impl IntoIterator<Item = &'s SnapshotFile>,
    by: GroupBy,
    options: &KeepOptions,
    now: Timestamp,
) -> Result<ForgetPlan<'s>> {
    let groups = group_snapshots(snapshots, by).into_iter().map(|(key, group)| {
        let judged = judge(&group, options, now).map_err(|error| match error {
            RepoError::Refused { detail } => {
                RepoError::Refused { detail: format!("{detail} ({key})") }
            }
            other => other,
        })?;
        Ok((key, judged))
    });
    Ok(ForgetPlan { groups: groups.collect::<Result<_>>()? })
}

/// Of snapshots that were named one by one: those that may go, and those whose own rule keeps them.
pub fn split_protected(
    named: Vec<SnapshotFile>,
    now: Timestamp,
) -> (Vec<SnapshotFile>, Vec<SnapshotFile>) {
    named.into_iter().partition(|snapshot| !snapshot.must_keep(now))
}

/// Removes snapshots; one that is gone already is fine. Goes on behind a failure.
///
/// # Errors
/// The first failure. The others are removed all the same.
pub fn remove_snapshots(repo: &Repository, ids: &[SnapshotId]) -> Result<()> {
    let removed = ids.iter().map(|id| repo.backend().remove(FileKind::Snapshot, id.0));
    let results: Vec<_> = removed.collect();
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}
