//! What failures of a repository mean on the command line: restic's exit statuses, and what to do.

use tintype_repo::{BackendError, FileKind, Location, RepoError};

use crate::error::{CliError, STOPPED};

/// Some of the sources could not be read; the snapshot was saved without them.
pub const INCOMPLETE: u8 = 3;
const NO_REPOSITORY: u8 = 10;
const LOCKED: u8 = 11;
const WRONG_PASSWORD: u8 = 12;

impl From<RepoError> for CliError {
    fn from(error: RepoError) -> Self {
        let (status, remedy) = advice(&error);
        Self { status, ..Self::failure(error.to_string(), remedy) }
    }
}

fn is_remote(location: &str) -> bool {
    location.parse::<Location>().is_ok_and(|location| location.is_remote())
}

fn advice(error: &RepoError) -> (u8, &'static str) {
    match error {
        RepoError::NoRepository { .. } => {
            (NO_REPOSITORY, "Make one with `tintype repo init`, or check the place.")
        }
        RepoError::Exists { .. } => (1, "Use it as it is, or name another place."),
        RepoError::WrongPassword { .. } => {
            (WRONG_PASSWORD, "Check the password and which variable or file it comes from.")
        }
        RepoError::Version { .. } => {
            (1, "Use a newer tintype, or the program that made the repository.")
        }
        RepoError::Damaged { kind: FileKind::Index, .. } => {
            (1, "Run `tintype repair index`: it writes anew what this file said.")
        }
        RepoError::Damaged { kind: FileKind::Snapshot, .. } => (
            1,
            "`tintype repair snapshots` names all such files, `tintype recover` finds their trees.",
        ),
        RepoError::Damaged { kind: FileKind::Config, .. } => (
            1,
            "Put its file back from a copy of the repository: what is saved is whole, but nothing opens without it.",
        ),
        RepoError::Damaged { kind: FileKind::Key, .. } => (
            1,
            "Use the password of another key, or put the file back from a copy of the repository.",
        ),
        RepoError::Damaged { .. }
        | RepoError::DamagedBlob { .. }
        | RepoError::MissingBlob { .. }
        | RepoError::Tree { .. } => (
            1,
            "`tintype check --read-data` shows all that is damaged, and which `tintype repair` mends it.",
        ),
        RepoError::Locked { .. } => {
            (LOCKED, "Wait (--retry-lock SECONDS). If its process is gone: `tintype repo unlock`.")
        }
        RepoError::LockLost { .. } => {
            (LOCKED, "Run the command again: what was stored is found again.")
        }
        RepoError::NoSnapshot { .. } => (1, "See `tintype snapshot list --repo`."),
        RepoError::Ambiguous { .. } => (1, "Give more digits."),
        RepoError::Stopped => (STOPPED, "What was stored so far is found by the next run."),
        RepoError::Backend(BackendError::Refused { status: 401, .. }) => (
            1,
            "Name user and password in the URL, or in TINTYPE_REST_USERNAME and TINTYPE_REST_PASSWORD.",
        ),
        RepoError::Backend(BackendError::Refused { .. }) => {
            (1, "Ask who runs the server: rights, room, an append-only mode.")
        }
        RepoError::Backend(BackendError::Unsupported { .. }) => (
            1,
            "Use rclone:REMOTE:PATH, which reaches it too, or a build with the feature `remote`.",
        ),
        RepoError::Backend(BackendError::Io { source, location, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied && is_remote(location) =>
        {
            (
                1,
                "Check the login: docs/repository.md says which variables and options this kind of place takes.",
            )
        }
        RepoError::Backend(BackendError::Io { object, .. }) if object.starts_with("lock ") => (
            1,
            "Check the place: room, rights, connection. `restore`, `check` and `mount` do without a lock with --no-lock.",
        ),
        RepoError::Backend(BackendError::Io { .. }) => {
            (1, "Check the place: room, rights, connection.")
        }
        RepoError::Local { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            (1, "Make room there and run the command again: it goes on with what is missing.")
        }
        RepoError::Local { .. } => {
            (1, "Check that the file or folder is there and that you may use it.")
        }
        _ => (1, ""),
    }
}
