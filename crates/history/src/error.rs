//! What can go wrong in the versioned map.

use crate::types::{Key, SpaceId};
use tintype_kv::KvError;

/// Situations of this crate.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The key-value engine failed.
    #[error("the record store failed")]
    Kv(#[from] KvError),
    /// Bytes of a record do not decode.
    #[error("a {what} record is damaged ({detail}); run `tintype fsck` on this store")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
        /// Which one, in internal terms.
        detail: String,
    },
    /// A space that should exist does not.
    #[error("space {0:?} is unknown; run `tintype fsck` on this store")]
    NoSpace(SpaceId),
}

impl HistoryError {
    /// A version of `key` in `space` that does not decode.
    pub(crate) fn version(space: SpaceId, key: Key) -> Self {
        Self::Damaged { what: "version", detail: format!("space {} key {key:?}", space.0) }
    }
}

/// Result of this crate.
pub type Result<T, E = HistoryError> = std::result::Result<T, E>;
