//! One entry of a tree: all that restic knows of a file, directory or other thing.

use std::sync::Arc;

use super::mode::GoMode;
use crate::id::BlobId;
use crate::json::GoTime;

/// An entry of a directory. Fields stand in the order in which they are written; 0, empty and `None` are left out there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The name: bytes, no path. The encoder and the strict decoder refuse names that no directory can hold.
    pub name: Vec<u8>,
    /// What it is. Decides which of the other fields mean something.
    pub kind: NodeKind,
    /// Permissions and type in Go's bits.
    pub mode: GoMode,
    /// When the content changed. Always written.
    pub mtime: GoTime,
    /// When it was read last; usually a copy of `mtime`. Always written.
    pub atime: GoTime,
    /// When the inode changed. Always written.
    pub ctime: GoTime,
    /// Number of the owner. Always written.
    pub uid: u32,
    /// Number of the group. Always written.
    pub gid: u32,
    /// Name of the owner.
    pub user: Option<Arc<str>>,
    /// Name of the group.
    pub group: Option<Arc<str>>,
    /// Number of the inode.
    pub inode: u64,
    /// `st_dev`: with `inode` and `links` it tells hard links of one file.
    pub device_id: u64,
    /// Bytes of a file, as read. 0 for everything else.
    pub size: u64,
    /// Number of hard links. 0 for directories and fifos.
    pub links: u64,
    /// Where a symlink leads: bytes.
    pub linktarget: Vec<u8>,
    /// In the order of the filesystem's list.
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// Attributes of other systems: a JSON object as text, kept as it was read.
    pub generic_attributes: Option<Box<str>>,
    /// `st_rdev` of a device.
    pub device: u64,
    /// The chunks of a file; `None` for everything else. Always written, as `null` or a list.
    pub content: Option<Vec<BlobId>>,
    /// The tree of a directory.
    pub subtree: Option<BlobId>,
    /// What went wrong when the entry was saved.
    pub error: Option<Box<str>>,
    /// Members with keys unknown here, as JSON text `"key":value,...`, written behind all others.
    pub unknown: Option<Box<str>>,
}

/// One extended attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// The name with its namespace. Bytes that are not UTF-8 are lost when written, as in restic.
    pub name: Vec<u8>,
    /// The value. `None` is JSON's `null`, which some programs write for an empty value.
    pub value: Option<Vec<u8>>,
}

/// What a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A regular file.
    #[default]
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Device,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket. restic saves none.
    Socket,
    /// Something that the system calls a file and that is none of the others.
    Irregular,
    /// A type unknown here, or the empty one: the text.
    Other(Box<str>),
}

impl NodeKind {
    /// The text in trees.
    pub fn as_str(&self) -> &str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Device => "dev",
            Self::CharDevice => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Irregular => "irregular",
            Self::Other(text) => text,
        }
    }

    /// From the text in trees.
    pub fn from_text(text: &str) -> Self {
        match text {
            "file" => Self::File,
            "dir" => Self::Dir,
            "symlink" => Self::Symlink,
            "dev" => Self::Device,
            "chardev" => Self::CharDevice,
            "fifo" => Self::Fifo,
            "socket" => Self::Socket,
            "irregular" => Self::Irregular,
            other => Self::Other(other.into()),
        }
    }
}

/// A node that lacks what its type needs. It can be read and written, but not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Damage {
    /// A file without a list of chunks, not even an empty one.
    #[error("file without a list of its chunks")]
    NoContent,
    /// A directory without a tree.
    #[error("directory without a tree")]
    NoSubtree,
    /// A chunk or a tree with the id of all zeroes.
    #[error("reference to nothing (an id of zeroes)")]
    NullId,
    /// A type that nobody knows.
    #[error("unknown type")]
    UnknownKind,
}

impl Node {
    /// What the node lacks, if anything. Whether `size` is the sum of the chunks only the index can tell.
    pub fn damage(&self) -> Option<Damage> {
        let null = |id: &BlobId| *id == BlobId::default();
        match (&self.kind, &self.content, &self.subtree) {
            (NodeKind::File, None, _) => Some(Damage::NoContent),
            (NodeKind::File, Some(content), _) if content.iter().any(null) => Some(Damage::NullId),
            (NodeKind::Dir, _, None) => Some(Damage::NoSubtree),
            (NodeKind::Dir, _, Some(tree)) if null(tree) => Some(Damage::NullId),
            (NodeKind::Irregular | NodeKind::Other(_), ..) => Some(Damage::UnknownKind),
            _ => None,
        }
    }

    /// Device and inode by which hard links of one file are known. `None` when the file has one name only.
    pub fn hard_link(&self) -> Option<(u64, u64)> {
        let linked = self.links > 1 && self.inode != 0 && self.kind != NodeKind::Dir;
        linked.then_some((self.device_id, self.inode))
    }
}
