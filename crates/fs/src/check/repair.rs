//! Puts right what can be put right without losing anything.

use super::log::Fix;
use super::{CheckReport, check_moment};
use crate::edit::Edit;
use crate::error::{FsError, Result};
use crate::keys::{self, ROOT_INO};
use crate::mounted::Mounted;
use crate::state::State;
use crate::tree::Tree;
use std::ops::ControlFlow;
use std::sync::Arc;
use tintype_model::SnapshotId;
use tintype_store::{Key, LineRef, Moment, MomentRef};

/// Repairs of one operation, at most.
const TOGETHER: usize = 256;

impl Mounted {
    /// Checks the live filesystem while it is mounted. With `repair`, operations on it wait while it looks and while counts and
    /// marks are put right, and inodes that no name leads to get one in the root directory; the report tells what was found before.
    ///
    /// # Errors
    /// The store failed, or it cannot decode a record.
    pub fn check(&self, repair: bool) -> Result<CheckReport> {
        if repair { self.live.examine(true) } else { self.live.look() }
    }

    /// Checks one of the volume's snapshots, also a writable one that is in use.
    ///
    /// # Errors
    /// It does not exist, the store failed, or it cannot decode a record.
    pub fn check_snapshot(&self, snapshot: SnapshotId) -> Result<CheckReport> {
        let serves = |tree: &Arc<Tree>| tree.line == LineRef::Snapshot(snapshot);
        match self.moments.trees().into_iter().find(serves) {
            Some(tree) => tree.look(),
            None => super::check(&self.store, MomentRef::Snapshot(snapshot)),
        }
    }
}

impl Tree {
    /// Checks what it shows now, without holding anybody up if there is room to keep that.
    fn look(&self) -> Result<CheckReport> {
        let moment = match self.line {
            LineRef::Volume(id) => MomentRef::Live(id),
            LineRef::Snapshot(id) => MomentRef::Snapshot(id),
        };
        match super::check(&self.store, moment) {
            Err(FsError::Store(error)) if error.is_full() => self.examine(false),
            checked => checked,
        }
    }

    /// Checks while operations wait; what is repaired is repaired before they go on, since counts are put right to what was found.
    fn examine(&self, repair: bool) -> Result<CheckReport> {
        if repair {
            self.check()?;
            self.store.admit(false)?;
        }
        let (log, fallen) = {
            let mut state = if repair { self.state_to_change()? } else { self.state.lock() };
            state.flush_counters();
            let log = check_moment(&mut state.line)?;
            let fallen = if repair { apply(&mut state, &log.fixes)? } else { Vec::new() };
            (log, fallen)
        };
        self.tell(&fallen);
        if repair {
            self.after_repair(&log.fixes)?;
        }
        Ok(log.report)
    }

    /// What takes walks or waits of its own, and does no harm when programs change something meanwhile.
    fn after_repair(&self, fixes: &[(u64, Fix)]) -> Result<()> {
        self.store.throttle();
        for (dir, _) in fixes.iter().filter(|(_, fix)| matches!(fix, Fix::Recolor)) {
            self.recolor_below(*dir)?;
        }
        if fixes.iter().any(|(_, fix)| matches!(fix, Fix::Mark | Fix::Unmark)) {
            self.note_orphan();
        }
        Ok(())
    }
}

/// Applies all repairs - a report lists a bounded number - in operations of bounded size. Returns the inodes whose mode the kernel
/// must forget.
fn apply(state: &mut State, fixes: &[(u64, Fix)]) -> Result<Vec<u64>> {
    let mut fallen = Vec::new();
    for fixes in fixes.chunks(TOGETHER) {
        let mut edit = Edit::new(state);
        fixes.iter().try_for_each(|(ino, fix)| edit.fix(*ino, *fix))?;
        fallen.extend(edit.commit());
    }
    Ok(fallen)
}

impl Edit<'_> {
    fn fix(&mut self, ino: u64, fix: Fix) -> Result<()> {
        match fix {
            Fix::Counters(found) => {
                self.state.sup.blocks = found.blocks;
                self.state.sup.inodes = found.inodes;
                self.state.sup_dirty = true;
                self.go_on_behind(found.next_ino);
            }
            Fix::Blocks(count) => self.change(ino)?.blocks = count,
            Fix::Entries(count) => self.change(ino)?.entries = count,
            Fix::Links(count) => self.change(ino)?.nlink = count,
            Fix::FarXattrs(count) => self.change(ino)?.far_xattrs = count,
            Fix::Mark => self.make_orphan(ino)?,
            Fix::Unmark => self.end_orphan(ino)?,
            Fix::Quota(blocks, inodes) => self.state.quotas.adjust(ino, blocks, inodes),
            // A walk of its own does it: see `Tree::repair`.
            Fix::Recolor => {}
            Fix::Name => self.name_lost(ino)?,
        }
        Ok(())
    }

    /// An inode that no name leads to becomes `lost-INODE` in the root directory.
    fn name_lost(&mut self, ino: u64) -> Result<()> {
        let name = format!("lost-{ino}");
        if self.entry(ROOT_INO, name.as_bytes())?.is_some() {
            return Ok(());
        }
        let mut links: Vec<Key> = Vec::new();
        self.state.line.scan(keys::link(ino, 0), keys::link(ino + 1, 0), &mut |key, _| {
            links.push(key);
            ControlFlow::Continue(())
        })?;
        links.into_iter().for_each(|key| self.delete(key));
        let kind = self.inode(ino)?.kind();
        let hash = self.add_name(ROOT_INO, name.as_bytes(), ino, kind)?;
        let inode = self.change(ino)?;
        (inode.parent, inode.name) = (ROOT_INO, hash);
        if inode.is_dir() {
            self.change(ROOT_INO)?.nlink += 1;
        } else {
            inode.nlink = 1;
        }
        Ok(())
    }
}
