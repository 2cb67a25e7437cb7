//! Reads the node of an entry: one `fstatat`, one list of extended attributes, and a `readlinkat` for symlinks.
//!
//! Contents, sizes as read and subtrees are filled in by the caller. Between the calls somebody may replace the entry; then the node
//! holds attributes of both, as with every program that reads a living directory.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Stat, fstat, readlinkat, statat};

use super::error::{LocalError, LocalWarning, Step};
use super::names::NameCache;
use super::xattr::{self, Inode};
use crate::json::{GoTime, LocalZone};
use crate::tree::{GoMode, Node, NodeKind};

/// What is read and how. The default is what restic does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Takes the time of the last access; otherwise `atime` is a copy of `mtime`, so that reading alone changes no tree.
    pub with_atime: bool,
    /// Which nodes carry the number of their device.
    pub device_ids: DeviceIds,
    /// Reads sockets too. restic skips them.
    pub sockets: bool,
    /// Leaves extended attributes (and with them access control lists) out.
    pub without_attributes: bool,
}

/// Which nodes carry the number of their device, which is another one after each start of some machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceIds {
    /// All, as restic does.
    #[default]
    Always,
    /// Those with more than one hard link, which need it.
    HardLinks,
    /// None.
    Never,
}

/// An open directory whose entries are read.
pub struct LocalDir<'d> {
    fd: BorrowedFd<'d>,
    path: CString,
}

impl<'d> LocalDir<'d> {
    /// Around a handle of the directory.
    pub fn new(fd: BorrowedFd<'d>) -> Self {
        Self { fd, path: xattr::handle_path(fd) }
    }

    /// The handle.
    pub fn fd(&self) -> BorrowedFd<'d> {
        self.fd
    }
}

/// A node read, and what could not be read of it.
#[derive(Debug)]
pub struct LocalNode {
    /// The node; `content` is an empty list for files and `subtree` is missing.
    pub node: Node,
    /// Parts that are missing in it.
    pub warnings: Vec<LocalWarning>,
}

/// Reads nodes. Shared by threads by reference.
pub struct LocalReader {
    options: ReadOptions,
    names: NameCache,
    zone: LocalZone,
}

impl LocalReader {
    /// With the names and the time zone of this machine.
    pub fn new(options: ReadOptions) -> Self {
        Self::with(options, NameCache::default(), LocalZone::system())
    }

    /// With these names and this time zone.
    pub fn with(options: ReadOptions, names: NameCache, zone: LocalZone) -> Self {
        Self { options, names, zone }
    }

    /// The node of an entry. `None`: a socket, which is not wanted. The name must be a single one, as directories list them.
    pub fn read(&self, dir: &LocalDir<'_>, name: &CStr) -> Result<Option<LocalNode>, LocalError> {
        let stat = statat(dir.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|errno| LocalError::system(Step::Stat, name.to_bytes(), errno))?;
        let mut node = self.node_of(&stat, name);
        if node.kind == NodeKind::Socket && !self.options.sockets {
            return Ok(None);
        }
        if node.kind == NodeKind::Symlink {
            let target = readlinkat(dir.fd, name, Vec::new());
            let target = target
                .map_err(|errno| LocalError::system(Step::ReadLink, name.to_bytes(), errno))?;
            node.linktarget = target.into_bytes();
        }
        let mut warnings = Vec::new();
        if !self.options.without_attributes {
            let entry = Inode::Entry(xattr::entry_path(&dir.path, name));
            fill_attributes(&mut node, &entry, &mut warnings);
        }
        Ok(Some(LocalNode { node, warnings }))
    }

    /// The node of a file or directory that was opened for reading: surely the one whose content is read through the same handle.
    pub fn read_open(&self, fd: BorrowedFd<'_>, name: &CStr) -> Result<LocalNode, LocalError> {
        let stat =
            fstat(fd).map_err(|errno| LocalError::system(Step::Stat, name.to_bytes(), errno))?;
        let mut node = self.node_of(&stat, name);
        let mut warnings = Vec::new();
        if !self.options.without_attributes {
            fill_attributes(&mut node, &Inode::Open(fd), &mut warnings);
        }
        Ok(LocalNode { node, warnings })
    }

    /// What `stat` tells. Fields that make no sense for a type stay empty, as in restic.
    fn node_of(&self, stat: &Stat, name: &CStr) -> Node {
        let kind = NodeKind::from_st_mode(stat.st_mode);
        let mtime = self.time(stat.st_mtime, stat.st_mtime_nsec as _);
        let atime =
            self.options.with_atime.then(|| self.time(stat.st_atime, stat.st_atime_nsec as _));
        let links: u64 = stat.st_nlink as _;
        let device_id = match self.options.device_ids {
            DeviceIds::Always => stat.st_dev,
            DeviceIds::HardLinks if links > 1 && kind != NodeKind::Dir => stat.st_dev,
            DeviceIds::HardLinks | DeviceIds::Never => 0,
        };
        let counted = matches!(
            kind,
            NodeKind::File | NodeKind::Symlink | NodeKind::Device | NodeKind::CharDevice
        );
        let device = matches!(kind, NodeKind::Device | NodeKind::CharDevice);
        let file = kind == NodeKind::File;
        Node {
            name: name.to_bytes().to_vec(),
            mode: GoMode::from_st_mode(stat.st_mode),
            mtime,
            atime: atime.unwrap_or(mtime),
            ctime: self.time(stat.st_ctime, stat.st_ctime_nsec as _),
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: self.names.user(stat.st_uid),
            group: self.names.group(stat.st_gid),
            inode: stat.st_ino,
            device_id,
            size: if file { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 },
            links: if counted { links } else { 0 },
            device: if device { stat.st_rdev } else { 0 },
            content: file.then(Vec::new),
            kind,
            ..Node::default()
        }
    }

    fn time(&self, seconds: i64, nanos: u32) -> GoTime {
        self.zone.time(seconds, nanos)
    }
}

fn fill_attributes(node: &mut Node, inode: &Inode<'_>, warnings: &mut Vec<LocalWarning>) {
    match inode.read_all() {
        Ok(all) => node.extended_attributes = all,
        Err((attribute, errno)) => warnings.push(LocalWarning {
            step: Step::ReadAttributes,
            name: node.name.clone(),
            attribute,
            source: errno.into(),
        }),
    }
}
