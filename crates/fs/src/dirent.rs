//! Directory entries: the names of one hash in one directory, kept as one record.
//!
//! Normally a record holds one name. Colliding names get slot numbers, which stay while a name
//! stays, so that a directory can be listed with stable cookies while it changes.

use crate::error::{Result, refuse};
use crate::keys::SLOTS;
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dirent {
    /// Tells names with one hash apart.
    pub(crate) slot: u8,
    /// File type bits of the mode.
    pub(crate) kind: u32,
    /// The inode.
    pub(crate) ino: u64,
    /// The name.
    pub(crate) name: Box<[u8]>,
}

/// The body of a record with these names.
pub(crate) fn encode(list: &[Dirent]) -> Box<[u8]> {
    let mut w = Writer::new(48);
    w.byte(VERSION);
    for entry in list {
        w.byte(entry.slot).byte((entry.kind >> 12) as u8).num(entry.ino).bytes(&entry.name);
    }
    w.done()
}

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<Dirent>> {
    let mut r = Reader::new(body, "directory entry");
    r.version(VERSION)?;
    let mut list = Vec::with_capacity(1);
    while !r.is_empty() {
        list.push(Dirent {
            slot: r.byte()?,
            kind: u32::from(r.byte()?) << 12,
            ino: r.num()?,
            name: r.bytes()?.into(),
        });
    }
    Ok(list)
}

/// The entry with this name.
pub(crate) fn named(list: &[Dirent], name: &[u8]) -> Option<Dirent> {
    list.iter().find(|entry| &*entry.name == name).cloned()
}

/// Adds a name in the first free slot, keeping the list in slot order.
pub(crate) fn insert(list: &mut Vec<Dirent>, name: &[u8], ino: u64, kind: u32) -> Result<()> {
    let free = (0..SLOTS as u8).find(|slot| list.iter().all(|entry| entry.slot != *slot));
    let Some(slot) = free else { return refuse(libc::ENOSPC) };
    let place = list.partition_point(|entry| entry.slot < slot);
    list.insert(place, Dirent { slot, kind, ino, name: name.into() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_and_slots() {
        let mut list = Vec::new();
        insert(&mut list, b"a", 300, libc::S_IFDIR).unwrap();
        insert(&mut list, b"b", 2, libc::S_IFREG).unwrap();
        assert_eq!(*encode(&list), [1, 0, 4, 0xac, 2, 1, b'a', 1, 8, 2, 1, b'b']);
        assert_eq!(decode(&encode(&list)).unwrap(), list);
        list.remove(0);
        insert(&mut list, b"c", 3, libc::S_IFREG).unwrap();
        assert_eq!(list.iter().map(|e| e.slot).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(&*named(&list, b"c").unwrap().name, b"c");
        assert!(named(&list, b"a").is_none());
    }

    proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>) {
            let _ = decode(&body);
        }
    }
}
