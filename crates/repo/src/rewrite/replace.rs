//! Snapshots written anew in place of, or beside, others: the new one first, then the old one goes.
//!
//! A new snapshot keeps every field of the old one, also those that nobody here knows, and names it as `original`. A run that ended in between
//! leaves both; the next one finds the new one and does not write it twice. Protected snapshots do not go.

use jiff::Timestamp;

use crate::error::Result;
use crate::forget::remove_snapshots;
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::rewriter::Rewritten;
use crate::snapshot::SnapshotFile;

/// What is done with snapshots that have a new version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replacing<'r> {
    pub repo: &'r Repository,
    /// Old versions go. Otherwise new ones get the tag.
    pub forget: bool,
    pub tag: &'static str,
    pub now: Timestamp,
}

/// The snapshot with another tree, and with totals of what is in it if it had any.
pub(crate) fn with_tree(old: &SnapshotFile, tree: Rewritten) -> SnapshotFile {
    let mut new = old.clone();
    new.tree = tree.tree;
    if let Some(summary) = &mut new.summary {
        tree.totals.put_into(summary);
    }
    new
}

impl Replacing<'_> {
    /// Does the old version have to stay although it should go?
    pub(crate) fn refuses(&self, old: &SnapshotFile) -> bool {
        self.forget && old.must_keep(self.now)
    }

    /// Saves new versions, then removes the old ones if they are to go. `there` are all snapshots. Gives old and new ids.
    pub(crate) fn carry_out(
        &self,
        there: &[SnapshotFile],
        changes: Vec<(SnapshotFile, SnapshotFile)>,
        guard: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<Vec<(SnapshotId, SnapshotId)>> {
        let mut done = Vec::new();
        for (old, mut new) in changes {
            new.original = Some(old.id);
            if !self.forget && !new.tags.iter().any(|tag| tag == self.tag) {
                new.tags.push(self.tag.to_owned());
            }
            let json = new.to_json();
            let mut versions = there.iter().filter(|other| other.original == new.original);
            let same = versions.find(|other| other.id != old.id && other.to_json() == json);
            let id = match same {
                Some(same) => same.id,
                None => {
                    guard()?;
                    self.repo.save_snapshot(&mut new)?
                }
            };
            done.push((old.id, id));
        }
        if self.forget {
            guard()?;
            let old: Vec<_> = done.iter().map(|(old, _)| *old).collect();
            remove_snapshots(self.repo, &old)?;
        }
        Ok(done)
    }
}
