//! What can be wrong with a value that somebody typed.
//!
//! Every variant names the text it refuses and says what would be accepted.

use thiserror::Error;

/// A text that is not the value it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A name breaks a rule of `names`.
    #[error("{kind} name {name:?}: {why}")]
    Name {
        /// "filesystem", "snapshot" or "access point".
        kind: &'static str,
        /// As typed.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A snapshot was expected, but there is no `@`.
    #[error("{text:?} does not name a snapshot: write FS@NAME, for example home@before-upgrade")]
    NoSnapshot {
        /// As typed.
        text: String,
    },
    /// Not a size.
    #[error("{text:?} is not a size: write a number and a unit, for example 4096, 10G or 1.5TiB")]
    Size {
        /// As typed.
        text: String,
    },
    /// Not a duration.
    #[error(
        "{text:?} is not a duration: write numbers with units s, min, h, d, w or y, for example 30d or 1d12h"
    )]
    Span {
        /// As typed.
        text: String,
    },
    /// Not a compression.
    #[error("{text:?} is not a compression: write off, lz4, zstd or zstd:LEVEL with LEVEL 1 to 22")]
    Compression {
        /// As typed.
        text: String,
    },
    /// A tag breaks a rule of `tags`.
    #[error(
        "tag {text:?} is empty, longer than 255 bytes, or holds a comma or a control character"
    )]
    Tag {
        /// As typed.
        text: String,
    },
    /// Not a point in time.
    #[error("{text:?} is not a time: write 2026-11-21, 2026-11-21T10:30:00Z or an age such as 30d")]
    Time {
        /// As typed.
        text: String,
    },
}
