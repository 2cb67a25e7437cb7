//! Listing directories with cookies that stay right while the directory changes.
//!
//! A cookie is the hash of a name with its slot; entries come in that order. So every name that
//! was there all along is listed exactly once, whatever is added and removed meanwhile.

use crate::dirent::Dirent;
use crate::error::{FsError, Result};
use crate::keys;
use crate::place::Place;
use crate::reading;
use crate::snapdir;
use crate::tree::{FOREVER, Tree};
use crate::vfs::{DirItem, DirSink, Entry, Node, ROOT};
use tintype_store::Moment;

/// Entries that are read at once.
const PAGE: usize = 128;

/// Lists a directory behind `offset` into `sink`.
pub(crate) fn list(
    place: &Place,
    dir: u64,
    offset: u64,
    plus: bool,
    sink: &mut dyn DirSink,
) -> Result<()> {
    if !dots(place, dir, offset, sink)? {
        return Ok(());
    }
    let mut cookie = offset.max(2);
    loop {
        let page = match place {
            Place::Live(tree) => {
                let mut state = tree.state.lock();
                let page = reading::page(&mut state.line, dir, cookie, PAGE)?;
                push(place, Some(tree), &mut state.line, dir, &page, plus, sink)?
            }
            Place::Frozen(_) => place.with(|m, _| {
                let page = reading::page(m, dir, cookie, PAGE)?;
                push(place, None, m, dir, &page, plus, sink)
            })?,
        };
        match page {
            Some(last) => cookie = last,
            None => return Ok(()),
        }
    }
}

/// "." and ".."; false when the sink is full.
fn dots(place: &Place, dir: u64, offset: u64, sink: &mut dyn DirSink) -> Result<bool> {
    if offset >= 2 {
        return Ok(true);
    }
    let inode = place.with(|m, _| reading::directory(m, dir))?;
    let up = match place {
        _ if dir != keys::ROOT_INO => place.node(inode.parent).0,
        _ if place.node(dir) == ROOT => ROOT.0,
        _ => snapdir::NODE.0,
    };
    for (own, name, ino) in [(1, b".".as_slice(), place.node(dir).0), (2, b"..".as_slice(), up)] {
        let item = DirItem { ino, next_offset: own, kind: libc::S_IFDIR, name, entry: None };
        if offset < own && !sink.push(&item) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Pushes a page; answers the last cookie, or `None` when the sink is full or nothing is left.
fn push(
    place: &Place,
    tree: Option<&Tree>,
    m: &mut dyn Moment,
    dir: u64,
    page: &[(u64, Dirent)],
    plus: bool,
    sink: &mut dyn DirSink,
) -> Result<Option<u64>> {
    if plus {
        let keys: Vec<_> = page.iter().map(|(_, entry)| keys::inode(entry.ino)).collect();
        m.prefetch(&keys)?;
    }
    for (cookie, dirent) in page {
        let node = place.node(dirent.ino);
        let entry = if plus { inode_entry(m, node, dirent.ino)? } else { None };
        let item = DirItem {
            ino: node.0,
            next_offset: *cookie,
            kind: dirent.kind,
            name: &dirent.name,
            entry,
        };
        if !sink.push(&item) {
            return Ok(None);
        }
        if let Some(tree) = tree.filter(|_| entry.is_some()) {
            tree.nodes.add(node, tree.node(dir), &dirent.name);
        }
    }
    Ok(page.last().map(|(cookie, _)| *cookie))
}

/// The entry of an inode; `None` when it is missing, so that the rest of the directory can be listed.
fn inode_entry(m: &mut dyn Moment, node: Node, ino: u64) -> Result<Option<Entry>> {
    match reading::inode(m, ino) {
        Ok((inode, _)) => {
            let attr = inode.attr(node.0);
            Ok(Some(Entry { node, attr, entry_ttl: FOREVER, attr_ttl: FOREVER }))
        }
        Err(FsError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
