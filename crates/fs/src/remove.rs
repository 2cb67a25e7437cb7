//! Removing names, and what becomes of inodes that lost their last one.
//!
//! A nameless inode is marked; it goes when the kernel holds it no more, large ones in bounded
//! steps; what it maps counts for no limit from the first of them on. Marks that a crash left behind are found at the next mount.

use crate::create::check_parent;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, now};
use crate::keys;
use crate::reading;
use crate::tree::Tree;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use tintype_store::{Key, Moment};

/// Records that one step removes, at most.
const STEP: usize = 64;

/// Refuses to take a name away from a directory or an inode that must keep it.
pub(crate) fn check_removal(parent: &Inode, child: &Inode) -> Result<()> {
    if parent.has(APPEND) || child.has(APPEND | IMMUTABLE) { refuse(libc::EPERM) } else { Ok(()) }
}

impl Tree {
    /// Removes a name that is not a directory.
    pub(crate) fn unlink(&self, dir: u64, name: &[u8]) -> Result<()> {
        let ino = self.edit(|edit| {
            let parent = edit.directory(dir)?.clone();
            let found = edit.existing(dir, name)?;
            check_parent(&parent)?;
            let child = edit.inode(found.ino)?;
            if child.is_dir() {
                return refuse(libc::EISDIR);
            }
            check_removal(&parent, child)?;
            let time = now();
            edit.remove_name(dir, name)?;
            edit.change(dir)?.touch(time);
            edit.drop_name_of(found.ino, dir, name)?;
            Ok(found.ino)
        })?;
        self.reap_unheld(ino);
        Ok(())
    }

    /// Removes an empty directory.
    pub(crate) fn rmdir(&self, dir: u64, name: &[u8]) -> Result<()> {
        let ino = self.edit(|edit| {
            let parent = edit.directory(dir)?.clone();
            let found = edit.existing(dir, name)?;
            check_parent(&parent)?;
            let child = edit.directory(found.ino)?.clone();
            check_removal(&parent, &child)?;
            if child.entries > 0 {
                return refuse(libc::ENOTEMPTY);
            }
            edit.remove_name(dir, name)?;
            edit.change(dir)?.touch(now());
            edit.drop_name_of(found.ino, dir, name)?;
            Ok(found.ino)
        })?;
        self.reap_unheld(ino);
        Ok(())
    }

    /// There may be nameless inodes from now on.
    pub(crate) fn note_orphan(&self) {
        self.has_orphans.store(true, Ordering::Release);
    }

    /// Removes an inode that has no name and that nobody holds. The first step happens at once.
    pub(crate) fn reap_unheld(&self, ino: u64) {
        let nameless = self.state.lock().orphans.contains(&ino);
        if !nameless {
            return;
        }
        self.note_orphan();
        if !self.nodes.is_held(self.node(ino))
            && let Err(error) = self.edit(|edit| self.reap(edit, ino))
        {
            tracing::warn!(%error, ino, "a nameless inode stays for now");
        }
    }

    /// The kernel holds this inode no more.
    pub(crate) fn dropped(&self, ino: u64) {
        if self.has_orphans.load(Ordering::Acquire) {
            self.reap_unheld(ino);
        }
    }

    /// One bounded step for each nameless inode that nobody holds; true when work is left.
    pub(crate) fn step_orphans(&self) -> Result<bool> {
        if !self.has_orphans.load(Ordering::Acquire) {
            return Ok(false);
        }
        let all: Vec<u64> = self.state.lock().orphans.iter().copied().collect();
        let mut left = false;
        for ino in all.iter().copied().filter(|ino| !self.nodes.is_held(self.node(*ino))) {
            left |= !self.edit(|edit| self.reap(edit, ino))?;
        }
        let state = self.state.lock();
        self.has_orphans.store(!state.orphans.is_empty(), Ordering::Release);
        Ok(left)
    }

    /// One step; true when the inode is gone.
    fn reap(&self, edit: &mut Edit<'_>, ino: u64) -> Result<bool> {
        if !edit.state.orphans.contains(&ino) || self.nodes.is_held(self.node(ino)) {
            return Ok(true);
        }
        let gone = edit.reap(ino)?;
        let left = if gone { 0 } else { edit.inode(ino)?.blocks };
        edit.leaves(ino, left);
        Ok(gone)
    }
}

impl Edit<'_> {
    /// An inode lost the name `name` in `dir`: one link less, nameless when it was the last.
    pub(crate) fn drop_name_of(&mut self, ino: u64, dir: u64, name: &[u8]) -> Result<()> {
        let hash = keys::name_hash(self.seed(), name);
        self.drop_link(ino, (dir, hash))?;
        let inode = self.change(ino)?;
        inode.ctime = now();
        let is_dir = inode.is_dir();
        inode.nlink = if is_dir { 0 } else { inode.nlink.saturating_sub(1) };
        let last = inode.nlink == 0;
        if is_dir {
            let parent = self.change(dir)?;
            parent.nlink = parent.nlink.saturating_sub(1);
        }
        if last { self.make_orphan(ino) } else { self.follow_first_name(ino) }
    }

    /// Removes up to `STEP` records of a nameless inode, the inode itself last.
    fn reap(&mut self, ino: u64) -> Result<bool> {
        match self.inode(ino) {
            Ok(inode) if inode.nlink > 0 && !inode.is_dir() => {
                self.end_orphan(ino)?;
                return Ok(true);
            }
            Ok(_) => {}
            Err(_) => {
                self.end_orphan(ino)?;
                return Ok(true);
            }
        }
        let spans = reading::spans(&mut self.state.line, ino, 1, u64::MAX, STEP)?;
        for (span, _) in &spans {
            self.set_pieces(ino, *span, Vec::new())?;
        }
        if spans.len() >= STEP || !self.drop_far_xattrs(ino)? {
            return Ok(false);
        }
        self.destroy(ino)?;
        self.end_orphan(ino)?;
        Ok(true)
    }

    fn drop_far_xattrs(&mut self, ino: u64) -> Result<bool> {
        if self.inode(ino)?.far_xattrs == 0 {
            return Ok(true);
        }
        let mut found: Vec<Key> = Vec::new();
        let (from, to) = (keys::xattr(ino, 0), keys::xattr(ino + 1, 0));
        self.state.line.scan(from, to, &mut |key, _| {
            found.push(key);
            if found.len() < STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let all = found.len() < STEP;
        for key in found {
            self.delete(key);
        }
        Ok(all)
    }
}
