//! What can go wrong with a repository, as situations. The edges add remedies and exit statuses.

use crate::backend::{BackendError, FileKind};
use crate::id::{BlobId, Id};
use crate::tree::TreeError;

/// A failure of a repository operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The place of the repository did not do what it was asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is no repository at this place.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
    },
    /// A repository was to be made where one is.
    #[error("there is a repository at {location} already")]
    Exists {
        /// Where it is.
        location: String,
    },
    /// None of the keys opens with the password.
    #[error("wrong password, or no key for it, for the repository at {location}")]
    WrongPassword {
        /// Which repository.
        location: String,
    },
    /// The format version is one that this program does not know.
    #[error("the repository has format version {version}; versions 1 and 2 are understood")]
    Version {
        /// What its config says.
        version: u32,
    },
    /// A file of the repository is not what its name or its form promises.
    #[error("{} is damaged: {detail}", file_name(*kind, *id))]
    Damaged {
        /// What kind of file.
        kind: FileKind,
        /// Which.
        id: Id,
        /// What is wrong.
        detail: String,
    },
    /// A blob is not what its id promises.
    #[error("blob {id} in pack {pack} is damaged: {detail}")]
    DamagedBlob {
        /// Which blob.
        id: BlobId,
        /// The pack that holds it.
        pack: Id,
        /// What is wrong.
        detail: String,
    },
    /// No index knows this blob.
    #[error("blob {id} is in no index")]
    MissingBlob {
        /// Which blob.
        id: BlobId,
    },
    /// A tree that was read is not one.
    #[error("tree {id}: {source}")]
    Tree {
        /// The tree's blob.
        id: BlobId,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// Another program holds a lock that excludes ours.
    #[error("the repository is locked by {holder}")]
    Locked {
        /// Who holds it, since when, as text.
        holder: String,
    },
    /// The lock of this run was lost: somebody removed it or it could not be renewed in time.
    #[error("the lock of this run is lost: {detail}")]
    LockLost {
        /// How.
        detail: String,
    },
    /// No snapshot fits what was asked for.
    #[error("no snapshot {wanted}")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
    },
    /// A snapshot has no entry at this path.
    #[error("{path}: there is no such entry in the snapshot")]
    NoPath {
        /// What was asked for.
        path: String,
    },
    /// More than one id begins so.
    #[error("{wanted} is not unique: {count} ids begin with it")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// How many there are.
        count: usize,
    },
    /// A local file or folder could not be read or written.
    #[error("cannot {doing} {path}: {source}")]
    Local {
        /// The verb.
        doing: &'static str,
        /// Which file or folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was asked for contradicts the repository or itself.
    #[error("{detail}")]
    Refused {
        /// Why.
        detail: String,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What a file is called in messages. There is one config, and it is not named by a hash.
fn file_name(kind: FileKind, id: Id) -> String {
    if kind == FileKind::Config { kind.to_string() } else { format!("{kind} {id}") }
}

/// The result of a repository operation.
pub type Result<T, E = RepoError> = std::result::Result<T, E>;

impl RepoError {
    /// What is wrong with a file that is named beside it.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Damaged { detail, .. } => detail.clone(),
            other => other.to_string(),
        }
    }

    /// A file of the repository that is damaged.
    pub(crate) fn damaged(kind: FileKind, id: Id, detail: impl Into<String>) -> Self {
        Self::Damaged { kind, id, detail: detail.into() }
    }
}
