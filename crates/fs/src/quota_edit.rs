//! Quotas inside an edit: who pays for an inode, and what may move between those who pay.
//!
//! An inode names the nearest directory with a quota above it, a directory with a quota itself. A file with several names counts
//! where its first name is. While a walk goes on, a part of a tree still names the quota that counted it before;
//! what meets that part is left to the walk, which is told.

use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::limits::Need;
use crate::tree::Tree;

impl Edit<'_> {
    /// Refuses a need of a file that quotas, the capacity or the disk have no room for.
    pub(crate) fn check_growth(&mut self, tree: &Tree, ino: u64, need: Need) -> Result<()> {
        let quota = self.inode(ino)?.quota;
        if self.state.quotas.refuses(quota, 0, need.grow) {
            return refuse(libc::EDQUOT);
        }
        Ok(tree.limits.check(self.state.live(), need)?)
    }

    /// Has the quota of `to` count an inode from now on.
    pub(crate) fn recolor(&mut self, ino: u64, to: u64) -> Result<()> {
        let inode = self.inode(ino)?;
        let (from, blocks) = (inode.quota, inode.blocks as i64);
        if from != to {
            self.change(ino)?.quota = to;
            self.charge(from, -blocks, -1);
            self.charge(to, blocks, 1);
        }
        Ok(())
    }

    /// Whose quota counts an inode on behalf of the directory above it.
    fn counted_by(&mut self, ino: u64) -> Result<u64> {
        let quota = self.inode(ino)?.quota;
        if quota == ino {
            return Ok(self.state.quotas.get(ino).map_or(0, |quota| quota.above));
        }
        Ok(quota)
    }

    /// Has another quota count an inode that moves there, if there is room for it.
    fn hand_over(&mut self, ino: u64, to: u64) -> Result<()> {
        let inode = self.inode(ino)?;
        let (from, blocks) = (inode.quota, inode.blocks);
        if self.state.quotas.refuses(to, from, blocks) {
            return refuse(libc::EDQUOT);
        }
        self.recolor(ino, to)
    }

    /// A name moves between directories. What cannot be handed over in one step gets `EXDEV`, so that programs copy it: directories
    /// that are not empty or have a quota, and files with further names.
    pub(crate) fn cross_quotas(&mut self, ino: u64, from: u64, to: u64) -> Result<()> {
        if self.state.quotas.is_empty() {
            return Ok(());
        }
        let (before, after) = (self.inode(from)?.quota, self.inode(to)?.quota);
        let own = self.counted_by(ino)?;
        if own == after {
            return Ok(());
        }
        let inode = self.inode(ino)?;
        let whole = if inode.is_dir() {
            inode.entries == 0 && inode.quota != ino
        } else {
            inode.nlink == 1
        };
        match (before == after, whole) {
            // A walk has not come here yet.
            (true, true) => self.recolor(ino, after),
            (true, false) => {
                self.state.quotas.look_again(ino);
                Ok(())
            }
            (false, true) => self.hand_over(ino, after),
            (false, false) => refuse(libc::EXDEV),
        }
    }

    /// A file gets a further name in `dir`, or its first one: names of one file stay under one quota.
    pub(crate) fn check_link_quota(&mut self, ino: u64, dir: u64) -> Result<()> {
        if self.state.quotas.is_empty() {
            return Ok(());
        }
        let there = self.inode(dir)?.quota;
        let first = self.inode(ino)?.parent;
        match first {
            0 => self.hand_over(ino, there),
            _ if self.inode(first)?.quota == there => Ok(()),
            _ => refuse(libc::EXDEV),
        }
    }

    /// A file lost a name and has others: it counts where its first one is now.
    pub(crate) fn follow_first_name(&mut self, ino: u64) -> Result<()> {
        if self.state.quotas.is_empty() {
            return Ok(());
        }
        match self.inode(ino)?.parent {
            0 => Ok(()),
            first => {
                let there = self.inode(first)?.quota;
                self.recolor(ino, there)
            }
        }
    }
}
