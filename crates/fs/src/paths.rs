//! From an inode number to its paths, in any moment.
//!
//! Follows back references up to the root; a chain that does not end there gives no path. Reads only.

use crate::error::Result;
use crate::inode::Inode;
use crate::keys::{self, ROOT_INO};
use crate::reading;
use std::collections::HashSet;
use tintype_store::{Moment, View};

/// All paths of an inode from the root, without a leading slash; none when it has no name. The root
/// has the empty path.
///
/// # Errors
/// The store failed or a record on the way is damaged.
pub fn paths_of(moment: &mut View, ino: u64) -> Result<Vec<Vec<u8>>> {
    paths(moment, ino)
}

/// As [`paths_of`], of any moment.
pub(crate) fn paths(m: &mut dyn Moment, ino: u64) -> Result<Vec<Vec<u8>>> {
    if ino == ROOT_INO {
        return Ok(vec![Vec::new()]);
    }
    let Some(inode) = named(m, ino)? else { return Ok(Vec::new()) };
    let mut places = vec![(inode.parent, inode.name)];
    if inode.nlink > 1 && !inode.is_dir() {
        places.extend(reading::further_links(m, ino)?);
    }
    places.sort_unstable();
    places.dedup();
    let mut list = Vec::new();
    for (dir, hash) in places {
        for entry in reading::names(m, dir, hash)?.into_iter().filter(|entry| entry.ino == ino) {
            if let Some(mut parts) = parts(m, dir)? {
                parts.push(entry.name);
                list.push(parts.join(&b'/'));
            }
        }
    }
    Ok(list)
}

fn named(m: &mut dyn Moment, ino: u64) -> Result<Option<Inode>> {
    let Some(record) = m.get(keys::inode(ino))? else { return Ok(None) };
    let inode = Inode::decode(&record.body)?;
    Ok((inode.nlink > 0).then_some(inode))
}

/// The names from the root to a directory; `None` when it does not hang from the root.
fn parts(m: &mut dyn Moment, dir: u64) -> Result<Option<Vec<Box<[u8]>>>> {
    let mut seen = HashSet::new();
    let mut parts = Vec::new();
    let mut at = dir;
    while at != ROOT_INO {
        let Some(inode) = named(m, at)? else { return Ok(None) };
        let names = reading::names(m, inode.parent, inode.name)?;
        let Some(entry) = names.into_iter().find(|entry| entry.ino == at) else { return Ok(None) };
        if !seen.insert(at) {
            return Ok(None);
        }
        parts.push(entry.name);
        at = inode.parent;
    }
    parts.reverse();
    Ok(Some(parts))
}
