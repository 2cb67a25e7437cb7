//! Checks a filesystem: every name, count, block map and mark against all others.
//!
//! One ordered pass compares what lies at one inode, in groups of bounded size. What connects
//! inodes - names and back references - is compared by sums, and only where those differ a second
//! pass looks closely. Memory: one group, the sums, and two numbers per directory.

mod group;
mod log;
mod loops;
mod names;
mod quotas;
mod repair;
mod sums;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::keys::{self, ROOT_INO};
use crate::paths;
use crate::reading;
use crate::superblock::Super;
use group::Group;
use log::{Fix, Log};
use quotas::Counted;
use std::ops::ControlFlow;
use sums::Sums;
use tintype_store::{Key, Moment, MomentRef, Store};

/// Inodes of one group, at most.
const GROUP: usize = 4096;
/// Behind every key in use.
const LAST: Key = Key::new(u8::MAX, u64::MAX, u64::MAX);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProblem {
    /// The inode it is about; none when it is about the filesystem.
    pub ino: Option<u64>,
    /// A path of that inode from the root, without a leading slash, if one can be found.
    pub path: Option<Vec<u8>>,
    /// What is wrong, in a sentence without a subject.
    pub what: String,
    /// Whether a repair can put it right without losing anything.
    pub repairable: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Inodes, nameless ones included.
    pub inodes: u64,
    /// Names in directories.
    pub names: u64,
    /// Blocks of 4 KiB in files, reserved ones included.
    pub blocks: u64,
    /// The problems; at most 1,000 are listed.
    pub problems: Vec<CheckProblem>,
    /// How many there are.
    pub problem_count: u64,
}

/// Checks one instant of a moment: it is fixed, so nothing waits meanwhile, and nothing that is written or deleted is taken
/// for damage.
///
/// # Errors
/// The moment does not exist, the store failed, it cannot decode a record, or a full disk keeps changes from being committed.
pub fn check(store: &Store, moment: MomentRef) -> Result<CheckReport> {
    let fixed = store.fix(moment, moment)?;
    let [mut still, _] = fixed.views();
    check_moment(&mut still).map(|log| log.report)
}

/// What a pass over all records counts.
#[derive(Default)]
struct Totals {
    last_ino: u64,
    root: bool,
    /// Directories and their parents, ascending.
    dirs: Vec<(u64, u64)>,
    /// Who is counted by which quota.
    counted: Counted,
}

/// Checks any moment; whoever calls keeps it still meanwhile.
fn check_moment(m: &mut dyn Moment) -> Result<Log> {
    let mut log = Log::default();
    let Some(sup) = reading::superblock(m)? else {
        // A volume that was never opened holds nothing at all.
        m.scan(keys::inode(0), LAST, &mut |_, _| {
            log.problem(None, "has no record about itself", None);
            ControlFlow::Break(())
        })?;
        return Ok(log);
    };
    let mut sums = Sums::default();
    let mut totals = Totals { counted: Counted::new(sup.quotas > 0), ..Totals::default() };
    let mut from = 0;
    loop {
        let mut group = Group::load(m, from, sup.seed, &mut log)?;
        group.collect(m, &mut sums, &mut log)?;
        let end = group.end;
        group.settle(&mut sums, &mut totals, &mut log);
        match end {
            Some(end) => from = end,
            None => break,
        }
    }
    check_strangers(m, &mut log)?;
    check_totals(&sup, &totals, &mut log);
    quotas::check(m, &totals.counted, &sup, &mut log)?;
    loops::check(&totals.dirs, &mut log);
    names::check(m, &sums, &mut log)?;
    find_paths(m, &mut log);
    Ok(log)
}

fn check_totals(sup: &Super, totals: &Totals, log: &mut Log) {
    if !totals.root {
        log.problem(None, "has no root directory", None);
    }
    let found = Super {
        blocks: log.report.blocks,
        inodes: log.report.inodes,
        next_ino: sup.next_ino.max(totals.last_ino.saturating_add(1)),
        ..*sup
    };
    if found != *sup {
        let what = format!(
            "counts {} inodes and {} blocks and goes on with inode {}; there are {}, {}, and the last is {}",
            sup.inodes, sup.blocks, sup.next_ino, found.inodes, found.blocks, totals.last_ino
        );
        log.problem(None, what, Some(Fix::Counters(found)));
    }
}

/// Records of no known kind.
fn check_strangers(m: &mut dyn Moment, log: &mut Log) -> Result<()> {
    let last = Key::new(u8::MAX, u64::MAX, u64::MAX);
    for (from, to) in
        [(Key::new(0, 0, 1), Key::new(keys::INODE, 0, 0)), (Key::new(keys::QUOTA + 1, 0, 0), last)]
    {
        m.scan(from, to, &mut |key, _| {
            log.problem(None, format!("has a record {key:?} of no known kind"), None);
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

/// Damage may hide the way to the root: then the inode number has to do.
fn find_paths(m: &mut dyn Moment, log: &mut Log) {
    for problem in &mut log.report.problems {
        let Some(ino) = problem.ino.filter(|ino| *ino != ROOT_INO) else { continue };
        problem.path = paths::paths(m, ino).ok().and_then(|list| list.into_iter().next());
    }
}
