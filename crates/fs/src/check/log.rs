//! What a check notes: problems, and how those that can be repaired are repaired.

use super::{CheckProblem, CheckReport};
use crate::superblock::Super;

/// Problems listed in full.
const LISTED: usize = 1000;

/// How a problem is put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// The filesystem's own counters.
    Counters(Super),
    /// Blocks of an inode.
    Blocks(u64),
    /// Entries of a directory.
    Entries(u64),
    /// Links of an inode.
    Links(u32),
    /// Extended attributes in records of their own.
    FarXattrs(u32),
    /// A nameless inode gets its mark, so that it goes.
    Mark,
    /// The mark of a named inode or of none goes.
    Unmark,
    /// By how many blocks and inodes the quota of a directory is wrong.
    Quota(i64, i64),
    /// Everything below a directory is counted by the quota that counts the directory.
    Recolor,
    /// An inode that no name leads to gets one in the root directory.
    Name,
}

/// Problems and repairs.
#[derive(Default)]
pub(super) struct Log {
    /// The report.
    pub(super) report: CheckReport,
    /// Repairs by inode; inode 0 stands for the filesystem.
    pub(super) fixes: Vec<(u64, Fix)>,
}

impl Log {
    /// Notes a problem.
    pub(super) fn problem(&mut self, ino: Option<u64>, what: impl Into<String>, fix: Option<Fix>) {
        self.report.problem_count += 1;
        if self.report.problems.len() >= LISTED {
            return;
        }
        let (what, repairable) = (what.into(), fix.is_some());
        self.report.problems.push(CheckProblem { ino, path: None, what, repairable });
        self.fixes.extend(fix.map(|fix| (ino.unwrap_or(0), fix)));
    }

    /// Notes a problem of an inode.
    pub(super) fn of(&mut self, ino: u64, what: impl Into<String>) {
        self.problem(Some(ino), what, None);
    }

    /// Drops link counts that rest on names which do not agree.
    pub(super) fn distrust(&mut self, ino: u64) {
        self.fixes.retain(|(own, fix)| *own != ino || !matches!(fix, Fix::Links(_)));
        for problem in self.report.problems.iter_mut().filter(|p| p.ino == Some(ino)) {
            problem.repairable = self.fixes.iter().any(|(own, _)| *own == ino);
        }
    }
}
