//! Sums over names and over back references: equal where both tell the same.
//!
//! Every name adds a number made of inode, directory, hash and type; every back reference takes
//! the same number away. Inodes share sums, so that memory is bounded.

use xxhash_rust::xxh3::xxh3_64;

const BITS: u32 = 16;

/// A connection between a directory and an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tie {
    /// The directory.
    pub(super) dir: u64,
    /// The hash of the name.
    pub(super) hash: u64,
    /// Type bits of the inode.
    pub(super) kind: u32,
}

/// The sums.
pub(super) struct Sums(Vec<u64>);

impl Default for Sums {
    fn default() -> Self {
        Self(vec![0; 1 << BITS])
    }
}

fn number(ino: u64, tie: Tie) -> u64 {
    let [a, b, c, d] = [ino, tie.dir, tie.hash, tie.kind.into()].map(u64::to_le_bytes);
    xxh3_64(&[a, b, c, d].concat())
}

impl Sums {
    /// The place of an inode's sum.
    pub(super) fn place(ino: u64) -> usize {
        (xxh3_64(&ino.to_le_bytes()) >> (64 - BITS)) as usize
    }

    /// A name leads to an inode.
    pub(super) fn name(&mut self, ino: u64, tie: Tie) {
        if let Some(sum) = self.0.get_mut(Self::place(ino)) {
            *sum = sum.wrapping_add(number(ino, tie));
        }
    }

    /// An inode knows a name.
    pub(super) fn back(&mut self, ino: u64, tie: Tie) {
        if let Some(sum) = self.0.get_mut(Self::place(ino)) {
            *sum = sum.wrapping_sub(number(ino, tie));
        }
    }

    /// Places where names and back references differ.
    pub(super) fn differing(&self) -> Vec<usize> {
        let differ = self.0.iter().enumerate().filter(|(_, sum)| **sum != 0);
        differ.map(|(place, _)| place).collect()
    }
}
