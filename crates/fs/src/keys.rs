//! The keys of a filesystem's records and the hashes inside them.
//!
//! Kind 0 describes the filesystem, 1 inodes (with the block map of the first 128 KiB), 2 names,
//! 3 further block maps, 4 large extended attributes, 5 further names of an inode, 6 inodes
//! without a name, 7 quotas of directories. Directory names are found by a keyed hash whose low four bits are zero: a
//! slot number in their place tells colliding names apart and makes readdir's cookies.

use tintype_store::Key;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The record about the filesystem itself.
pub(crate) const SUPER: Key = Key::new(0, 0, 0);
/// Kind of inode records.
pub(crate) const INODE: u8 = 1;
/// Kind of name records.
pub(crate) const DIRENT: u8 = 2;
/// Kind of block maps behind the first span.
pub(crate) const SPAN: u8 = 3;
/// Kind of extended attributes that do not fit the inode.
pub(crate) const XATTR: u8 = 4;
/// Kind of back references for further names.
pub(crate) const LINK: u8 = 5;
/// Kind of marks for inodes without a name.
pub(crate) const ORPHAN: u8 = 6;
/// Kind of quotas of directories.
pub(crate) const QUOTA: u8 = 7;

/// The inode number of the root directory.
pub(crate) const ROOT_INO: u64 = 1;
/// Inode numbers stay below this.
pub(crate) const INO_LIMIT: u64 = 1 << 40;
/// Names with one hash, at most.
pub(crate) const SLOTS: u64 = 16;

/// Key of an inode.
pub(crate) const fn inode(ino: u64) -> Key {
    Key::new(INODE, ino, 0)
}

/// Key of the names with one hash in a directory.
pub(crate) const fn dirent(dir: u64, hash: u64) -> Key {
    Key::new(DIRENT, dir, hash)
}

/// Key of the record that holds the block map of a span; the first lies in the inode.
pub(crate) const fn span(ino: u64, number: u64) -> Key {
    if number == 0 { inode(ino) } else { Key::new(SPAN, ino, number) }
}

/// Key of large extended attributes with one hash.
pub(crate) const fn xattr(ino: u64, hash: u64) -> Key {
    Key::new(XATTR, ino, hash)
}

/// Key of a further name of an inode.
pub(crate) const fn link(ino: u64, hash: u64) -> Key {
    Key::new(LINK, ino, hash)
}

/// Key of the mark of an inode without a name.
pub(crate) const fn orphan(ino: u64) -> Key {
    Key::new(ORPHAN, ino, 0)
}

/// Key of the quota of a directory.
pub(crate) const fn quota(dir: u64) -> Key {
    Key::new(QUOTA, dir, 0)
}

/// The hash of a directory's name: 63 bits, low four zero, never 0.
pub(crate) fn name_hash(seed: u64, name: &[u8]) -> u64 {
    let hash = xxh3_64_with_seed(name, seed) & 0x7fff_ffff_ffff_fff0;
    if hash == 0 { SLOTS } else { hash }
}

/// The hash of an extended attribute's name.
pub(crate) fn xattr_hash(seed: u64, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, seed)
}

/// The hash of one (directory, name hash) pair.
pub(crate) fn link_hash(seed: u64, parent: u64, hash: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&parent.to_le_bytes());
    bytes[8..].copy_from_slice(&hash.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_hashes_leave_room_for_slots_and_reserved_cookies() {
        for n in 0..10_000_u32 {
            let hash = name_hash(7, &n.to_le_bytes());
            assert!(hash >= SLOTS && hash <= i64::MAX as u64 && hash.is_multiple_of(SLOTS));
        }
    }

    #[test]
    fn hashes_on_disk_never_change() {
        assert_eq!(name_hash(1, b"a"), name_hash(1, b"a"));
        assert_ne!(name_hash(1, b"a"), name_hash(2, b"a"));
        assert_ne!(link_hash(0, 1, 2), link_hash(0, 2, 1));
    }
}
