//! Names that the kernel was told do not exist, as long as it may believe it.
//!
//! The kernel never says when it forgets such a name, so they are trusted for a minute only and kept in
//! two generations. Past a bound no further ones are handed out. Needed after a restore.

use crate::vfs::Node;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long the kernel may trust the absence of a name.
const TRUST: Duration = Duration::from_secs(60);
/// Names in one generation.
const BOUND: usize = 131_072;

type Names = HashSet<(Node, Box<[u8]>)>;

struct Generations {
    started: Instant,
    young: Names,
    old: Names,
}

/// The names.
pub(crate) struct Negatives(Mutex<Generations>);

impl Default for Negatives {
    fn default() -> Self {
        let empty = Generations { started: Instant::now(), young: Names::new(), old: Names::new() };
        Self(Mutex::new(empty))
    }
}

impl Negatives {
    /// Notes a name and answers how long the kernel may trust its absence.
    pub(crate) fn add(&self, dir: Node, name: &[u8]) -> Duration {
        let mut all = self.0.lock();
        if all.started.elapsed() >= TRUST {
            all.old = std::mem::take(&mut all.young);
            all.started = Instant::now();
        }
        if all.young.len() >= BOUND {
            return Duration::ZERO;
        }
        all.young.insert((dir, name.into()));
        TRUST
    }

    /// Takes all names.
    pub(crate) fn take(&self) -> Vec<(Node, Box<[u8]>)> {
        let mut all = self.0.lock();
        let young = std::mem::take(&mut all.young);
        let old = std::mem::take(&mut all.old);
        young.into_iter().chain(old).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_taken_once() {
        let names = Negatives::default();
        for n in 0..BOUND as u32 {
            assert_eq!(names.add(Node(1), &n.to_le_bytes()), TRUST);
        }
        assert_eq!(names.add(Node(1), b"one more"), Duration::ZERO);
        assert_eq!(names.take().len(), BOUND);
        assert!(names.take().is_empty());
    }
}
