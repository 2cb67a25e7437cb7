//! Which snapshots are in the repository: each file is read once, also one that is not shown.

use std::collections::BTreeMap;

use tintype_repo::{BackendError, FileKind, RepoError, Repository, SnapshotFile, SnapshotId};

use crate::catalog::Shown;

/// Which snapshots are shown.
pub type Filter = Box<dyn Fn(&SnapshotFile) -> bool + Send + Sync>;

/// All snapshots that were seen, with what is shown of them.
pub struct Snapshots {
    filter: Filter,
    all: BTreeMap<SnapshotId, Option<Shown>>,
}

impl Snapshots {
    /// None yet.
    pub fn new(filter: Filter) -> Self {
        Self { filter, all: BTreeMap::new() }
    }

    /// Looks which there are now; says whether others are shown than before. One that cannot be read is told and left out.
    ///
    /// # Errors
    /// The place cannot be listed; then all is as before.
    pub fn look(&mut self, repo: &Repository) -> Result<bool, RepoError> {
        let there = repo.backend().list(FileKind::Snapshot)?;
        let (mut all, mut changed) = (BTreeMap::new(), false);
        for id in there.into_iter().map(|(id, _)| SnapshotId(id)) {
            let known = match self.all.remove(&id) {
                Some(known) => known,
                None => match repo.snapshot(id) {
                    Ok(file) => (self.filter)(&file).then(|| Shown::of(&file)),
                    Err(RepoError::Backend(BackendError::NotFound { .. })) => continue,
                    Err(error) => {
                        tracing::error!(%error, "a snapshot is not shown");
                        if matches!(error, RepoError::Backend(_)) {
                            continue;
                        }
                        None
                    }
                }
                .inspect(|_| changed = true),
            };
            all.insert(id, known);
        }
        changed |= self.all.values().any(Option::is_some);
        self.all = all;
        Ok(changed)
    }

    /// Those that are shown.
    pub fn shown(&self) -> Vec<Shown> {
        self.all.values().flatten().cloned().collect()
    }
}
