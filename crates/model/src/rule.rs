//! Delete rules: how long a snapshot is protected.
//!
//! A rule protects only; nothing is deleted by itself because a rule has run out.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Protection of a snapshot against deletion. On wires: `"never"` or `{"after": TIME}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteRule {
    /// Protected until the rule is changed.
    Never,
    /// Protected until then.
    After(Timestamp),
}

impl DeleteRule {
    /// Is a deletion at `now` to be refused?
    pub fn protects(&self, now: Timestamp) -> bool {
        match self {
            Self::Never => true,
            Self::After(time) => now < *time,
        }
    }
}

impl fmt::Display for DeleteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.pad("never"),
            Self::After(time) => f.pad(&format!("after {time:.0}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn protection_ends() {
        let then = Timestamp::UNIX_EPOCH;
        let rule = DeleteRule::After(then);
        assert!(rule.protects(then - SignedDuration::from_nanos(1)));
        assert!(!rule.protects(then));
        assert!(DeleteRule::Never.protects(Timestamp::MAX));
    }
}
