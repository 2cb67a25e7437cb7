//! Makes the entries of a restore that are not files: directories, symlinks, hard links, devices, pipes, sockets.
//!
//! One name in one open directory each; nothing existing is replaced, and no symlink is followed. A directory is entered by opening
//! it from its parent's handle, so that a path of many parts never has to be trusted.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dev, FileType, Mode, OFlags, linkat, mkdirat, mknodat, openat, symlinkat,
};

use super::error::{EntryName, LocalError, Step};
use crate::tree::{Node, NodeKind};

/// Opens the directory with this name. A symlink there, or anything else, is refused.
pub fn open_dir(dir: BorrowedFd<'_>, name: &EntryName) -> Result<OwnedFd, LocalError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name.as_c_str(), flags, Mode::empty())
        .map_err(|errno| LocalError::system(Step::Open, name.as_bytes(), errno))
}

/// Makes a directory that only its owner can enter, until its metadata is set.
pub fn create_dir(dir: BorrowedFd<'_>, name: &EntryName) -> Result<(), LocalError> {
    made(name, mkdirat(dir, name.as_c_str(), Mode::RWXU))
}

/// Makes a symlink with this target, whatever the target is: it is not looked at.
pub fn create_symlink(
    dir: BorrowedFd<'_>,
    name: &EntryName,
    target: &[u8],
) -> Result<(), LocalError> {
    made(name, symlinkat(target, dir, name.as_c_str()))
}

/// Gives the entry `existing` one more name. If it is a symlink, the symlink gets the name and not what it leads to.
pub fn create_hard_link(
    existing_dir: BorrowedFd<'_>,
    existing: &EntryName,
    dir: BorrowedFd<'_>,
    name: &EntryName,
) -> Result<(), LocalError> {
    made(
        name,
        linkat(existing_dir.as_fd(), existing.as_c_str(), dir, name.as_c_str(), AtFlags::empty()),
    )
}

/// Makes the device, pipe or socket of the node, for its owner only, until its metadata is set. Devices need privileges.
pub fn create_special(
    dir: BorrowedFd<'_>,
    name: &EntryName,
    node: &Node,
) -> Result<(), LocalError> {
    let (kind, device) = match node.kind {
        NodeKind::Device => (FileType::BlockDevice, node.device),
        NodeKind::CharDevice => (FileType::CharacterDevice, node.device),
        NodeKind::Fifo => (FileType::Fifo, 0),
        NodeKind::Socket => (FileType::Socket, 0),
        _ => {
            let kind = node.kind.as_str().to_owned();
            return Err(LocalError::Kind { name: name.as_bytes().to_vec(), kind });
        }
    };
    made(name, mknodat(dir, name.as_c_str(), kind, Mode::RUSR | Mode::WUSR, device as Dev))
}

fn made(name: &EntryName, result: rustix::io::Result<()>) -> Result<(), LocalError> {
    result.map_err(|errno| LocalError::system(Step::Create, name.as_bytes(), errno))
}
