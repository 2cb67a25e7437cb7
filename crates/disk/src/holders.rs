//! Which parts of a disk lie in given extents: to name what damage hits.

use crate::changes::ByteRange;
use crate::error::Result;
use crate::keys;
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use tintype_store::content::BYTES;
use tintype_store::{Key, Moment, Piece, SPAN_BLOCKS, View};

/// Bytes of one block map.
const SPAN: u64 = SPAN_BLOCKS * BYTES;

/// All parts of a moment that lie in one of these extents, each with its extent, by offset. Reads every block map.
///
/// # Errors
/// The store failed or a record is damaged.
pub fn holders(moment: &mut View, extents: &HashSet<u64>) -> Result<Vec<(u64, ByteRange)>> {
    let mut list = Vec::new();
    moment.scan(keys::span(0), keys::span(u64::MAX), &mut |key, record| {
        list.extend(parts(key, &record.pieces, extents));
        ControlFlow::Continue(())
    })?;
    Ok(list)
}

/// As [`holders`], looking only where another moment held these extents.
///
/// # Errors
/// The store failed or a record is damaged.
pub fn holders_at(
    moment: &mut View,
    extents: &HashSet<u64>,
    places: &[ByteRange],
) -> Result<Vec<(u64, ByteRange)>> {
    let spans = places.iter().flat_map(|place| {
        let last = place.offset.saturating_add(place.length.max(1) - 1) / SPAN;
        place.offset / SPAN..=last
    });
    let wanted: BTreeSet<Key> = spans.map(keys::span).collect();
    let mut list = Vec::new();
    for key in wanted {
        if let Some(record) = moment.get(key)? {
            list.extend(parts(key, &record.pieces, extents));
        }
    }
    Ok(list)
}

fn parts(
    key: Key,
    pieces: &[Piece],
    extents: &HashSet<u64>,
) -> impl Iterator<Item = (u64, ByteRange)> {
    let hit = pieces.iter().filter(|piece| extents.contains(&piece.extent));
    hit.map(move |piece| {
        let offset = key.b.saturating_mul(SPAN).saturating_add(u64::from(piece.at) * BYTES);
        (piece.extent, ByteRange { offset, length: u64::from(piece.len) * BYTES })
    })
}
