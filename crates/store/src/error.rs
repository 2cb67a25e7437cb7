//! What can go wrong in a store.

use tintype_history::HistoryError;
use tintype_kv::KvError;
use tintype_segments::SegmentsError;

/// Situations of this crate.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record engine failed.
    #[error("the record store failed")]
    Kv(#[from] KvError),
    /// A data segment failed.
    #[error("a data segment failed")]
    Segments(#[from] SegmentsError),
    /// The versioned map failed.
    #[error("the history failed")]
    History(#[from] HistoryError),
    /// A metadata row does not decode.
    #[error("the {what} record {id} is damaged; run `tintype fsck` on this store")]
    Damaged {
        /// Which kind.
        what: &'static str,
        /// Which one.
        id: u64,
    },
    /// An extent is no longer where it was: look the piece up again.
    #[error("extent {0} has moved")]
    Moved(u64),
    /// An earlier write failed; what was not synced may be lost.
    #[error("the store stopped after a failed write ({reason}); restart the server to reopen it")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The store was shut down on request.
    #[error("the store was shut down as a program asked")]
    Shutdown,
    /// Whoever asked for the work does not wait for it any more.
    #[error("whoever asked for it has gone")]
    Stopped,
    /// No such volume or snapshot.
    #[error("{what} does not exist")]
    NotFound {
        /// Its name.
        what: String,
    },
    /// The name is taken.
    #[error("{what} exists already; choose another name")]
    Exists {
        /// The name.
        what: String,
    },
    /// The volume still has snapshots.
    #[error("{volume} has {count} snapshots; delete them first or use --force")]
    HasSnapshots {
        /// The volume.
        volume: String,
        /// How many.
        count: usize,
    },
    /// A rule protects the snapshot.
    #[error("{snapshot} is protected: {rule}; change the rule with `snapshot update` first")]
    Protected {
        /// The snapshot.
        snapshot: String,
        /// The rule in words.
        rule: String,
    },
    /// The operation does not fit the object.
    #[error("{what}")]
    Invalid {
        /// Object and remedy.
        what: String,
    },
    /// The disk is full, and as much as may wait in memory for room does.
    #[error(
        "the disk is full, and {bytes} bytes and {records} records wait in memory for room; make \
         some: delete snapshots, or files beside the store"
    )]
    TooMuchWaits {
        /// Bytes of data that wait.
        bytes: usize,
        /// Changed records that wait.
        records: usize,
    },
    /// The two moments share no history.
    #[error("the two moments have no common history; compare their files instead")]
    Unrelated,
    /// It is in use.
    #[error("{what} is in use")]
    Busy {
        /// The object.
        what: String,
    },
}

impl StoreError {
    /// The disk had no room, and nothing has changed: it may be tried again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::TooMuchWaits { .. } => true,
            Self::Kv(KvError::NoSpace { .. })
            | Self::History(HistoryError::Kv(KvError::NoSpace { .. })) => true,
            Self::Segments(SegmentsError::Io { doing: "write" | "create", source, .. }) => {
                matches!(source.kind(), StorageFull | QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// Result of this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
