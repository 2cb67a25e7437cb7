//! What nameless inodes still map that are being removed in steps.
//!
//! A large file goes in many steps, over seconds. Nobody can reach it any more, so its blocks count for no limit from the first step
//! on. The counters on disk hold them until they are unmapped; after a crash this is found again from the marks.

use std::collections::HashMap;

/// The inodes and their blocks.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    files: HashMap<u64, u64>,
    blocks: u64,
}

impl Leaving {
    /// An inode still maps so many blocks; 0: it is gone.
    pub(crate) fn note(&mut self, ino: u64, blocks: u64) {
        let old =
            if blocks == 0 { self.files.remove(&ino) } else { self.files.insert(ino, blocks) };
        self.blocks = self.blocks.saturating_sub(old.unwrap_or(0)).saturating_add(blocks);
    }

    /// Blocks of all of them.
    pub(crate) const fn blocks(&self) -> u64 {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_inode_counts_with_what_it_maps_last() {
        let mut leaving = Leaving::default();
        leaving.note(1, 100);
        leaving.note(2, 10);
        leaving.note(1, 40);
        assert_eq!(leaving.blocks(), 50);
        leaving.note(1, 0);
        leaving.note(3, 0);
        assert_eq!(leaving.blocks(), 10);
    }
}
