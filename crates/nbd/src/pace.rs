//! Learns which kinds of requests of a connection are slow.
//!
//! Fast requests are done where they are decoded: handing one to another thread costs more than doing it. Slow ones go
//! to other threads at once. A kind counts as slow while about a third of its requests are; a single pause of the
//! system does not make it slow.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::check::Op;

/// Longer than this is slow.
const SLOW: Duration = Duration::from_micros(200);
/// From this score on, a kind is slow.
const LENT: u8 = 6;
/// Scores end here, so that a kind becomes fast again soon.
const MOST: u8 = 12;

/// Scores of the kinds.
#[derive(Default)]
pub(crate) struct Pace {
    kinds: [AtomicU8; 4],
}

impl Pace {
    /// Whether the next of this kind is better lent to another thread.
    pub fn is_slow(&self, op: &Op) -> bool {
        self.score(op).is_some_and(|score| score.load(Ordering::Relaxed) >= LENT)
    }

    /// Learns that one took so long. Lost updates between threads do no harm.
    pub fn learn(&self, op: &Op, took: Duration) {
        let Some(score) = self.score(op) else { return };
        let old = score.load(Ordering::Relaxed);
        let new = if took > SLOW { old.saturating_add(2).min(MOST) } else { old.saturating_sub(1) };
        if new != old {
            score.store(new, Ordering::Relaxed);
        }
    }

    fn score(&self, op: &Op) -> Option<&AtomicU8> {
        let kind = match op {
            Op::Nothing | Op::NoRead => return None,
            Op::Read { .. } => 0,
            Op::Write => 1,
            Op::Flush => 2,
            Op::Trim | Op::Cache | Op::Zero(_) | Op::Status { .. } => 3,
        };
        self.kinds.get(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pause_is_no_habit() {
        let pace = Pace::default();
        let (slow, fast) = (Duration::from_millis(5), Duration::from_micros(5));
        pace.learn(&Op::Write, slow);
        pace.learn(&Op::Write, slow);
        assert!(!pace.is_slow(&Op::Write));
        pace.learn(&Op::Write, slow);
        assert!(pace.is_slow(&Op::Write) && !pace.is_slow(&Op::Flush));
        for _ in 0..6 {
            pace.learn(&Op::Write, fast);
        }
        assert!(!pace.is_slow(&Op::Write));
    }
}
