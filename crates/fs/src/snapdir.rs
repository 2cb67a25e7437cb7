//! The `.snapshots` directory in the root of a mount: hidden from listing, one entry per snapshot.

use crate::error::{Result, refuse};
use crate::inode::{Inode, now};
use crate::keys::{ROOT_INO, SLOTS};
use crate::moments::Moments;
use crate::nodes::{SNAPSHOTS, pack};
use crate::place::Place;
use crate::reading;
use crate::vfs::{Attr, DirItem, DirSink, Entry, Node, ROOT, Time};
use std::time::Duration;

/// The directory's name.
pub(crate) const NAME: &[u8] = b".snapshots";
/// The directory's node.
pub(crate) const NODE: Node = pack(SNAPSHOTS, ROOT_INO);
/// How long names and attributes here may be trusted.
pub(crate) const TTL: Duration = Duration::from_secs(1);

/// Whether a name in a directory stands for the directory of snapshots.
pub(crate) fn is_here(dir: Node, name: &[u8]) -> bool {
    dir == ROOT && name == NAME
}

/// The directory's attributes; its times show the newest snapshot.
pub(crate) fn attr(moments: &Moments) -> Attr {
    let list = moments.list();
    let newest = list.iter().map(|snapshot| snapshot.meta.time).max();
    let time = newest.map_or_else(now, |time| Time {
        secs: time.as_second(),
        nanos: time.subsec_nanosecond().unsigned_abs(),
    });
    let inode = Inode {
        mode: libc::S_IFDIR | 0o555,
        nlink: u32::try_from(list.len()).unwrap_or(u32::MAX - 2) + 2,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        ..Inode::default()
    };
    inode.attr(NODE.0)
}

/// The directory as an entry of the root.
pub(crate) fn entry(moments: &Moments) -> Entry {
    Entry { node: NODE, attr: attr(moments), entry_ttl: TTL, attr_ttl: TTL }
}

/// Enters the snapshot with this access point.
pub(crate) fn lookup(moments: &Moments, name: &[u8]) -> Result<Entry> {
    let Some(snapshot) = moments.named(name) else { return refuse(libc::ENOENT) };
    let place = moments.enter(&snapshot)?;
    let (inode, _) = place.with(|m, _| reading::inode(m, ROOT_INO))?;
    let node = place.node(ROOT_INO);
    if let Place::Live(tree) = &place {
        tree.nodes.add(node, NODE, name);
    }
    Ok(Entry { node, attr: inode.attr(node.0), entry_ttl: TTL, attr_ttl: TTL })
}

/// Lists the access points behind `offset`.
pub(crate) fn list(moments: &Moments, offset: u64, sink: &mut dyn DirSink) {
    for (own, name) in [(1, b".".as_slice()), (2, b"..".as_slice())] {
        let ino = if own == 1 { NODE.0 } else { ROOT.0 };
        let item = DirItem { ino, next_offset: own, kind: libc::S_IFDIR, name, entry: None };
        if offset < own && !sink.push(&item) {
            return;
        }
    }
    for snapshot in moments.list_from(offset).iter() {
        let cookie = snapshot.id.0.saturating_add(SLOTS);
        let item = DirItem {
            ino: NODE.0.wrapping_add(cookie),
            next_offset: cookie,
            kind: libc::S_IFDIR,
            name: snapshot.meta.access_point.as_str().as_bytes(),
            entry: None,
        };
        if cookie > offset && !sink.push(&item) {
            return;
        }
    }
}
