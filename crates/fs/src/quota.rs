//! The quota of one directory: its limits, what it counts, and the record that keeps it. Pure: the time is passed in.
//!
//! It counts blocks of 4 KiB that files below the directory map or reserve, each file once, as the volume's quota does.
//! What snapshots hold does not count. Which inodes it counts is written in the inodes (`Inode::quota`).

use crate::error::Result;
use crate::read::BYTES;
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;
/// Quotas around one file, at most.
pub(crate) const NESTED: usize = 4;
/// Longest text about an owner, in bytes.
pub const OWNER_MAX: usize = 48;

/// The limits of a directory, as they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes that are never passed.
    pub hard: Option<u64>,
    /// Bytes that may be passed for the time of grace.
    pub soft: Option<u64>,
    /// Seconds after which the soft limit holds like the hard one; without it the soft limit only warns.
    pub grace: Option<u64>,
    /// Whom it belongs to: free text, at most [`OWNER_MAX`] bytes.
    pub owner: String,
}

/// Where a quota is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It counts everything below its directory.
    #[default]
    Active = 0,
    /// It is set, and nothing is counted yet.
    Waiting = 1,
    /// What was there when it was set is being counted.
    Counting = 2,
    /// It is unset, and nothing was handed on yet.
    Ending = 3,
    /// What it counted is being handed to the quota above.
    Removing = 4,
    /// All that has a name was handed on; what is left are files without a name that programs hold.
    Left = 5,
}

/// A quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quota {
    /// What may be used.
    pub(crate) limits: QuotaLimits,
    /// The directory of the next quota above, 0 for none.
    pub(crate) above: u64,
    /// Blocks that it counts, those of quotas below included.
    pub(crate) blocks: u64,
    /// Inodes that it counts, its own directory included.
    pub(crate) inodes: u64,
    /// Since when, in seconds of 1970, the soft limit is passed.
    pub(crate) over_since: Option<u64>,
    /// Where it is in its life.
    pub(crate) phase: Phase,
}

impl Quota {
    /// Whether somebody unset it.
    pub(crate) const fn is_unset(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Removing | Phase::Left)
    }

    /// Whether `more` blocks may not come on top.
    pub(crate) fn refuses(&self, more: u64, now: u64) -> bool {
        if self.is_unset() {
            return false;
        }
        let after = self.blocks.saturating_add(more).saturating_mul(BYTES);
        let hard = self.limits.hard.is_some_and(|hard| after > hard);
        let soft = self.limits.soft.is_some_and(|soft| after > soft);
        hard || (soft && self.limits.grace.is_some_and(|grace| self.over(now) >= grace))
    }

    /// For how many seconds the soft limit has been passed. A clock that goes back does not shorten the grace.
    fn over(&self, now: u64) -> u64 {
        now.saturating_sub(self.over_since.unwrap_or(now))
    }

    /// Counts, and takes notice of the soft limit later: see [`Quota::settle`].
    pub(crate) const fn count(&mut self, blocks: i64, inodes: i64) {
        self.blocks = self.blocks.saturating_add_signed(blocks);
        self.inodes = self.inodes.saturating_add_signed(inodes);
    }

    /// The time of grace begins when the soft limit is passed and ends when it is kept again.
    pub(crate) fn settle(&mut self, now: u64) {
        let used = self.blocks.saturating_mul(BYTES);
        let over = self.limits.soft.is_some_and(|soft| used > soft);
        self.over_since = over.then_some(self.over_since.unwrap_or(now));
    }

    /// Blocks in all and free blocks, as this quota alone allows; none without a limit.
    pub(crate) fn room(&self) -> Option<(u64, u64)> {
        if self.is_unset() {
            return None;
        }
        let total = self.limits.hard.or(self.limits.soft)? / BYTES;
        Some((total, total.saturating_sub(self.blocks)))
    }

    /// The body of the record.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut w = Writer::new(40);
        w.byte(VERSION).byte(self.phase as u8).num(self.above).num(self.blocks).num(self.inodes);
        let limits = &self.limits;
        for value in [limits.hard, limits.soft, limits.grace, self.over_since] {
            w.num(value.map_or(0, |value| value.saturating_add(1)));
        }
        w.bytes(limits.owner.as_bytes());
        w.done()
    }

    /// Reads a body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body, "quota of a directory");
        r.version(VERSION)?;
        let phase = match r.byte()? {
            0 => Phase::Active,
            1 => Phase::Waiting,
            2 => Phase::Counting,
            3 => Phase::Ending,
            4 => Phase::Removing,
            5 => Phase::Left,
            _ => return Err(r.damaged()),
        };
        let (above, blocks, inodes) = (r.num()?, r.num()?, r.num()?);
        let mut option = || -> Result<Option<u64>> { Ok(r.num()?.checked_sub(1)) };
        let (hard, soft, grace, over_since) = (option()?, option()?, option()?, option()?);
        let owner = String::from_utf8(r.bytes()?.to_vec()).map_err(|_| r.damaged())?;
        r.end()?;
        let limits = QuotaLimits { hard, soft, grace, owner };
        Ok(Self { limits, above, blocks, inodes, over_since, phase })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Quota {
        let limits = QuotaLimits {
            hard: Some(8 * BYTES),
            soft: Some(4 * BYTES),
            grace: Some(10),
            owner: "me".to_owned(),
        };
        Quota { limits, above: 300, blocks: 3, inodes: 2, ..Quota::default() }
    }

    #[test]
    fn golden() {
        let quota = Quota { over_since: Some(0), phase: Phase::Counting, ..sample() };
        let bytes = [1, 2, 0xac, 2, 3, 2, 0x81, 0x80, 2, 0x81, 0x80, 1, 11, 1, 2, b'm', b'e'];
        assert_eq!(*quota.encode(), bytes);
        assert_eq!(Quota::decode(&bytes).unwrap(), quota);
    }

    #[test]
    fn the_hard_limit_holds_at_once_and_the_soft_one_after_the_grace() {
        let mut quota = sample();
        assert!(!quota.refuses(5, 0));
        assert!(quota.refuses(6, 0));
        quota.count(2, 0);
        quota.settle(100);
        assert_eq!(quota.over_since, Some(100));
        assert!(!quota.refuses(1, 109));
        assert!(quota.refuses(1, 110));
        assert!(!quota.refuses(1, 50), "a clock that went back");
        quota.count(1, 0);
        quota.settle(105);
        assert_eq!(quota.over_since, Some(100), "the grace does not begin again");
        quota.count(-2, 0);
        quota.settle(120);
        assert_eq!(quota.over_since, None);
        quota.limits.grace = None;
        quota.count(3, 0);
        quota.settle(0);
        assert!(!quota.refuses(1, u64::MAX), "without a grace it only warns");
    }

    #[test]
    fn what_is_unset_limits_nothing() {
        let quota = Quota { phase: Phase::Ending, ..sample() };
        assert!(!quota.refuses(100, 0));
        assert_eq!(quota.room(), None);
        assert_eq!(sample().room(), Some((8, 5)));
    }

    proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>) {
            let _ = Quota::decode(&body);
        }
    }
}
