//! Puts a node's metadata onto an entry: owner, extended attributes, permissions, times, in this order.
//!
//! The order matters: a change of the owner takes away setuid and file capabilities, an access control list changes permissions,
//! and everything changes times. The entry is opened once as a place (`O_PATH`, never through a symlink), its type is compared with
//! the node's, and every change is made to this inode. If somebody swaps the entry meanwhile, the inode that was looked at is
//! changed and nothing else.
//!
//! What cannot be set becomes a warning: most of it needs privileges.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::fs::{chmodat, chownat, fchmod, fstat, futimens, openat, utimensat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};

use super::error::{EntryName, LocalError, LocalWarning, Step};
use super::names::NameCache;
use super::xattr::{self, Inode};
use crate::json::GoTime;
use crate::tree::{Node, NodeKind};

const SETUID_AND_SETGID: u32 = 0o6000;

/// Labels that the system gives by itself: never removed, only replaced by those of a node.
const LABELS: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];

/// What is set and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Whose the entries become.
    pub ownership: Ownership,
    /// Leaves extended attributes (and with them access control lists) as they are.
    pub without_attributes: bool,
}

/// Whose restored entries become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The node's numbers.
    #[default]
    Numeric,
    /// The numbers that the node's names have here; the node's numbers where a name is missing or unknown.
    ByName,
    /// Whoever restores.
    Unchanged,
}

/// Sets metadata. Shared by threads by reference.
#[derive(Default)]
pub struct LocalWriter {
    options: WriteOptions,
    names: NameCache,
}

impl LocalWriter {
    /// With the names of this machine.
    pub fn new(options: WriteOptions) -> Self {
        Self::with(options, NameCache::default())
    }

    /// With these names.
    pub fn with(options: WriteOptions, names: NameCache) -> Self {
        Self { options, names }
    }

    /// Sets the metadata of an entry. Fails when it cannot be opened or is of another type than the node.
    ///
    /// Where the restore still holds the file or directory that it made, [`apply_open`](Self::apply_open) is better: a name may be
    /// given to another file of the same type meanwhile.
    pub fn apply(
        &self,
        dir: BorrowedFd<'_>,
        name: &EntryName,
        node: &Node,
    ) -> Result<Vec<LocalWarning>, LocalError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, name.as_c_str(), flags, Mode::empty());
        let fd = fd.map_err(|errno| LocalError::system(Step::Open, name.as_bytes(), errno))?;
        self.apply_to(fd.as_fd(), Inode::Handle(xattr::handle_path(fd.as_fd())), node)
    }

    /// Sets the metadata of a file or directory that was opened for reading or writing. Fails when it is of another type.
    pub fn apply_open(
        &self,
        fd: BorrowedFd<'_>,
        node: &Node,
    ) -> Result<Vec<LocalWarning>, LocalError> {
        self.apply_to(fd, Inode::Open(fd), node)
    }

    fn apply_to(
        &self,
        fd: BorrowedFd<'_>,
        inode: Inode<'_>,
        node: &Node,
    ) -> Result<Vec<LocalWarning>, LocalError> {
        let stat = fstat(fd).map_err(|errno| LocalError::system(Step::Stat, &node.name, errno))?;
        if NodeKind::from_st_mode(stat.st_mode) != node.kind {
            let expected = node.kind.as_str().to_owned();
            return Err(LocalError::Replaced { name: node.name.clone(), expected });
        }
        let mut entry =
            Entry { fd, inode, node, mode: Some(stat.st_mode & 0o7777), warnings: Vec::new() };
        let owned = self.options.ownership == Ownership::Unchanged
            || entry.set_owner(&stat, self.owner(node));
        if !self.options.without_attributes {
            entry.set_attributes();
        }
        if node.kind != NodeKind::Symlink {
            // Who restores without privileges would lend the own rights to everybody who may run the file.
            let ours = self.options.ownership == Ownership::Unchanged
                && !same_owner(&stat, (node.uid, node.gid));
            entry.set_mode(owned && !ours);
        }
        entry.set_times();
        Ok(entry.warnings)
    }

    /// The permissions that a new file of this node may have from its beginning: those that it ends with where it stays with who makes it,
    /// and otherwise its owner's only. Never setuid and the like, which only a whole file may have.
    pub(crate) fn mode_at_birth(&self, node: &Node) -> Mode {
        let own = (geteuid().as_raw(), getegid().as_raw());
        let ours = self.options.ownership != Ownership::Unchanged && self.owner(node) == own;
        match ours {
            true => Mode::from_raw_mode(node.mode.permissions() & 0o777),
            false => Mode::RUSR | Mode::WUSR,
        }
    }

    /// The numbers that the entry is to have.
    fn owner(&self, node: &Node) -> (u32, u32) {
        if self.options.ownership != Ownership::ByName {
            return (node.uid, node.gid);
        }
        let uid = node.user.as_ref().and_then(|user| self.names.uid(user));
        let gid = node.group.as_ref().and_then(|group| self.names.gid(group));
        (uid.unwrap_or(node.uid), gid.unwrap_or(node.gid))
    }
}

fn same_owner(stat: &Stat, owner: (u32, u32)) -> bool {
    (stat.st_uid, stat.st_gid) == owner
}

/// An inode held by a handle, and what is being done to it.
struct Entry<'e> {
    fd: BorrowedFd<'e>,
    /// Leads to the inode itself, also where it is a symlink; see `xattr`.
    inode: Inode<'e>,
    node: &'e Node,
    /// Its permissions, where nothing was done that may have changed them.
    mode: Option<u32>,
    warnings: Vec<LocalWarning>,
}

impl Entry<'_> {
    fn warn(&mut self, step: Step, attribute: &[u8], errno: Errno) {
        self.warnings.push(LocalWarning {
            step,
            name: self.node.name.clone(),
            attribute: attribute.to_vec(),
            source: errno.into(),
        });
    }

    /// Whether the entry has the wanted owner and group now.
    fn set_owner(&mut self, stat: &Stat, owner: (u32, u32)) -> bool {
        if same_owner(stat, owner) {
            return true;
        }
        // The number of all ones means "leave it" to the system, and belongs to nobody.
        if owner.0 == u32::MAX || owner.1 == u32::MAX {
            self.warn(Step::Owner, b"", Errno::INVAL);
            return false;
        }
        self.mode = None;
        let group = Some(Gid::from_raw(owner.1));
        let change = |user| chownat(self.fd, c"", user, group, AtFlags::EMPTY_PATH);
        let Err(errno) = change(Some(Uid::from_raw(owner.0))) else { return true };
        // Without privileges a group of one's own can still be given.
        if errno == Errno::PERM && stat.st_gid != owner.1 {
            let _ = change(None);
        }
        self.warn(Step::Owner, b"", errno);
        false
    }

    fn set_attributes(&mut self) {
        let wanted = &self.node.extended_attributes;
        let existing = match self.inode.list() {
            Ok(list) => list,
            Err(errno) => return self.warn(Step::Attribute, b"", errno),
        };
        for name in xattr::names(&existing) {
            let bytes = name.to_bytes();
            let stays =
                LABELS.contains(&bytes) || wanted.iter().any(|attribute| attribute.name == bytes);
            if stays {
                continue;
            }
            self.mode = None;
            if let Err(errno) = self.inode.remove(name) {
                self.warn(Step::Attribute, bytes, errno);
            }
        }
        for attribute in wanted {
            self.mode = None;
            let value = attribute.value.as_deref().unwrap_or_default();
            if let Err(errno) = self.inode.set(&attribute.name, value) {
                self.warn(Step::Attribute, &attribute.name, errno);
            }
        }
    }

    fn set_mode(&mut self, owned: bool) {
        let mut mode = self.node.mode.permissions();
        if !owned && self.node.kind != NodeKind::Dir && mode & SETUID_AND_SETGID != 0 {
            mode &= !SETUID_AND_SETGID;
            self.warn(Step::Mode, b"", Errno::PERM);
        }
        if self.mode == Some(mode) {
            return;
        }
        let mode = Mode::from_raw_mode(mode);
        let set = match &self.inode {
            Inode::Open(fd) => fchmod(fd, mode),
            Inode::Handle(path) | Inode::Entry(path) => chmodat(CWD, path, mode, AtFlags::empty()),
        };
        if let Err(errno) = set {
            self.warn(Step::Mode, b"", errno);
        }
    }

    fn set_times(&mut self) {
        let times = Timestamps {
            last_access: timespec(&self.node.atime),
            last_modification: timespec(&self.node.mtime),
        };
        let set = match &self.inode {
            Inode::Open(fd) => futimens(fd, &times),
            Inode::Handle(path) | Inode::Entry(path) => {
                utimensat(CWD, path, &times, AtFlags::empty())
            }
        };
        if let Err(errno) = set {
            self.warn(Step::Times, b"", errno);
        }
    }
}

fn timespec(time: &GoTime) -> Timespec {
    // Larger values of nanoseconds have other meanings to the system.
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.min(999_999_999).into() }
}
