//! Extended attributes of an inode, by an open handle or by a path that leads to exactly this inode.
//!
//! Linux has no calls for extended attributes relative to a directory (before 6.13), and none for handles that were opened only as
//! a place. The path `/proc/self/fd/N` leads to the inode of an open handle without passing through any directory, and
//! `/proc/self/fd/N/name` to an entry of an open directory.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::fs::{getxattr, listxattr, removexattr, setxattr};
use rustix::fs::{lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use crate::tree::ExtendedAttribute;

/// The kernel's limit for a list of names and for a value.
const BYTES_MAX: usize = 65_536;

/// The path of an open handle's inode. Calls with it must follow symlinks, which end at the inode even if that is a symlink.
pub(super) fn handle_path(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// The path of an entry. Calls with it must not follow symlinks.
pub(super) fn entry_path(directory: &CStr, name: &CStr) -> CString {
    let mut path = Vec::with_capacity(directory.count_bytes() + name.count_bytes() + 2);
    path.extend_from_slice(directory.to_bytes());
    path.push(b'/');
    path.extend_from_slice(name.to_bytes());
    // Neither part holds a zero byte.
    CString::new(path).unwrap_or_default()
}

/// How an inode is reached.
pub(super) enum Inode<'i> {
    /// By a handle of it that was not only opened as a place. The system does not search for anything then.
    Open(BorrowedFd<'i>),
    /// By a path that ends at it, through the symlink of a handle.
    Handle(CString),
    /// By a path that ends at it, which may be a symlink itself.
    Entry(CString),
}

impl Inode<'_> {
    /// The names, each with a zero byte behind it. Empty where the filesystem has no extended attributes.
    pub(super) fn list(&self) -> Result<Vec<u8>, Errno> {
        let call = |space: &mut [u8]| match self {
            Self::Open(fd) => flistxattr(fd, space),
            Self::Handle(path) => listxattr(path, space),
            Self::Entry(path) => llistxattr(path, space),
        };
        match read_sized(call) {
            Err(Errno::OPNOTSUPP | Errno::NODATA) => Ok(Vec::new()),
            answer => answer,
        }
    }

    fn get(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        read_sized(|space| match self {
            Self::Open(fd) => fgetxattr(fd, name, space),
            Self::Handle(path) => getxattr(path, name, space),
            Self::Entry(path) => lgetxattr(path, name, space),
        })
    }

    /// Names and values in the order of the filesystem. Attributes that vanish meanwhile are left out.
    pub(super) fn read_all(&self) -> Result<Vec<ExtendedAttribute>, (Vec<u8>, Errno)> {
        let list = self.list().map_err(|errno| (Vec::new(), errno))?;
        let mut all = Vec::new();
        for name in names(&list) {
            let bytes = || name.to_bytes().to_vec();
            match self.get(name) {
                Ok(value) => all.push(ExtendedAttribute { name: bytes(), value: Some(value) }),
                Err(Errno::NODATA) => (),
                Err(errno) => return Err((bytes(), errno)),
            }
        }
        Ok(all)
    }

    /// Sets one attribute.
    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let flags = XattrFlags::empty();
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, flags),
            Self::Handle(path) => setxattr(path, name, value, flags),
            Self::Entry(path) => lsetxattr(path, name, value, flags),
        }
    }

    /// Removes one attribute; fine when it is not there.
    pub(super) fn remove(&self, name: &CStr) -> Result<(), Errno> {
        let removed = match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Handle(path) => removexattr(path, name),
            Self::Entry(path) => lremovexattr(path, name),
        };
        if removed == Err(Errno::NODATA) { Ok(()) } else { removed }
    }
}

/// The single names of a list.
pub(super) fn names(list: &[u8]) -> impl Iterator<Item = &CStr> {
    list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
}

/// Calls with a small space on the stack, which nearly always is enough, and with the largest one otherwise.
fn read_sized(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0u8; 1024];
    match call(&mut small) {
        Ok(0) => Ok(Vec::new()),
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0u8; BYTES_MAX];
            let length = call(&mut large)?;
            large.truncate(length);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}
