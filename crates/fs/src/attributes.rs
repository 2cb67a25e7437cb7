//! Changing attributes: mode, owner, times, flags. Size changes are with the data.

use crate::acl::{self, Acl};
use crate::caller;
use crate::edit::Edit;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode, now};
use crate::reading;
use crate::vfs::{Caller, SetAttr, SetTime, Time};

/// Capabilities of an executable; fall with the set-id bits.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Refuses a change of a protected inode.
pub(crate) fn check_changeable(inode: &Inode, set: &SetAttr) -> Result<()> {
    // The kernel's writeback brings times of writes that were allowed when they were made.
    let late = set.ctime.is_some();
    let owner = set.mode.is_some() || set.uid.is_some() || set.gid.is_some();
    if inode.has(IMMUTABLE) && !(late && !owner && set.size.is_none()) {
        return refuse(libc::EPERM);
    }
    let at = |time| matches!(time, Some(SetTime::At(_)));
    let explicit = !late && (at(set.atime) || at(set.mtime));
    if inode.has(APPEND) && (explicit || owner || set.size.is_some()) {
        return refuse(libc::EPERM);
    }
    Ok(())
}

fn pick(set: SetTime, now: Time) -> Time {
    match set {
        SetTime::Now => now,
        SetTime::At(time) => Time { nanos: time.nanos.min(999_999_999), ..time },
    }
}

impl Edit<'_> {
    /// Sets everything except the size.
    pub(crate) fn set_attributes(&mut self, who: &Caller, ino: u64, set: &SetAttr) -> Result<()> {
        let time = now();
        check_changeable(self.inode(ino)?, set)?;
        let chown = set.uid.is_some() || set.gid.is_some();
        if chown || set.kill_suid {
            self.kill_privileges(who, ino)?;
        }
        if let Some(mode) = set.mode {
            self.set_mode(ino, mode)?;
        }
        let inode = self.change(ino)?;
        inode.uid = set.uid.unwrap_or(inode.uid);
        inode.gid = set.gid.unwrap_or(inode.gid);
        if let Some(atime) = set.atime {
            inode.atime = pick(atime, time);
        }
        if let Some(mtime) = set.mtime {
            inode.mtime = pick(mtime, time);
        }
        inode.ctime = set.ctime.unwrap_or(time);
        Ok(())
    }

    /// Takes set-id bits and capabilities away.
    pub(crate) fn kill_privileges(&mut self, who: &Caller, ino: u64) -> Result<()> {
        if self.inode(ino)?.is_dir() {
            return Ok(());
        }
        self.change(ino)?.kill_set_id(|gid| caller::keeps_set_group_id(who, gid));
        if self.has_capability(ino)? {
            self.erase_xattr(ino, CAPABILITY)?;
        }
        Ok(())
    }

    /// Whether a file carries capabilities; no read for files without attributes.
    pub(crate) fn has_capability(&mut self, ino: u64) -> Result<bool> {
        let seed = self.seed();
        let inode = self.inode(ino)?;
        if inode.xattrs.is_empty() && inode.far_xattrs == 0 {
            return Ok(false);
        }
        let inode = inode.clone();
        Ok(reading::xattr(&mut self.state.line, seed, ino, &inode, CAPABILITY)?.is_some())
    }

    fn set_mode(&mut self, ino: u64, mode: u32) -> Result<()> {
        let seed = self.seed();
        let inode = self.change(ino)?;
        inode.mode = (inode.mode & libc::S_IFMT) | (mode & 0o7777);
        let inode = inode.clone();
        if let Some(value) = reading::xattr(&mut self.state.line, seed, ino, &inode, acl::ACCESS)? {
            let mut list = Acl::parse(&value)?;
            list.set_mode(mode);
            self.store_xattr(ino, acl::ACCESS, &list.encode())?;
        }
        Ok(())
    }
}
