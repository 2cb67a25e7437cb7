//! The keys of a disk's records: kind 0 describes the disk, kind 3 are block maps, as in a filesystem.

use tintype_store::Key;

/// The record about the disk itself.
pub(crate) const HEAD: Key = Key::new(0, 0, 0);
/// Kind of block maps.
pub(crate) const SPAN: u8 = 3;
/// What segments name as the owner of a disk's data.
pub(crate) const OBJECT: u64 = 0;

/// Key of the block map of span `number`: blocks 32 n to 32 n + 31.
pub(crate) const fn span(number: u64) -> Key {
    Key::new(SPAN, OBJECT, number)
}
