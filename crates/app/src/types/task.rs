//! Tasks, and what happens, as the edges see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::AppError;

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It goes on.
    Running,
    /// It ended well.
    Done,
    /// It failed.
    Failed,
    /// It ended early because somebody asked for that.
    Cancelled,
}

impl TaskState {
    /// As on wires.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A long operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskInfo {
    /// Its id.
    pub id: String,
    /// The operation of the API.
    pub operation: String,
    /// What it was asked of: a path below `/api/v1`.
    pub object: String,
    /// How it stands.
    pub state: TaskState,
    /// Somebody has asked for its end.
    pub cancelling: bool,
    /// Units done.
    pub done: u64,
    /// Units in all; 0: not known.
    pub total: u64,
    /// Who asked for it; nobody when that came on the server's own socket.
    pub user: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What the operation answers, once it is done; only for those who may ask for the operation.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it failed.
    pub failure: Option<AppError>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A filesystem.
    Filesystem,
    /// A disk.
    Disk,
    /// A snapshot of either.
    Snapshot,
    /// A task.
    Task,
}

impl EventKind {
    /// As on wires.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Disk => "disk",
            Self::Snapshot => "snapshot",
            Self::Task => "task",
        }
    }
}

/// What happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is there now; a task has begun.
    Created,
    /// It says something else of itself; the end of a task was asked for.
    Updated,
    /// A volume is as it was at a moment.
    Restored,
    /// It is gone.
    Deleted,
    /// A task has ended.
    Ended,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventInfo {
    /// When.
    pub time: Timestamp,
    /// What it is about.
    pub kind: EventKind,
    /// What happened to it.
    pub change: Change,
    /// The name of the volume, `VOLUME@SNAPSHOT`, or the id of the task.
    pub name: String,
    /// The task, without its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskInfo>,
}
