//! How values of the model that are text on the wire are described to clients.
//!
//! The model knows no wire, so the descriptions stand here: a field of a record names one of these as its `value_type`. They say
//! what a client may send; the model's own checks decide.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// 1 to 255 bytes of UTF-8 without `/`, `@`, control characters, or white space at either end; not `.` or `..`.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = "^[^/@]+$", example = "home")]
pub struct VolumeName(pub String);

/// What a volume is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A POSIX tree.
    Filesystem,
    /// A block device.
    Disk,
}

/// As the name of a volume.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = "^[^/@]+$", example = "before-upgrade")]
pub struct SnapshotName(pub String);

/// A directory under `.snapshots`: as the name of a snapshot, and `@` is allowed.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 255,
    pattern = "^[^/]+$",
    example = "@GMT-2026.01.01-00.00.00"
)]
pub struct AccessPoint(pub String);

/// `VOLUME@SNAPSHOT`.
#[derive(ToSchema)]
#[schema(
    min_length = 3,
    max_length = 511,
    pattern = "^[^/@]+@[^/@]+$",
    example = "home@before-upgrade"
)]
pub struct SnapshotRef(pub String);

/// `VOLUME` as it is now, or `VOLUME@SNAPSHOT`.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 511, pattern = "^[^/@]+(@[^/@]+)?$", example = "home")]
pub struct MomentName(pub String);

/// Words of 1 to 255 bytes without commas and control characters; answers have them sorted.
#[derive(ToSchema)]
pub struct Tags(pub Vec<String>);

/// `off`, `lz4`, `zstd` or `zstd:LEVEL` with a level from 1 to 22.
#[derive(ToSchema)]
#[schema(pattern = "^(off|lz4|zstd(:[0-9]+)?)$", example = "lz4")]
pub struct Compression(pub String);

/// A length of time: numbers with `s`, `min`, `h`, `d`, `w` or `y` behind them, perhaps several.
#[derive(ToSchema)]
#[schema(pattern = "^([0-9]+(s|min|h|d|w|y))+$", example = "30d")]
pub struct Span(pub String);

/// Protection of a snapshot against deletion: `"never"` or `{"after": TIME}`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum DeleteRule {
    /// Protected until the rule is changed.
    Never,
    /// Protected until then.
    After(Timestamp),
}

/// Protection as it is asked for: `"never"`, `{"after": TIME}` or `{"after-span": "30d"}`.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum DeleteWish {
    /// For ever.
    Never,
    /// Until this time.
    After(Timestamp),
    /// This long from now.
    AfterSpan(Span),
}

/// 1 to 64 letters, digits, `-`, `_` and `.`, not starting with `.` or `-`.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
    example = "office"
)]
pub struct PolicyName(pub String);

/// A class of schedules.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Class {
    /// Every so many minutes.
    Periodic,
    /// As a cron line says.
    Cron,
    /// Each hour, or some of them.
    Hourly,
    /// Each day, or some of them.
    Daily,
    /// On days of the week.
    Weekly,
    /// On days of the month.
    Monthly,
}

/// What a snapshot says about a policy that it was made for.
#[derive(ToSchema)]
pub struct Mark {
    /// The policy.
    pub policy: PolicyName,
    /// The class that it counts for.
    pub class: Class,
    /// When it was due.
    pub due: Timestamp,
}

/// A policy as a document; docs/policies.md describes it. Members that nobody knows are refused.
#[derive(ToSchema)]
pub struct PolicyDocument {
    /// Its name.
    pub name: PolicyName,
    /// For people.
    #[schema(required = false)]
    pub description: String,
    /// Does it make snapshots? Yes, when absent.
    #[schema(required = false)]
    pub enabled: bool,
    /// The zone whose wall clock counts; the one of the machine when absent.
    pub time_zone: Option<String>,
    /// How its snapshots are named.
    #[schema(required = false, example = "{policy}-{class}.{time}")]
    pub name_pattern: String,
    /// Nothing is made when nothing has changed.
    #[schema(required = false)]
    pub skip_unchanged: bool,
    /// Keep rules, as those of backups: a count, `all` or a length of time each.
    #[schema(required = false)]
    pub keep: BTreeMap<String, Words>,
    /// To be attached to these; only when it is made.
    #[schema(required = false)]
    pub volumes: Vec<VolumeName>,
    /// Each hour, or some of them.
    pub hourly: Option<ScheduleDocument>,
    /// Each day, or some of them.
    pub daily: Option<ScheduleDocument>,
    /// On days of the week.
    pub weekly: Option<ScheduleDocument>,
    /// On days of the month.
    pub monthly: Option<ScheduleDocument>,
    /// Every so many minutes.
    pub periodic: Option<ScheduleDocument>,
    /// As a cron line says.
    pub cron: Option<ScheduleDocument>,
}

/// When a class is due, and how long its snapshots stay. Which members a class has says docs/policies.md.
#[derive(ToSchema)]
pub struct ScheduleDocument {
    /// Does it make snapshots? Yes, when absent.
    pub enable: Option<bool>,
    /// Days of the week or of the month.
    pub days: Option<Words>,
    /// Months.
    pub months: Option<Words>,
    /// Hours.
    pub hours: Option<Words>,
    /// Minutes behind the hour.
    #[schema(rename = "minuteOffset", maximum = 59)]
    pub minute_offset: Option<u8>,
    /// `HH:MM`.
    pub time: Option<String>,
    /// `HH:MM`.
    pub start_time: Option<String>,
    /// `HH:MM`.
    pub end_time: Option<String>,
    /// Minutes.
    #[schema(minimum = 1, maximum = 1440)]
    pub interval: Option<u16>,
    /// Minute, hour, day, month and weekday.
    pub line: Option<String>,
    /// How many of its snapshots stay.
    #[schema(minimum = 1)]
    pub retention: Option<u32>,
    /// How long they stay.
    pub retention_age: Option<Span>,
    /// Remembered; nothing is uploaded.
    pub upload: Option<String>,
}

/// Words or numbers, also several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Words {
    /// As text: `mon-fri`, `1, 15`, `all`.
    Text(String),
    /// One number.
    Number(u32),
    /// Each by itself.
    #[schema(no_recursion)]
    Many(Vec<Words>),
}
