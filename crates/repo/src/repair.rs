//! Repairs: of the index by what packs say, of packs by what of them is whole, of snapshots by what is still there.
//!
//! That is also their order when several are needed. Each writes what is new before it removes what is old, so that an end at any moment loses
//! nothing that could be read; run again, it goes on. A failure that may pass, such as a server that does not answer, is never taken for damage: it
//! ends the run. The caller holds an exclusive lock.

mod index;
mod keep;
mod packs;
mod snapshots;
mod stock;
mod trees;

pub use index::{IndexRepair, IndexRepairOptions, repair_index};
pub use packs::{PackOutcome, PackRepair, PackRepairOptions, repair_packs};
pub use snapshots::{
    SnapshotRepair, SnapshotRepairOptions, Unreadable, readable_snapshots, repair_snapshots,
};
pub use trees::{Loss, LossKind};

pub(crate) use stock::Stock;
pub(crate) use trees::KeepWhole;

use crate::backend::BackendError;
use crate::error::RepoError;

/// Is something missing or not what it should be? Everything else may pass, or is not about one file.
pub(crate) fn is_damage(error: &RepoError) -> bool {
    match error {
        RepoError::Damaged { .. }
        | RepoError::DamagedBlob { .. }
        | RepoError::MissingBlob { .. }
        | RepoError::Tree { .. } => true,
        RepoError::Backend(error) => {
            matches!(error, BackendError::NotFound { .. } | BackendError::Short { .. })
        }
        _ => false,
    }
}
