//! From nodes of trees to what programs see: attributes, inode numbers, extended attributes.
//!
//! Inode numbers are made from the snapshot's place and the path, so that they are the same in every mount; the names of one file have
//! one number. As in a restore, not only device and inode but also the content tells which names these are.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use tintype_fs::vfs::{Attr, Errno, Reply, Time};
use tintype_repo::{GoTime, Moment, Node, NodeKind};
use xxhash_rust::xxh3::Xxh3;

/// What is in a snapshot never changes.
pub const FOREVER: Duration = Duration::from_secs(86_400);
/// How long the kernel may trust a folder above the snapshots.
pub const A_MOMENT: Duration = Duration::from_secs(1);
const BLOCK: u64 = 512;

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    /// All belong to root; otherwise to whom they belonged when they were saved.
    pub root: bool,
    /// Owner of what is above the snapshots.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// An inode number of what stands below another one.
pub fn number(above: u64, what: &impl Hash) -> u64 {
    let mut hasher = Xxh3::with_seed(above);
    what.hash(&mut hasher);
    match hasher.finish() {
        // 0 is no number, and 1 is the root's.
        low @ 0..=1 => low + 2,
        fine => fine,
    }
}

/// The inode number of a node in a directory; `root` is that of the snapshot's root.
pub fn number_of(node: &Node, root: u64, above: u64) -> u64 {
    let Some((device, inode)) = node.hard_link() else {
        return number(above, &node.name.as_slice());
    };
    let content = (node.kind.as_str(), &node.content, node.size, &node.linktarget, node.device);
    number(root, &(device, inode, content))
}

/// The file type as in `st_mode`.
pub fn kind_bits(kind: &NodeKind) -> u32 {
    match kind {
        NodeKind::Dir => libc::S_IFDIR,
        NodeKind::Symlink => libc::S_IFLNK,
        NodeKind::Device => libc::S_IFBLK,
        NodeKind::CharDevice => libc::S_IFCHR,
        NodeKind::Fifo => libc::S_IFIFO,
        NodeKind::Socket => libc::S_IFSOCK,
        _ => libc::S_IFREG,
    }
}

/// Attributes of a node. `size` is that of a file.
pub fn attr_of(node: &Node, ino: u64, size: u64, owners: Owners) -> Attr {
    let size = match node.kind {
        NodeKind::File => size,
        NodeKind::Symlink => node.linktarget.len() as u64,
        _ => 0,
    };
    let links = u32::try_from(node.links).unwrap_or(u32::MAX).max(1);
    let mtime = time_of(&node.mtime);
    let or_mtime = |time: &GoTime| if *time == GoTime::ZERO { mtime } else { time_of(time) };
    Attr {
        ino,
        size,
        blocks: size.div_ceil(BLOCK),
        atime: or_mtime(&node.atime),
        mtime,
        ctime: or_mtime(&node.ctime),
        btime: mtime,
        mode: kind_bits(&node.kind) | node.mode.permissions(),
        nlink: if node.kind == NodeKind::Dir { 1 } else { links },
        uid: if owners.root { 0 } else { node.uid },
        gid: if owners.root { 0 } else { node.gid },
        rdev: device_number(node.device),
        flags: 0,
    }
}

/// Attributes of a folder, or with `S_IFLNK` of a link, that no tree describes.
pub fn plain_attr(ino: u64, kind: u32, size: u64, time: Option<Moment>, owners: Owners) -> Attr {
    let time = time.map(|time| time.instant()).unwrap_or_default();
    let time = GoTime::utc(
        time.as_nanosecond().div_euclid(1_000_000_000) as i64,
        time.as_nanosecond().rem_euclid(1_000_000_000) as u32,
    );
    let time = time_of(&time);
    Attr {
        ino,
        size,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        mode: kind | if kind == libc::S_IFLNK { 0o777 } else { 0o555 },
        nlink: 1,
        uid: if owners.root { 0 } else { owners.uid },
        gid: if owners.root { 0 } else { owners.gid },
        ..Attr::default()
    }
}

fn time_of(time: &GoTime) -> Time {
    Time { secs: time.seconds, nanos: time.nanos.min(999_999_999) }
}

/// `st_rdev` as the kernel takes it in 32 bits; what does not fit is cut, as by the kernel.
fn device_number(device: u64) -> u32 {
    let (major, minor) = (u64::from(libc::major(device)), u64::from(libc::minor(device)));
    ((minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12) as u32
}

/// The value of an extended attribute.
pub fn attribute(node: &Node, name: &[u8]) -> Reply<Vec<u8>> {
    let found = node.extended_attributes.iter().find(|own| own.name == name);
    found.map(|own| own.value.clone().unwrap_or_default()).ok_or(Errno(libc::ENODATA))
}

/// The names of all extended attributes, each with a zero behind it; those of `trusted` only for root.
pub fn attribute_names(node: &Node, uid: u32) -> Vec<u8> {
    let mut names = Vec::new();
    let own = node.extended_attributes.iter().map(|own| own.name.as_slice());
    let fine = |name: &&[u8]| !name.is_empty() && !name.contains(&0);
    for name in own.filter(fine).filter(|name| uid == 0 || !name.starts_with(b"trusted.")) {
        names.extend_from_slice(name);
        names.push(0);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_the_kernels() {
        let device = libc::makedev(259, 0x1_2345);
        assert_eq!(device_number(device), 0x45 | 259 << 8 | 0x1_2300 << 12);
        assert_eq!(device_number(libc::makedev(1, 3)), 0x103);
    }

    #[test]
    fn names_of_one_file_have_one_number() {
        let file = Node { name: b"a".to_vec(), inode: 5, links: 2, ..Node::default() };
        let twin = Node { name: b"b".to_vec(), ..file.clone() };
        let other = Node { name: b"b".to_vec(), size: 7, ..file.clone() };
        assert_eq!(number_of(&file, 1, 2), number_of(&twin, 1, 3));
        assert_ne!(number_of(&file, 1, 2), number_of(&twin, 9, 2), "another snapshot");
        assert_ne!(number_of(&file, 1, 2), number_of(&other, 1, 2), "another content");
        let single = Node { links: 1, ..twin };
        assert_ne!(number_of(&single, 1, 2), number_of(&single, 1, 3));
    }
}
