//! What can go wrong with a disk.

use crate::head::{SECTOR, SIZE_MAX};
use tintype_store::StoreError;
use tintype_store::limits::Refusal;

/// Situations of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record of the disk cannot be understood.
    #[error("damaged record: {0}; run a check of the store")]
    Damaged(&'static str),
    /// The range does not lie inside the disk.
    #[error("bytes {offset} to {end} do not lie inside the disk of {size} bytes")]
    OutOfBounds {
        /// First byte.
        offset: u64,
        /// The byte behind the last one.
        end: u64,
        /// Size of the disk in bytes.
        size: u64,
    },
    /// No disk has this size.
    #[error(
        "{size} bytes is no size of a disk: it has to be a multiple of {SECTOR} from {SECTOR} to {SIZE_MAX} (1 PiB)"
    )]
    Size {
        /// What was asked for, in bytes.
        size: u64,
    },
    /// A limit forbids that the disk holds more.
    #[error("the disk cannot hold more: {0}")]
    NoRoom(#[from] Refusal),
    /// The volume is no disk, or was never made one.
    #[error("the volume holds no disk")]
    NoDisk,
    /// The disk or the writable snapshot was deleted while it was open.
    #[error("the disk was deleted")]
    Gone,
    /// It was closed while somebody still held it.
    #[error("the disk was closed")]
    Closed,
}

/// The result of operations on disks.
pub type Result<T> = std::result::Result<T, DiskError>;

impl DiskError {
    /// Whether there is no room: a limit, or a full disk below the store.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoRoom(_) => true,
            Self::Store(error) => error.is_full(),
            _ => false,
        }
    }
}
