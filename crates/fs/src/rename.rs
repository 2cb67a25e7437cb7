//! Renaming: moving, replacing, exchanging, and leaving a whiteout behind.

use crate::create::{New, check_parent};
use crate::dirent::Dirent;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::now;
use crate::keys::{self, ROOT_INO};
use crate::remove::check_removal;
use crate::tree::Tree;
use crate::vfs::Caller;

const NOREPLACE: u32 = libc::RENAME_NOREPLACE;
const EXCHANGE: u32 = libc::RENAME_EXCHANGE;
const WHITEOUT: u32 = libc::RENAME_WHITEOUT;

/// A name: directory and last part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct At<'a> {
    /// The directory.
    pub(crate) dir: u64,
    /// The name in it.
    pub(crate) name: &'a [u8],
}

impl Tree {
    /// Renames `from` to `to`.
    pub(crate) fn rename(&self, who: &Caller, from: At<'_>, to: At<'_>, flags: u32) -> Result<()> {
        let known = flags & !(NOREPLACE | EXCHANGE | WHITEOUT) == 0;
        if !known || (flags & EXCHANGE != 0 && flags & (NOREPLACE | WHITEOUT) != 0) {
            return refuse(libc::EINVAL);
        }
        let edit_rename = |edit: &mut Edit<'_>| {
            let moved = edit.existing(from.dir, from.name)?.ino;
            let other = edit.entry(to.dir, to.name)?.map(|entry| entry.ino);
            let victim = edit.rename(who, from, to, flags)?;
            let (a, b) = ((self.node(from.dir), from.name), (self.node(to.dir), to.name));
            self.nodes.renamed(self.node(moved), a, b);
            if let Some(other) = other.filter(|_| flags & EXCHANGE != 0) {
                self.nodes.renamed(self.node(other), b, a);
            }
            Ok(victim)
        };
        let victim = self.edit(edit_rename)?;
        if let Some(ino) = victim {
            self.reap_unheld(ino);
        }
        Ok(())
    }
}

impl Edit<'_> {
    /// Answers the inode that lost its name, if one did.
    fn rename(
        &mut self,
        who: &Caller,
        from: At<'_>,
        to: At<'_>,
        flags: u32,
    ) -> Result<Option<u64>> {
        check_parent(self.directory(from.dir)?)?;
        check_parent(self.directory(to.dir)?)?;
        let source = self.existing(from.dir, from.name)?;
        let target = self.entry(to.dir, to.name)?;
        if flags & NOREPLACE != 0 && target.is_some() {
            return refuse(libc::EEXIST);
        }
        self.check_movable(from, &source)?;
        if flags & EXCHANGE != 0 {
            let Some(target) = target else { return refuse(libc::ENOENT) };
            return self.exchange(from, &source, to, &target).map(|()| None);
        }
        if target.as_ref().is_some_and(|target| target.ino == source.ino) {
            return Ok(None);
        }
        self.check_not_inside(source.ino, from.dir, to.dir)?;
        if let Some(target) = &target {
            self.check_replaceable(&source, to, target)?;
        }
        self.cross_quotas(source.ino, from.dir, to.dir)?;
        self.displace(to, target.as_ref())?;
        self.move_name(from, &source, to, target.is_some())?;
        if flags & WHITEOUT != 0 {
            let new = New { mode: libc::S_IFCHR, ..New::default() };
            self.make(who, from.dir, from.name, new)?;
        }
        Ok(target.map(|target| target.ino))
    }

    fn check_movable(&mut self, at: At<'_>, entry: &Dirent) -> Result<()> {
        let parent = self.inode(at.dir)?.clone();
        check_removal(&parent, self.inode(entry.ino)?)
    }

    /// A directory must not move below itself.
    fn check_not_inside(&mut self, moved: u64, from: u64, mut dir: u64) -> Result<()> {
        if dir == moved {
            return refuse(libc::EINVAL);
        }
        if from == dir || !self.inode(moved)?.is_dir() {
            return Ok(());
        }
        while dir != ROOT_INO && dir != 0 {
            if dir == moved {
                return refuse(libc::EINVAL);
            }
            dir = self.inode(dir)?.parent;
        }
        Ok(())
    }

    fn check_replaceable(&mut self, source: &Dirent, to: At<'_>, target: &Dirent) -> Result<()> {
        self.check_movable(to, target)?;
        let moves_dir = self.inode(source.ino)?.is_dir();
        let old = self.inode(target.ino)?;
        match (moves_dir, old.is_dir()) {
            (true, false) => refuse(libc::ENOTDIR),
            (false, true) => refuse(libc::EISDIR),
            (true, true) if old.entries > 0 => refuse(libc::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn displace(&mut self, to: At<'_>, target: Option<&Dirent>) -> Result<()> {
        match target {
            Some(target) => self.drop_name_of(target.ino, to.dir, to.name),
            None => Ok(()),
        }
    }

    fn move_name(
        &mut self,
        from: At<'_>,
        source: &Dirent,
        to: At<'_>,
        replaces: bool,
    ) -> Result<()> {
        self.remove_name(from.dir, from.name)?;
        let hash = if replaces {
            self.redirect(to.dir, to.name, source.ino, source.kind)?
        } else {
            self.add_name(to.dir, to.name, source.ino, source.kind)?
        };
        let old = keys::name_hash(self.seed(), from.name);
        self.move_link(source.ino, (from.dir, old), (to.dir, hash))?;
        self.settle_dirs(source.kind, from.dir, to.dir)?;
        self.mark(&[source.ino], &[from.dir, to.dir])
    }

    /// A directory that changed its parent counts there.
    fn settle_dirs(&mut self, kind: u32, from: u64, to: u64) -> Result<()> {
        if kind == libc::S_IFDIR && from != to {
            let old = self.change(from)?;
            old.nlink = old.nlink.saturating_sub(1);
            self.change(to)?.nlink += 1;
        }
        Ok(())
    }

    fn mark(&mut self, moved: &[u64], dirs: &[u64]) -> Result<()> {
        let time = now();
        for ino in moved {
            self.change(*ino)?.ctime = time;
        }
        for dir in dirs {
            self.change(*dir)?.touch(time);
        }
        Ok(())
    }

    fn exchange(&mut self, a: At<'_>, first: &Dirent, b: At<'_>, second: &Dirent) -> Result<()> {
        if first.ino == second.ino {
            return Ok(());
        }
        self.check_movable(b, second)?;
        self.check_not_inside(first.ino, a.dir, b.dir)?;
        self.check_not_inside(second.ino, b.dir, a.dir)?;
        self.cross_quotas(first.ino, a.dir, b.dir)?;
        self.cross_quotas(second.ino, b.dir, a.dir)?;
        let seed = self.seed();
        let at_a = (a.dir, keys::name_hash(seed, a.name));
        let at_b = (b.dir, keys::name_hash(seed, b.name));
        self.redirect(a.dir, a.name, second.ino, second.kind)?;
        self.redirect(b.dir, b.name, first.ino, first.kind)?;
        self.move_link(first.ino, at_a, at_b)?;
        self.move_link(second.ino, at_b, at_a)?;
        self.settle_dirs(first.kind, a.dir, b.dir)?;
        self.settle_dirs(second.kind, b.dir, a.dir)?;
        self.mark(&[first.ino, second.ino], &[a.dir, b.dir])
    }
}
