//! Which files hold given extents: for naming what a damaged one hits.

use crate::error::Result;
use crate::keys;
use crate::read::{BYTES, SPAN_BLOCKS};
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use tintype_store::{Key, Moment, Piece, View};

/// A part of a file that lies in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The extent.
    pub extent: u64,
    /// The file's inode number.
    pub ino: u64,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// All parts of all files of a moment that lie in one of these extents. Reads every block map.
///
/// # Errors
/// The store failed or a record is damaged.
pub fn holders(moment: &mut View, extents: &HashSet<u64>) -> Result<Vec<Holder>> {
    let mut list = Vec::new();
    let ends = [(keys::INODE, keys::DIRENT), (keys::SPAN, keys::XATTR)];
    for (from, to) in ends.map(|(from, to)| (Key::new(from, 0, 0), Key::new(to, 0, 0))) {
        moment.scan(from, to, &mut |key, record| {
            list.extend(parts(key, &record.pieces, extents));
            ControlFlow::Continue(())
        })?;
    }
    list.sort_unstable();
    Ok(list)
}

/// As [`holders`], looking only where files of another moment held these extents.
///
/// # Errors
/// The store failed or a record is damaged.
pub fn holders_at(
    moment: &mut View,
    extents: &HashSet<u64>,
    places: &[Holder],
) -> Result<Vec<Holder>> {
    let span = BYTES * SPAN_BLOCKS;
    let wanted = places.iter().flat_map(|place| {
        let last = place.offset.saturating_add(place.length.max(1) - 1) / span;
        (place.offset / span..=last).map(|number| keys::span(place.ino, number))
    });
    let wanted: BTreeSet<Key> = wanted.collect();
    let mut list = Vec::new();
    for key in wanted {
        if let Some(record) = moment.get(key)? {
            list.extend(parts(key, &record.pieces, extents));
        }
    }
    list.sort_unstable();
    Ok(list)
}

fn parts(key: Key, pieces: &[Piece], extents: &HashSet<u64>) -> Vec<Holder> {
    let hit = pieces.iter().filter(|piece| extents.contains(&piece.extent));
    let part = |piece: &Piece| Holder {
        extent: piece.extent,
        ino: key.a,
        // The first span lies in the inode, whose key has the same second part, 0.
        offset: (key.b * SPAN_BLOCKS + u64::from(piece.at)) * BYTES,
        length: u64::from(piece.len) * BYTES,
    };
    hit.map(part).collect()
}
