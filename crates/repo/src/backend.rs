//! The port to the place where a repository lies: a few kinds of write-once files.
//!
//! Adapters: [`LocalFolder`], [`RestBackend`], [`Rclone`], [`MemoryBackend`] for tests; [`Retrying`] and [`Cached`] go around those that lie behind a network. One
//! contract suite (`tests/backends.rs`) holds for all of them. [`Location`] is what people write, [`open_location`] makes an adapter of it.
//! The port knows neither keys nor forms: it moves sealed bytes.

mod access;
mod cache;
mod child;
#[cfg(feature = "remote")]
mod cloud;
mod local;
mod location;
mod memory;
mod options;
mod rclone;
mod rest;
mod retry;
mod secret;
#[cfg(feature = "remote")]
mod sftp;
mod web;

use std::fmt;
use std::io;

use crate::id::Id;

pub use access::{Access, open_location, variables};
pub use cache::Cached;
#[cfg(feature = "remote")]
pub use cloud::Cloud;
pub use local::LocalFolder;
pub use location::{Location, NotALocation, RestUrl};
pub use memory::{MemoryBackend, Trouble};
pub use options::{NotAnOption, PlaceOptions};
pub use rclone::Rclone;
pub use rest::{RestBackend, RestOptions};
pub use retry::{Clock, Notice, Patience, Retrying, SystemClock};
pub use secret::Secret;
#[cfg(feature = "remote")]
pub use sftp::Sftp;
pub use web::Limits;

/// What a file of a repository is; also the name of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// The one file `config`; its id is not used.
    Config,
    /// A key file.
    Key,
    /// A snapshot.
    Snapshot,
    /// An index.
    Index,
    /// A lock.
    Lock,
    /// A pack of blobs.
    Pack,
}

impl FileKind {
    /// All kinds that have many files.
    pub const MANY: [Self; 5] = [Self::Key, Self::Snapshot, Self::Index, Self::Lock, Self::Pack];

    /// The folder that holds them; `config` for the one file without a folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Lock => "locks",
            Self::Pack => "data",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Snapshot => "snapshot",
            Self::Index => "index",
            Self::Lock => "lock",
            Self::Pack => "pack",
        })
    }
}

/// A failure of the place where a repository lies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The file is not there.
    #[error("{kind} {id} is not in {location}")]
    NotFound {
        /// What kind of file.
        kind: FileKind,
        /// Which.
        id: Id,
        /// The repository.
        location: String,
    },
    /// The file ends before what was asked for.
    #[error("{kind} {id} in {location} ends too early")]
    Short {
        /// What kind of file.
        kind: FileKind,
        /// Which.
        id: Id,
        /// The repository.
        location: String,
    },
    /// A server answered, but did not do it.
    #[error("cannot {doing} {object} in {location}: the server answers {status}{detail}")]
    Refused {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        object: String,
        /// The repository.
        location: String,
        /// The HTTP status.
        status: u16,
        /// `: ` and the first line of the answer, where it has one.
        detail: String,
    },
    /// This build has no adapter for places of this kind.
    #[error("{location}: this build cannot use places of the kind `{kind}`")]
    Unsupported {
        /// The word before the colon.
        kind: &'static str,
        /// The place.
        location: String,
    },
    /// Anything else that the place says.
    #[error("cannot {doing} {object} in {location}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        object: String,
        /// The repository.
        location: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BackendError {
    /// Would the same call fail again, however long one waits? What is neither known to be permanent nor to pass counts as passing: a retry
    /// is bounded, a backup given up is not made good.
    pub fn is_permanent(&self) -> bool {
        use io::ErrorKind as E;
        match self {
            Self::NotFound { .. } | Self::Short { .. } | Self::Unsupported { .. } => true,
            // 400 is no verdict: servers answer it to a body whose hash is wrong because it was damaged under way.
            Self::Refused { status, .. } => {
                matches!(status, 300..=399 | 401 | 403..=407 | 409..=417 | 431 | 501 | 505 | 507)
            }
            Self::Io { source, .. } => matches!(
                source.kind(),
                E::NotFound
                    | E::PermissionDenied
                    | E::StorageFull
                    | E::QuotaExceeded
                    | E::FileTooLarge
                    | E::ReadOnlyFilesystem
                    | E::NotADirectory
                    | E::IsADirectory
                    | E::InvalidInput
                    | E::InvalidFilename
                    | E::Unsupported
            ),
        }
    }
}

type Result<T> = std::result::Result<T, BackendError>;

/// A place for a repository. Calls come from many threads.
pub trait Backend: Send + Sync {
    /// How people name the place; without passwords.
    fn location(&self) -> String;

    /// Makes the folders that a new repository needs. Fine when they are there.
    fn create(&self) -> Result<()>;

    /// Ids and lengths in bytes of all files of a kind, in any order. Names that are no ids are left out. For [`FileKind::Config`] one entry
    /// with the default id when the config is there.
    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>>;

    /// A whole file.
    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>>;

    /// `len` bytes from `offset`. [`BackendError::Short`] when the file ends before.
    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>>;

    /// Writes a whole file. When it returns the file is durable; before that nobody sees a part of it. An existing file of this name is
    /// replaced: the name is a hash of the content, so it is the same.
    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()>;

    /// As [`Backend::read`], into space that had another use: `into` then is the file. Behind a failure it holds anything.
    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<()> {
        *into = self.read(kind, id)?;
        Ok(())
    }

    /// As [`Backend::read_part`] and [`Backend::read_into`].
    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        *into = self.read_part(kind, id, offset, len)?;
        Ok(())
    }

    /// Removes a file. Fine when it is not there.
    fn remove(&self, kind: FileKind, id: Id) -> Result<()>;

    /// Like [`Backend::read_part`] for a pack that holds trees: these are read again and again, so that copies near by are worth while. The
    /// bytes may come from a damaged copy: see [`Backend::drop_copy`].
    fn read_trees(&self, pack: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.read_part(FileKind::Pack, pack, offset, len)
    }

    /// Like [`Backend::write`] for a pack that holds trees.
    fn write_trees(&self, pack: Id, data: &[u8]) -> Result<()> {
        self.write(FileKind::Pack, pack, data)
    }

    /// Files of which a copy is kept near by.
    fn copies(&self, _kind: FileKind) -> Vec<Id> {
        Vec::new()
    }

    /// Throws away a copy, because its file is gone or what was read of it is damaged. True when there was one: reading again then asks the
    /// place itself.
    fn drop_copy(&self, _kind: FileKind, _id: Id) -> bool {
        false
    }
}
