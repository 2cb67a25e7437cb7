//! Removes entries, directories with all that is in them.
//!
//! No symlink is followed: what is entered was opened as a directory, by a single name. The way back up goes through `..` and is checked against
//! the inode that the way down came from, so that a directory moved away meanwhile does not lead outside. One handle is open at a
//! time; depth costs neither stack nor handles.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::{Errno, Result};

/// Removes one entry. A directory that is not empty only if `whole`, else it is [`Errno::NOTEMPTY`]. Fine when nothing is there.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &CStr, whole: bool) -> Result<()> {
    match unlink(dir, name) {
        Err(Errno::NOTEMPTY | Errno::EXIST) if whole => remove_tree(dir, name),
        other => other,
    }
}

/// Removes a file or an empty directory.
fn unlink(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let removed = match unlinkat(dir, name, AtFlags::empty()) {
        // Systems differ in what they answer for directories.
        Err(first @ (Errno::ISDIR | Errno::PERM)) => unlinkat(dir, name, AtFlags::REMOVEDIR)
            .map_err(|errno| match errno {
                Errno::NOTDIR => first,
                other => other,
            }),
        other => other,
    };
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

type Inode = (u64, u64);

fn inode(fd: impl AsFd) -> Result<Inode> {
    fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

fn enter(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // Names on the way down, each with the directory that it is in.
    let mut way: Vec<(CString, Inode)> = Vec::new();
    let mut at = enter(dir, name)?;
    loop {
        if let Some(deeper) = empty(&at)? {
            let next = enter(at.as_fd(), &deeper)?;
            way.push((deeper, inode(&at)?));
            at = next;
            continue;
        }
        let Some((done, above)) = way.pop() else { return unlink(dir, name) };
        at = enter(at.as_fd(), c"..")?;
        if inode(&at)? != above {
            return Err(Errno::BUSY);
        }
        unlink(at.as_fd(), &done)?;
    }
}

/// Removes what it can of a directory; gives the first name that must be emptied before.
fn empty(dir: &OwnedFd) -> Result<Option<CString>> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlink(dir.as_fd(), name) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_owned())),
            other => other?,
        }
    }
    Ok(None)
}
