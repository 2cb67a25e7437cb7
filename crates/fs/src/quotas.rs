//! All quotas of a writable tree, in memory: who pays for what, in steps that do not depend on what lies below.
//!
//! They are read when the tree is opened and written with the counters, in the same commit as the changes that they count.
//! The walks that count what was there before a quota was set are in `quota_walk.rs`.

use crate::error::Result;
use crate::inode::now;
use crate::keys;
use crate::quota::{NESTED, Phase, Quota};
use crate::quota_walk::Walk;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use tintype_store::{LiveLine, Moment};

/// The present time in seconds of 1970.
pub(crate) fn seconds() -> u64 {
    u64::try_from(now().secs).unwrap_or(0)
}

/// A change of what a quota and those above it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The directory of the nearest quota.
    pub(crate) dir: u64,
    /// Blocks more or less.
    pub(crate) blocks: i64,
    /// Inodes more or less.
    pub(crate) inodes: i64,
}

/// A change of a quota itself, made when the operation is sure to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is set, or its limits change.
    Put(u64, Quota),
    /// It enters a phase, and pays together with the quota of a directory, 0 for none.
    Phase(u64, Phase, u64),
    /// It never counted anything and goes.
    Drop(u64),
}

/// The quotas of a tree by their directories.
#[derive(Default)]
pub(crate) struct Quotas {
    table: BTreeMap<u64, Quota>,
    dirty: BTreeSet<u64>,
    /// The walk that is under way.
    pub(crate) walk: Option<Walk>,
    /// A damaged record ended a walk: none begins before the tree is opened again.
    pub(crate) stuck: bool,
}

/// All quotas of a moment. A damaged one is left out: the check names it, and nothing overwrites it.
pub(crate) fn load(m: &mut dyn Moment) -> Result<BTreeMap<u64, Quota>> {
    let mut table = BTreeMap::new();
    m.scan(keys::quota(0), keys::quota(u64::MAX), &mut |key, record| {
        match Quota::decode(&record.body) {
            Ok(quota) => drop(table.insert(key.a, quota)),
            Err(error) => tracing::error!(%error, dir = key.a, "a quota does not hold"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(table)
}

impl Quotas {
    /// Reads the quotas of a line that says that it has some.
    pub(crate) fn of(line: &mut LiveLine, count: u64) -> Result<Self> {
        let table = if count == 0 { BTreeMap::new() } else { load(line)? };
        Ok(Self { table, ..Self::default() })
    }

    /// Whether there are none: then nothing of all this costs anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.table.len() as u64
    }

    /// All by directory.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Quota)> {
        self.table.iter().map(|(dir, quota)| (*dir, quota))
    }

    /// The quota of a directory.
    pub(crate) fn get(&self, dir: u64) -> Option<&Quota> {
        self.table.get(&dir)
    }

    /// Puts right what one quota counts: for repairs. By how much, since programs go on between a check and its repairs.
    pub(crate) fn adjust(&mut self, dir: u64, blocks: i64, inodes: i64) {
        if let Some(quota) = self.table.get_mut(&dir) {
            quota.count(blocks, inodes);
            quota.settle(seconds());
            self.dirty.insert(dir);
        }
    }

    /// The directories that pay together with `dir`, itself first.
    pub(crate) fn payers(&self, dir: u64) -> impl Iterator<Item = (u64, &Quota)> {
        let get = |dir: u64| self.table.get(&dir).map(|quota| (dir, quota));
        // What is unset still pays until all is handed on, so there may be more than `NESTED` for a while;
        // damage must not make this endless.
        std::iter::successors(get(dir), move |(_, quota)| get(quota.above)).take(4 * NESTED)
    }

    /// Whether blocks may come on top where `dir` pays, but not where `but` pays already.
    pub(crate) fn refuses(&self, dir: u64, but: u64, blocks: u64) -> bool {
        if dir == 0 || blocks == 0 || self.is_empty() {
            return false;
        }
        let before: Vec<u64> = self.payers(but).map(|(dir, _)| dir).collect();
        let now = seconds();
        self.payers(dir).any(|(dir, quota)| !before.contains(&dir) && quota.refuses(blocks, now))
    }

    /// All blocks and free blocks that the quotas around `dir` leave of what there is.
    pub(crate) fn room(&self, dir: u64, mut there: (u64, u64)) -> (u64, u64) {
        for (total, free) in self.payers(dir).filter_map(|(_, quota)| quota.room()) {
            there = (there.0.min(total), there.1.min(free));
        }
        there
    }

    /// Takes in what an operation changes. A quota that counts nothing any more is forgotten: its directory counts too.
    pub(crate) fn apply(&mut self, notes: Vec<Note>, charges: &[Charge]) {
        let mut touched = BTreeSet::new();
        for note in notes {
            touched.insert(self.take(note));
        }
        for charge in charges {
            let mut next = charge.dir;
            for _ in 0..4 * NESTED {
                let Some(quota) = self.table.get_mut(&next) else { break };
                quota.count(charge.blocks, charge.inodes);
                touched.insert(next);
                next = quota.above;
            }
        }
        let now = if touched.is_empty() { 0 } else { seconds() };
        for dir in touched {
            self.dirty.insert(dir);
            if let Some(quota) = self.table.get_mut(&dir) {
                quota.settle(now);
                if quota.inodes == 0 && quota.phase != Phase::Waiting {
                    self.table.remove(&dir);
                }
            }
        }
    }

    fn take(&mut self, note: Note) -> u64 {
        match note {
            Note::Put(dir, quota) => {
                self.table.insert(dir, quota);
                dir
            }
            Note::Phase(dir, phase, above) => {
                if let Some(quota) = self.table.get_mut(&dir) {
                    (quota.phase, quota.above) = (phase, above);
                }
                dir
            }
            Note::Drop(dir) => {
                self.table.remove(&dir);
                dir
            }
        }
    }

    /// Writes what changed.
    pub(crate) fn flush(&mut self, line: &mut LiveLine) -> Result<()> {
        while let Some(dir) = self.dirty.first().copied() {
            let key = keys::quota(dir);
            let known = line.get(key)?.is_some();
            match self.table.get(&dir) {
                Some(quota) => line.put(key, quota.encode(), Box::default()),
                None if known => line.delete(key),
                None => {}
            }
            self.dirty.remove(&dir);
        }
        Ok(())
    }

    /// The next quota whose walk is due: one that was begun goes first, for walks do not overlap.
    pub(crate) fn due(&self) -> Option<u64> {
        if self.stuck {
            return None;
        }
        let begun = |phase| matches!(phase, Phase::Counting | Phase::Removing);
        let asked = |phase| matches!(phase, Phase::Waiting | Phase::Ending);
        let first = |which: &dyn Fn(Phase) -> bool| {
            self.iter().find(|(_, quota)| which(quota.phase)).map(|(dir, _)| dir)
        };
        first(&begun).or_else(|| first(&asked))
    }

    /// Has the walk look at an inode that moved while it went on.
    pub(crate) fn look_again(&mut self, ino: u64) {
        if let Some(walk) = &mut self.walk {
            walk.visit(ino);
        }
    }
}
