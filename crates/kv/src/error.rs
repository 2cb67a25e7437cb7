//! What can go wrong in a key-value store, as situations a caller can act on.
//!
//! Adapters translate the errors of their engine into these; no type of an engine leaves the crate.

use std::io;
use std::path::PathBuf;

/// A failure of the key-value store.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// Another process (or another handle of this one) has the store open.
    #[error("the records in {} are in use by another process; stop it, or use its server", path.display())]
    InUse {
        /// Folder of the store.
        path: PathBuf,
    },
    /// An earlier write or sync failed, so nothing more is accepted.
    #[error(
        "an earlier write to the records failed; open the store again after repairing the disk"
    )]
    Poisoned,
    /// A key is empty or longer than 65,535 bytes.
    #[error("a key of {len} bytes cannot be stored; keys are 1 to 65535 bytes long")]
    KeyLength {
        /// Length of the refused key in bytes.
        len: usize,
    },
    /// A key begins with eight bytes FF.
    #[error("a key that begins with eight bytes FF cannot be stored; use another one")]
    KeyReserved,
    /// The disk has no room for a batch, or for what opening does. No record has changed, and later attempts are accepted.
    #[error("the disk of the records in {} is full: {needed} bytes are needed and {free} are free; free some space on it and try again", path.display())]
    NoSpace {
        /// Folder of the store.
        path: PathBuf,
        /// Bytes that must be free: for the batch and what waits in memory, or for the opening.
        needed: u64,
        /// Bytes that were free.
        free: u64,
    },
    /// A value is longer than 2^32 - 1 bytes.
    #[error("a value of {len} bytes cannot be stored; values are at most 4294967295 bytes long")]
    ValueLength {
        /// Length of the refused value in bytes.
        len: usize,
    },
    /// The operating system refused an operation on the files.
    #[error("cannot {doing} the records in {}: {source}; check the disk and its free space", path.display())]
    Io {
        /// What was being done: "open", "read", "write", "sync", "compact".
        doing: &'static str,
        /// Folder of the store.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The files are not what was written, or are of a newer format.
    #[error("cannot {doing} the records in {}: they are damaged or of an unknown version ({detail}); restore the folder from a copy", path.display())]
    Damaged {
        /// What was being done.
        doing: &'static str,
        /// Folder of the store.
        path: PathBuf,
        /// What the engine says.
        detail: String,
    },
    /// A fault that a test has asked for.
    #[error("cannot {doing} the records: a fault was planted")]
    Planted {
        /// What was being done.
        doing: &'static str,
    },
}
