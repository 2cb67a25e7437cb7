//! The few kinds of failure that the edges tell apart, each with its object and a remedy.
//!
//! The errors of the layers below are many and precise; here they become one of these kinds, a
//! sentence that names the object, and a sentence that says what to do. `convert` does the work.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What kind of failure it is: decides HTTP status, exit status and whether retrying helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The object does not exist.
    NotFound,
    /// An object of that name exists.
    Exists,
    /// The request makes no sense.
    Invalid,
    /// Who asks did not say who it is, or not truly.
    Unauthenticated,
    /// Who asks may not do it.
    Forbidden,
    /// It was tried too often.
    TooMany,
    /// A delete rule forbids it.
    Protected,
    /// Somebody uses the object.
    Busy,
    /// A limit of the configuration would be passed.
    Limit,
    /// No room.
    NoSpace,
    /// Data on disk is damaged.
    Damaged,
    /// The store or the system below cannot serve now.
    Unavailable,
    /// A defect of this program.
    Internal,
}

/// A failure as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Failure)]
pub struct AppError {
    /// Its kind.
    pub kind: ErrorKind,
    /// What it is about: `filesystem home`, `snapshot home@a`, `folder /x`.
    pub object: String,
    /// What happened; reads on from the object.
    pub detail: String,
    /// What to do about it; a sentence.
    pub remedy: String,
}

impl AppError {
    /// All parts at once.
    pub fn new(
        kind: ErrorKind,
        object: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { kind, object: object.into(), detail: detail.into(), remedy: remedy.into() }
    }

    /// No filesystem of this name.
    pub fn no_filesystem(name: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("filesystem {name}"),
            "does not exist",
            "`tintype fs list` shows the filesystems; `tintype fs create` makes one.",
        )
    }

    /// No volume of this name, of whatever kind.
    pub fn no_volume(name: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("volume {name}"),
            "does not exist",
            "`tintype fs list` shows the filesystems, `tintype disk list` the disks.",
        )
    }

    /// No snapshot of this name.
    pub fn no_snapshot(volume: &str, name: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("snapshot {volume}@{name}"),
            "does not exist",
            format!("`tintype snapshot list {volume}` shows the snapshots."),
        )
    }

    /// The request makes no sense.
    pub fn invalid(
        object: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Invalid, object, detail, remedy)
    }

    /// An input or output error on a path of the machine.
    pub fn io(path: &std::path::Path, doing: &str, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                ErrorKind::NoSpace
            }
            _ => ErrorKind::Unavailable,
        };
        Self::new(
            kind,
            path.display().to_string(),
            format!("cannot {doing}: {error}"),
            "Check that the path exists, that its disk has room, and that you may write there.",
        )
    }
}

impl From<tintype_model::ModelError> for AppError {
    fn from(error: tintype_model::ModelError) -> Self {
        Self::invalid("the request", error.to_string(), "Correct the value and try again.")
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.detail)
    }
}

impl std::error::Error for AppError {}

/// The result of every use case.
pub type AppResult<T> = Result<T, AppError>;
