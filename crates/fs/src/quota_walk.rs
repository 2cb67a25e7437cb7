//! Walks that count what was in a directory when its quota was set, and hand it on when the quota is unset.
//!
//! A walk goes from the directory down, in bounded operations between those of programs. A directory is recolored before its
//! names are listed, so what is made in it later is right from the beginning; what moves meanwhile is either recolored by the move or
//! visited again. So at every instant a quota counts exactly the inodes that name it, and a walk that a crash ends starts again
//! from the top and changes only what is left. At most one walk goes on in a tree.

use crate::edit::Edit;
use crate::error::{FsError, Result};
use crate::quota::Phase;
use crate::quotas::Note;
use crate::reading;
use crate::tree::Tree;

/// Inodes and pages of one operation, at most. Tests look at every state in between.
const STEP: usize = if cfg!(test) { 1 } else { 256 };
/// Names of a page.
const PAGE: usize = if cfg!(test) { 2 } else { 64 };

/// What is left to do.
#[derive(Clone, Copy, Debug)]
enum Visit {
    /// An inode.
    Inode(u64),
    /// The names of a directory behind a cookie.
    Names(u64, u64),
}

/// A walk.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The directory whose quota it is about.
    pub(crate) dir: u64,
    /// Who pays afterwards.
    to: u64,
    left: Vec<Visit>,
}

impl Walk {
    /// A walk over what is below `dir`, which itself is right already.
    pub(crate) fn below(dir: u64, to: u64) -> Self {
        Self { dir, to, left: vec![Visit::Names(dir, 0)] }
    }

    /// Has an inode visited, perhaps again.
    pub(crate) fn visit(&mut self, ino: u64) {
        self.left.push(Visit::Inode(ino));
    }
}

impl Tree {
    /// One bounded step of counting; true when work is left.
    pub(crate) fn step_quotas(&self) -> Result<bool> {
        let (idle, due) = {
            let state = self.state.lock();
            (state.quotas.walk.is_none(), state.quotas.due())
        };
        match (idle, due) {
            (true, None) => Ok(false),
            (true, Some(dir)) => self.unless_damaged(|edit| edit.begin_walk(dir)).map(|()| true),
            (false, _) => self.unless_damaged(|edit| edit.step_walk()).map(|()| true),
        }
    }

    /// Goes a walk of its own to the end: for repairs. One that is under way starts again later.
    pub(crate) fn recolor_below(&self, dir: u64) -> Result<()> {
        self.edit(|edit| {
            let to = edit.directory(dir)?.quota;
            edit.state.quotas.walk = Some(Walk::below(dir, to));
            Ok(())
        })?;
        while self.state.lock().quotas.walk.is_some() {
            self.unless_damaged(|edit| edit.step_walk())?;
        }
        Ok(())
    }

    /// A part of a walk. Trying again would not help against damage.
    fn unless_damaged(&self, part: impl FnOnce(&mut Edit<'_>) -> Result<()>) -> Result<()> {
        let stepped = self.edit(part);
        if matches!(stepped, Err(FsError::Damaged(_))) {
            self.state.lock().quotas.stuck = true;
        }
        stepped
    }
}

impl Edit<'_> {
    /// Begins to count what is below a directory, or to hand it on.
    fn begin_walk(&mut self, dir: u64) -> Result<()> {
        let Some(quota) = self.state.quotas.get(dir).cloned() else { return Ok(()) };
        let inode = match self.inode(dir) {
            Ok(inode) if inode.nlink > 0 => inode.clone(),
            Ok(_) | Err(FsError::Refused(libc::ESTALE)) => {
                // What still names the quota are files without a name.
                self.note_quota(Note::Phase(dir, Phase::Left, quota.above));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let counts = matches!(quota.phase, Phase::Waiting | Phase::Counting);
        let above = if counts && inode.quota != dir { inode.quota } else { quota.above };
        let (phase, to) = if counts { (Phase::Counting, dir) } else { (Phase::Removing, above) };
        self.note_quota(Note::Phase(dir, phase, above));
        self.recolor(dir, to)?;
        self.state.quotas.walk = Some(Walk::below(dir, to));
        Ok(())
    }

    /// A step that fails ends the walk; it begins again at the top.
    fn step_walk(&mut self) -> Result<()> {
        let Some(mut walk) = self.state.quotas.walk.take() else { return Ok(()) };
        for _ in 0..STEP {
            match walk.left.pop() {
                Some(visit) => self.visit(visit, &mut walk)?,
                None => {
                    self.end_walk(walk.dir);
                    return Ok(());
                }
            }
        }
        self.state.quotas.walk = Some(walk);
        Ok(())
    }

    fn end_walk(&mut self, dir: u64) {
        let Some(quota) = self.state.quotas.get(dir) else { return };
        let next = match quota.phase {
            Phase::Counting => Phase::Active,
            Phase::Removing => Phase::Left,
            other => other,
        };
        self.note_quota(Note::Phase(dir, next, quota.above));
    }

    fn visit(&mut self, visit: Visit, walk: &mut Walk) -> Result<()> {
        match visit {
            Visit::Names(dir, cookie) => {
                let page = reading::page(&mut self.state.line, dir, cookie, PAGE)?;
                if page.len() >= PAGE
                    && let Some((last, _)) = page.last()
                {
                    walk.left.push(Visit::Names(dir, *last));
                }
                walk.left.extend(page.iter().map(|(_, entry)| Visit::Inode(entry.ino)));
                Ok(())
            }
            Visit::Inode(ino) => self.visit_inode(ino, walk),
        }
    }

    /// Recolors an inode if the directory of its first name was recolored.
    fn visit_inode(&mut self, ino: u64, walk: &mut Walk) -> Result<()> {
        let to = walk.to;
        let inode = match self.inode(ino) {
            Ok(inode) => inode.clone(),
            Err(FsError::Refused(libc::ESTALE)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if inode.nlink == 0 || inode.parent == 0 || self.inode(inode.parent)?.quota != to {
            return Ok(());
        }
        if inode.quota == ino && self.state.quotas.get(ino).is_some() {
            return self.hang_below(ino, to);
        }
        self.recolor(ino, to)?;
        if inode.is_dir() {
            walk.left.push(Visit::Names(ino, 0));
        }
        Ok(())
    }

    /// A quota within the one that the walk is about pays together with that from now on.
    fn hang_below(&mut self, dir: u64, to: u64) -> Result<()> {
        let Some(quota) = self.state.quotas.get(dir) else { return Ok(()) };
        let (from, phase) = (quota.above, quota.phase);
        let (blocks, inodes) = (quota.blocks as i64, quota.inodes as i64);
        if from != to {
            self.note_quota(Note::Phase(dir, phase, to));
            self.charge(from, -blocks, -inodes);
            self.charge(to, blocks, inodes);
        }
        Ok(())
    }
}
