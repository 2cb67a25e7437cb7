//! The one error type of this crate and its translation into POSIX error numbers.
//!
//! Layers inside the crate pass `FsError` up; only the `Vfs` implementation turns it into an
//! [`Errno`]. A damaged record is reported once in the log with the name of what is damaged and
//! answered with `EIO`.

use crate::vfs::Errno;
use tintype_store::StoreError;
use tintype_store::limits::Refusal;

/// Why an operation on a filesystem failed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// Refused by the rules of POSIX or by a limit; the number says why.
    #[error("refused with error number {0}")]
    Refused(i32),
    /// A record cannot be understood.
    #[error("damaged record: {0}; run a check of the store")]
    Damaged(&'static str),
    /// A quota would have more than four around it, or around one below it.
    #[error("quotas are nested four deep at most")]
    Nested,
    /// The directory has no quota.
    #[error("the directory has no quota")]
    NoQuota,
    /// The filesystem was shut down on request and answers nothing until the next mount.
    #[error("was shut down as a program asked")]
    ShutDown,
    /// The volume or snapshot that was asked for does not exist.
    #[error("no such volume or snapshot")]
    NoSuchVolume,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of operations inside this crate.
pub type Result<T> = std::result::Result<T, FsError>;

/// The error for a plain POSIX number.
pub(crate) fn refuse<T>(code: i32) -> Result<T> {
    Err(FsError::Refused(code))
}

impl FsError {
    /// The number that a program sees.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Refused(code) => Errno(*code),
            Self::Damaged(_) | Self::ShutDown => Errno(libc::EIO),
            Self::Nested => Errno(libc::EINVAL),
            Self::NoQuota => Errno(libc::ENODATA),
            Self::NoSuchVolume => Errno(libc::ESTALE),
            Self::Store(error) => store_errno(error),
        }
    }
}

fn store_errno(error: &StoreError) -> Errno {
    match error {
        StoreError::NotFound { .. } => return Errno(libc::ESTALE),
        StoreError::Shutdown | StoreError::Stopped => {}
        error if error.is_full() => return Errno(libc::ENOSPC),
        error => tracing::error!(%error, "the store failed an operation"),
    }
    Errno(libc::EIO)
}

impl From<Refusal> for FsError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Quota => Self::Refused(libc::EDQUOT),
            Refusal::Capacity | Refusal::Room => Self::Refused(libc::ENOSPC),
        }
    }
}

impl From<FsError> for Errno {
    fn from(error: FsError) -> Self {
        if let FsError::Damaged(what) = &error {
            tracing::error!(what, "damaged record");
        }
        error.errno()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_enospc_and_other_failures_are_eio() {
        let full = tintype_kv::KvError::NoSpace { path: "kv".into(), needed: 2, free: 1 };
        assert_eq!(FsError::from(StoreError::from(full)).errno(), Errno(libc::ENOSPC));
        let failed = StoreError::from(tintype_kv::KvError::Poisoned);
        assert_eq!(FsError::from(failed).errno(), Errno(libc::EIO));
    }
}
