//! Which inodes and which spans of files may differ: kept as bits, so that a million of them take few megabytes.
//!
//! Every change of a name also changes the inode that it stands for (its links, its first name, its change time), so names need not be
//! remembered: they are compared inode by inode.

use super::CHUNK;
use crate::error::Result;
use crate::keys;
use std::collections::BTreeMap;
use tintype_store::{Fixed, Key, stop};

/// Bits of one word.
const WORD: u64 = 64;

/// What may differ between two moments.
#[derive(Default)]
pub struct Changed {
    /// By inode number divided by 64.
    inodes: BTreeMap<u64, u64>,
    /// By inode and number of the span divided by 64.
    spans: BTreeMap<(u64, u64), u64>,
    count: u64,
}

impl Changed {
    /// Reads the lists of a comparison.
    ///
    /// # Errors
    /// The two moments share no history, or the store failed.
    pub fn read(fixed: &Fixed<'_>) -> Result<Self> {
        let mut changed = Self::default();
        fixed.visit_touched(&mut |key| changed.note(key))?;
        stop::check()?;
        changed.count = changed.inodes.values().map(|word| u64::from(word.count_ones())).sum();
        Ok(changed)
    }

    fn note(&mut self, key: Key) {
        if [keys::INODE, keys::SPAN, keys::XATTR, keys::LINK].contains(&key.kind) {
            *self.inodes.entry(key.a / WORD).or_default() |= 1 << (key.a % WORD);
        }
        if key.kind == keys::SPAN {
            *self.spans.entry((key.a, key.b / WORD)).or_default() |= 1 << (key.b % WORD);
        }
    }

    /// How many inodes may differ.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that this takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        // Keys and values, and what a tree keeps beside them.
        (self.inodes.len() * 24 + self.spans.len() * 36) as u64
    }

    /// Ranges of inode numbers that together hold all of them, each about the same share: from the first on, below the second.
    #[must_use]
    pub fn parts(&self, wanted: usize) -> Vec<(u64, u64)> {
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX).clamp(1, self.count.max(1));
        let share = self.count.div_ceil(wanted).max(1);
        let (mut parts, mut from, mut held) = (Vec::new(), 0, 0);
        for ino in self.inodes.iter().flat_map(numbers) {
            held += 1;
            if held == share {
                parts.push((from, ino + 1));
                (from, held) = (ino + 1, 0);
            }
        }
        match parts.last_mut() {
            Some(last) if held == 0 => last.1 = u64::MAX,
            _ => parts.push((from, u64::MAX)),
        }
        parts
    }

    /// The next few that may differ.
    pub(super) fn chunk(&self, from: u64, below: u64) -> Vec<u64> {
        let all = self.inodes.range(from / WORD..).flat_map(numbers);
        let all = all.skip_while(|ino| *ino < from).take_while(|ino| *ino < below);
        all.take(CHUNK).collect()
    }

    /// The records of block maps behind the first span of a file that may differ.
    pub(super) fn spans(&self, ino: u64) -> Vec<Key> {
        let words = self.spans.range((ino, 0)..=(ino, u64::MAX));
        let all = words.flat_map(|((_, word), bits)| numbers((word, bits)));
        all.map(|number| keys::span(ino, number)).collect()
    }
}

/// The numbers whose bits are set in a word.
fn numbers((word, bits): (&u64, &u64)) -> impl Iterator<Item = u64> + use<> {
    let (first, bits) = (word * WORD, *bits);
    (0..WORD).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| first + bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let mut changed = Changed::default();
        let all: Vec<u64> = (1..5_000).filter(|n| n % 7 != 0 || *n > 4_000).collect();
        all.iter().for_each(|ino| changed.note(keys::inode(*ino)));
        changed.note(keys::span(9, 3));
        changed.note(keys::span(9, 200));
        changed.count = all.len() as u64;
        for wanted in [1, 2, 4, 7, 1_000] {
            let parts = changed.parts(wanted);
            assert!(parts.len() <= wanted && parts.len() * 2 >= wanted, "{wanted}");
            let mut found = Vec::new();
            for (from, below) in parts {
                let mut at = from;
                loop {
                    let chunk = changed.chunk(at, below);
                    let Some(last) = chunk.last() else { break };
                    at = last + 1;
                    found.extend(chunk);
                }
            }
            assert_eq!(found, all, "{wanted}");
        }
        assert_eq!(changed.spans(9), [keys::span(9, 3), keys::span(9, 200)]);
        assert_eq!(Changed::default().parts(4), [(0, u64::MAX)]);
    }
}
