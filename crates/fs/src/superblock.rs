//! The record about the filesystem itself: next inode number, hash seed, usage.
//!
//! It is kept in memory and written once per commit, so that no operation pays for it.

use crate::error::Result;
use crate::wire::{Reader, Writer};

/// Without quotas of directories: what older programs understand.
const PLAIN: u8 = 1;
/// With such quotas: a program that would not count them must not change the filesystem.
const COUNTED: u8 = 2;

/// What a filesystem knows about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Super {
    /// The number of the next inode; numbers are never used again.
    pub(crate) next_ino: u64,
    /// The key of all name hashes.
    pub(crate) seed: u64,
    /// Blocks of 4 KiB in files, reserved ones included.
    pub(crate) blocks: u64,
    /// Inodes, nameless ones included.
    pub(crate) inodes: u64,
    /// Records of quotas of directories.
    pub(crate) quotas: u64,
}

impl Super {
    /// The body of the record.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut w = Writer::new(32);
        w.byte(if self.quotas == 0 { PLAIN } else { COUNTED });
        w.num(self.next_ino).num(self.seed).num(self.blocks).num(self.inodes);
        if self.quotas != 0 {
            w.num(self.quotas);
        }
        w.done()
    }

    /// Reads a body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body, "filesystem");
        let counted = match r.byte()? {
            PLAIN => false,
            COUNTED => true,
            _ => return Err(r.damaged()),
        };
        let value = Self {
            next_ino: r.num()?,
            seed: r.num()?,
            blocks: r.num()?,
            inodes: r.num()?,
            quotas: if counted { r.num()? } else { 0 },
        };
        r.end()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let value = Super { next_ino: 300, seed: 5, blocks: 1, inodes: 2, quotas: 0 };
        assert_eq!(*value.encode(), [1, 0xac, 2, 5, 1, 2]);
        assert_eq!(Super::decode(&value.encode()).unwrap(), value);
        let counted = Super { quotas: 7, ..value };
        assert_eq!(*counted.encode(), [2, 0xac, 2, 5, 1, 2, 7]);
        assert_eq!(Super::decode(&counted.encode()).unwrap(), counted);
        assert!(Super::decode(&[2, 1, 1, 1, 1]).is_err());
        assert!(Super::decode(&[3, 1, 1, 1, 1, 1]).is_err());
        assert!(Super::decode(&[1, 1, 1, 1]).is_err());
    }
}
