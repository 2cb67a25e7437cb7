//! How many snapshots a store accepts by default.
//!
//! The rule: `read_only + writable <= 24,576` and `read_only + 2 x writable <= 28,672`, over all
//! filesystems of a store. The published figures behind it also count a live filesystem as a writable snapshot, which
//! would make "24,576 read-only" impossible; here only snapshots count, so that both published extremes
//! (24,576 read-only, 14,336 writable) are exact. The engine itself holds far more: the rule is a setting.

use serde::{Deserialize, Serialize};

/// The two bounds of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLimits {
    /// Bound of `read_only + writable`.
    pub total: u64,
    /// Bound of `read_only + 2 x writable`.
    pub weighted: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { total: 24_576, weighted: 28_672 }
    }
}

impl SnapshotLimits {
    /// No bounds.
    pub const NONE: Self = Self { total: u64::MAX, weighted: u64::MAX };

    /// Do this many snapshots keep the rule?
    pub fn allow(&self, read_only: u64, writable: u64) -> bool {
        let total = read_only.saturating_add(writable);
        total <= self.total && total.saturating_add(writable) <= self.weighted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_points_are_the_edge() {
        let limits = SnapshotLimits::default();
        for (r, w) in [(24_576, 0), (0, 14_336), (20_480, 4_096), (12_288, 8_192)] {
            assert!(limits.allow(r, w));
            assert!(!limits.allow(r + 1, w));
            assert!(!limits.allow(r, w + 1));
        }
        assert!(SnapshotLimits::NONE.allow(150_000, 150_000));
    }
}
