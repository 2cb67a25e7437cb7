//! Directories whose names are all known, so that absence can be told without reading.
//!
//! Only hashes are kept. A directory enters when it is made (empty) or when one scan has loaded it;
//! the oldest leave when the bound is exceeded. Losing an entry costs a read, never correctness.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Hashes in all directories together, at most.
const BOUND: usize = 2_000_000;
/// What an empty directory counts for.
const BASE: usize = 8;

/// Takes a number that is random already as its own hash.
#[derive(Clone, Copy, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A set of numbers.
pub(crate) type Numbers = HashSet<u64, BuildHasherDefault<Same>>;

#[derive(Default)]
struct Known {
    hashes: Numbers,
    used: u64,
}

/// What is known about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing: read the record.
    Unknown,
    /// It may be there: read the record.
    Present,
    /// It is not there.
    Absent,
}

/// The cache.
#[derive(Default)]
pub(crate) struct DirCache {
    dirs: HashMap<u64, Known, BuildHasherDefault<Same>>,
    total: usize,
    clock: u64,
}

impl DirCache {
    /// A directory was made: it is empty.
    pub(crate) fn made(&mut self, dir: u64) {
        self.enter(dir, Numbers::default());
    }

    /// A scan found exactly these hashes.
    pub(crate) fn loaded(&mut self, dir: u64, hashes: Numbers) {
        self.enter(dir, hashes);
    }

    fn enter(&mut self, dir: u64, hashes: Numbers) {
        self.gone(dir);
        self.clock += 1;
        self.total += hashes.len() + BASE;
        self.dirs.insert(dir, Known { hashes, used: self.clock });
        self.bound();
    }

    /// A directory was removed.
    pub(crate) fn gone(&mut self, dir: u64) {
        if let Some(known) = self.dirs.remove(&dir) {
            self.total -= known.hashes.len() + BASE;
        }
    }

    /// A name was added.
    pub(crate) fn added(&mut self, dir: u64, hash: u64) {
        if let Some(known) = self.dirs.get_mut(&dir)
            && known.hashes.insert(hash)
        {
            self.total += 1;
        }
        self.bound();
    }

    /// The last name with a hash was removed.
    pub(crate) fn removed(&mut self, dir: u64, hash: u64) {
        if let Some(known) = self.dirs.get_mut(&dir)
            && known.hashes.remove(&hash)
        {
            self.total -= 1;
        }
    }

    /// What is known about a hash.
    pub(crate) fn absence(&mut self, dir: u64, hash: u64) -> Absence {
        self.clock += 1;
        let clock = self.clock;
        match self.dirs.get_mut(&dir) {
            None => Absence::Unknown,
            Some(known) => {
                known.used = clock;
                if known.hashes.contains(&hash) { Absence::Present } else { Absence::Absent }
            }
        }
    }

    /// Lets the less recently used half go when there are too many.
    fn bound(&mut self) {
        if self.total <= BOUND {
            return;
        }
        let oldest = self.dirs.values().map(|known| known.used).min().unwrap_or(0);
        let limit = oldest + (self.clock - oldest) / 2;
        self.dirs.retain(|_, known| known.used > limit);
        self.total = self.dirs.values().map(|known| known.hashes.len() + BASE).sum();
        if self.total > BOUND {
            self.dirs.clear();
            self.total = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_known_only_for_complete_directories() {
        let mut cache = DirCache::default();
        assert_eq!(cache.absence(1, 16), Absence::Unknown);
        cache.made(1);
        assert_eq!(cache.absence(1, 16), Absence::Absent);
        cache.added(1, 16);
        assert_eq!(cache.absence(1, 16), Absence::Present);
        cache.removed(1, 16);
        assert_eq!(cache.absence(1, 16), Absence::Absent);
        cache.loaded(2, [32].into_iter().collect());
        assert_eq!(cache.absence(2, 16), Absence::Absent);
        cache.gone(2);
        assert_eq!(cache.absence(2, 16), Absence::Unknown);
    }

    #[test]
    fn the_bound_holds() {
        let mut cache = DirCache::default();
        for dir in 0..(BOUND as u64 / 4) {
            cache.made(dir);
        }
        assert!(cache.total <= BOUND);
        assert_eq!(cache.absence(BOUND as u64 / 4 - 1, 1), Absence::Absent);
    }
}
