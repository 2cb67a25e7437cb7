//! How values of the model that are text on the wire are described to clients.
//!
//! The model knows no wire, so the descriptions stand here: a field of a record names one of these as its `value_type`. They say
//! what a client may send; the model's own checks decide.

use jiff::Timestamp;
use utoipa::ToSchema;

/// 1 to 255 bytes of UTF-8 without `/`, `@`, control characters, or white space at either end; not `.` or `..`.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = "^[^/@]+$", example = "home")]
pub struct VolumeName(pub String);

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
