//! The rules of retention on snapshots of a repository: groups, and the verdicts of `model` on each of them.
//!
//! Nothing is read or removed here (see `forget`).

mod group;

use jiff::Timestamp;
use tintype_model::Tags;
use tintype_model::moment::Moment;
use tintype_model::retention::{self, Candidate, KeepOptions, Refusal};

use crate::error::{RepoError, Result};
use crate::id::{BlobId, SnapshotId};
use crate::snapshot::SnapshotFile;

pub use group::{GroupBy, GroupKey, NotAGrouping, group_snapshots};

/// The verdict on a snapshot.
pub type Judged<'s> = retention::Judged<'s, SnapshotFile>;

/// Judges the snapshots of one group; newest first.
///
/// # Errors
/// [`RepoError::Refused`] when there is no rule, or when the rules would remove the group's last snapshot and nobody allowed that.
pub fn judge<'s>(
    group: &[&'s SnapshotFile],
    options: &KeepOptions,
    now: Timestamp,
) -> Result<Vec<Judged<'s>>> {
    retention::judge(group, options, now)
        .map_err(|refusal: Refusal| RepoError::Refused { detail: refusal.to_string() })
}

impl Candidate for SnapshotFile {
    type Id = SnapshotId;
    type Content = BlobId;

    fn id(&self) -> SnapshotId {
        self.id
    }

    fn time(&self) -> Moment {
        self.time
    }

    fn content(&self) -> BlobId {
        self.tree
    }

    fn has_tags(&self, wanted: &Tags) -> bool {
        self.has_tags(wanted)
    }

    fn must_keep(&self, now: Timestamp) -> bool {
        self.must_keep(now)
    }

    fn must_delete(&self, now: Timestamp) -> bool {
        self.must_delete(now)
    }
}

#[cfg(test)]
mod tests;
