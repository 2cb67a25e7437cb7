//! Whether quotas count what names them, and whether what names them lies below their directories.
//!
//! While a walk goes on, a part of a tree rightly names the quota before: then only the sums are compared.

use super::log::{Fix, Log};
use crate::error::Result;
use crate::inode::Inode;
use crate::keys::{self, ROOT_INO};
use crate::quota::{Phase, Quota};
use crate::superblock::Super;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tintype_store::Moment;

/// Quotas around one another that are followed, at most.
const DEEP: usize = 16;

/// What a pass over all inodes tells of quotas. Without quotas it keeps nothing but names of quotas that should not be.
#[derive(Default)]
pub(super) struct Counted {
    any: bool,
    /// Blocks and inodes that name a quota themselves.
    own: BTreeMap<u64, (u64, u64)>,
    /// Who counts each directory, where somebody does.
    dirs: BTreeMap<u64, u64>,
    /// For each directory and each quota that counts something in it, one such thing; 0 stands for no quota.
    homes: BTreeMap<(u64, u64), u64>,
}

impl Counted {
    /// Nothing was seen yet; `any` says whether the filesystem has quotas.
    pub(super) fn new(any: bool) -> Self {
        Self { any, ..Self::default() }
    }

    /// An inode with `mapped` blocks.
    pub(super) fn add(&mut self, ino: u64, inode: &Inode, mapped: u64) {
        if inode.quota != 0 {
            let own = self.own.entry(inode.quota).or_default();
            *own = (own.0.saturating_add(mapped), own.1 + 1);
        }
        if !self.any {
            return;
        }
        if inode.is_dir() && inode.quota != 0 {
            self.dirs.insert(ino, inode.quota);
        }
        let begins = inode.is_dir() && inode.quota == ino;
        if ino != ROOT_INO && inode.parent != 0 && inode.nlink > 0 && !begins {
            self.homes.entry((inode.parent, inode.quota)).or_insert(ino);
        }
    }
}

/// Compares with the quotas of the moment.
pub(super) fn check(m: &mut dyn Moment, seen: &Counted, sup: &Super, log: &mut Log) -> Result<()> {
    let table = read(m, log)?;
    if table.len() as u64 != sup.quotas {
        let what = format!("counts {} quotas; there are {}", sup.quotas, table.len());
        log.problem(None, what, None);
    }
    check_sums(&table, seen, log);
    let walking = |quota: &Quota| matches!(quota.phase, Phase::Counting | Phase::Removing);
    if !table.values().any(walking) {
        check_homes(seen, log);
    }
    Ok(())
}

fn read(m: &mut dyn Moment, log: &mut Log) -> Result<BTreeMap<u64, Quota>> {
    let mut table = BTreeMap::new();
    m.scan(keys::quota(0), keys::quota(u64::MAX), &mut |key, record| {
        match Quota::decode(&record.body) {
            Ok(quota) if key.b == 0 => drop(table.insert(key.a, quota)),
            _ => log.of(key.a, "has a damaged quota"),
        }
        ControlFlow::Continue(())
    })?;
    Ok(table)
}

fn check_sums(table: &BTreeMap<u64, Quota>, seen: &Counted, log: &mut Log) {
    let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (dir, (blocks, inodes)) in &seen.own {
        if !table.contains_key(dir) {
            log.of(*dir, "has no quota, but something says that it is counted there");
        }
        let mut next = *dir;
        for _ in 0..DEEP {
            let Some(quota) = table.get(&next) else { break };
            let sum = sums.entry(next).or_default();
            *sum = (sum.0.saturating_add(*blocks), sum.1.saturating_add(*inodes));
            next = quota.above;
        }
    }
    for (dir, quota) in table {
        let (blocks, inodes) = sums.get(dir).copied().unwrap_or_default();
        if (blocks, inodes) != (quota.blocks, quota.inodes) {
            let what = format!(
                "has a quota that counts {} blocks and {} inodes, not {blocks} and {inodes}",
                quota.blocks, quota.inodes
            );
            let by = |new: u64, old: u64| new.wrapping_sub(old).cast_signed();
            let fix = Fix::Quota(by(blocks, quota.blocks), by(inodes, quota.inodes));
            log.problem(Some(*dir), what, Some(fix));
        }
    }
}

fn check_homes(seen: &Counted, log: &mut Log) {
    for ((dir, quota), ino) in &seen.homes {
        if seen.dirs.get(dir).copied().unwrap_or(0) != *quota {
            let what = format!("holds inode {ino}, which the quota of another directory counts");
            log.problem(Some(*dir), what, Some(Fix::Recolor));
        }
    }
}
