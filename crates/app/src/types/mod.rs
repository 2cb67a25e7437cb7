//! What goes into the use cases and what comes out: plain records, also the wire form of the
//! native API. `docs/cli.md` describes them field by field; a test holds the two together.

pub mod access;
pub mod diff;
pub mod disk;
pub mod filesystem;
pub mod policy;
pub mod quota;
pub mod report;
pub mod request;
pub mod schema;
pub mod snapshot;
pub mod task;

pub use access::{
    LoginRequest, LogoutInfo, PasswordChange, RefreshRequest, Role, Secret, SessionMade,
    TokenCreate, TokenInfo, TokenMade, UserCreate, UserInfo, UserUpdate, WhoamiInfo,
};
pub use diff::{
    ChangeList, ChangeListWish, ChangePage, Diff, DiffChange, DiffEntry, DiffObject, DiffRange,
};
pub use disk::{
    DiskChanges, DiskCreate, DiskImport, DiskImported, DiskInfo, DiskUpdate, DiskVerified,
    ImageHead, ImageWish, VerifyRequest,
};
pub use filesystem::{FsCreate, FsInfo, FsUpdate};
pub use policy::{
    PolicyEvent, PolicyForecast, PolicyInfo, PolicyPatch, PolicyRun, PolicyRunRequest, PolicyWish,
};
pub use quota::{QuotaInfo, QuotaSet, QuotaState};
pub use report::{
    Figures, FsckFinding, FsckInfo, JobInfo, MountInfo, ScrubInfo, StatusInfo, StoreInfo,
    StoreUpdate, SupportInfo,
};
pub use request::{
    CloneRequest, DeletedInfo, Empty, FsckRequest, MountRequest, RestoreInfo, RestoreRequest,
    ShutdownInfo, SnapshotSet, SyncInfo, SyncRequest, VolumeInfo,
};
pub use snapshot::{DeleteWish, SnapshotCreate, SnapshotInfo, SnapshotUpdate, SpaceInfo};
pub use task::{Change, EventInfo, EventKind, TaskInfo, TaskState};

use serde::{Deserialize, Deserializer};

/// Tells "absent" from "null" in a change: for fields of type `Option<Option<T>>`.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
