//! Pruning: what no snapshot needs is removed, in two phases, so that running backups of any program lose nothing.
//!
//! First phase: packs of which little is needed are rewritten, and unneeded packs are marked in the index, with the time. Second phase,
//! in a later run: a marked pack is deleted when its time is over and still nothing needs it; one that is needed again is recovered.
//! Order of writing: packs, index, then old index files go, then packs. A run that ends anywhere leaves a sound repository.
//!
//! Packs are listed before snapshots are read, and the index after these, until no new snapshot turns up: so every pack of a finished backup
//! is known. Nothing is removed when anything that a snapshot needs is missing. Packs are deleted only when the caller is alone, that is
//! holds an exclusive lock; without it the first phase alone is done, beside backups with and without locks.

mod execute;
mod gather;
mod plan;

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

pub use execute::{PruneDone, prune};
pub use plan::{Amount, Decision, PrunePlan, PruneStats, plan_prune};

use crate::check::parse_bytes;
use crate::writer::BlobOptions;

/// An amount of bytes, absolute or as a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Percent, 0 to 100.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
    /// Any amount.
    Unlimited,
}

/// A text that is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of x% (5%), a size (500M) and `unlimited`")]
pub struct NotALimit {
    /// What was read instead.
    pub text: String,
}

impl FromStr for Limit {
    type Err = NotALimit;

    fn from_str(text: &str) -> Result<Self, NotALimit> {
        let wrong = || NotALimit { text: text.chars().take(80).collect() };
        let text = text.trim();
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => parse_bytes(text).map(Self::Bytes).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Unlimited => f.pad("unlimited"),
        }
    }
}

impl Limit {
    /// Bytes that may stay unused beside `used` ones; a share is one of both together.
    fn beside(self, used: u64) -> u64 {
        match self {
            Self::Percent(percent) if percent < 100.0 => {
                (used as f64 * percent / (100.0 - percent)) as u64
            }
            Self::Percent(_) | Self::Unlimited => u64::MAX,
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Bytes out of `total`.
    fn of(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => (total as f64 * percent / 100.0) as u64,
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }
}

/// How is pruned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PruneOptions {
    /// What may stay unused in packs that are partly used.
    pub max_unused: Limit,
    /// What is rewritten at most.
    pub max_repack: Limit,
    /// How long a marked pack waits: longer than the longest backup.
    pub keep_delete: SignedDuration,
    /// Compresses packs from before compression. Data that do not shrink are written again each time.
    pub repack_uncompressed: bool,
    /// Deletes without marking first. Only when alone, and when no program without locks writes to the repository.
    pub instant_delete: bool,
    /// The caller holds an exclusive lock. Otherwise nothing is deleted.
    pub alone: bool,
    /// How blobs are written when they are compressed anew.
    pub blobs: BlobOptions,
    /// Threads; 0: as many as processors.
    pub threads: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: Limit::Percent(5.0),
            max_repack: Limit::Unlimited,
            keep_delete: SignedDuration::from_hours(23),
            repack_uncompressed: false,
            instant_delete: false,
            alone: false,
            blobs: BlobOptions::default(),
            threads: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_reckoned() {
        let limit = |text: &str| text.parse::<Limit>().ok();
        assert_eq!(limit("5%"), Some(Limit::Percent(5.0)));
        assert_eq!(limit("3k"), Some(Limit::Bytes(3072)));
        assert_eq!(limit("unlimited"), Some(Limit::Unlimited));
        assert_eq!((limit("101%"), limit("x"), limit("-1%")), (None, None, None));
        assert_eq!(Limit::Percent(5.0).beside(950), 50);
        assert_eq!(Limit::Percent(100.0).beside(1), u64::MAX);
        assert_eq!((Limit::Percent(10.0).of(50), Limit::Bytes(7).of(50)), (5, 7));
    }
}
