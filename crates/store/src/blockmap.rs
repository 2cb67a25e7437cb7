//! Block maps: which piece of which extent holds each 4 KiB block of a span.
//!
//! Pure functions over sorted, non-overlapping pieces. Pieces of extent 0 are reserved blocks,
//! which read as zeroes. Nothing here reads or writes data.

use crate::{Piece, SPAN_BLOCKS};

/// Blocks of one span, as the width of a piece.
pub const SPAN: u16 = SPAN_BLOCKS as u16;

/// Where one run of blocks of a span lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block in the span.
    pub at: u16,
    /// Blocks.
    pub len: u16,
    /// The piece, cut to the run; `None` for a hole.
    pub piece: Option<Piece>,
}

/// The part of a piece inside [from, to), if any.
pub fn cut(piece: &Piece, from: u16, to: u16) -> Option<Piece> {
    let start = piece.at.max(from);
    let end = piece.at.saturating_add(piece.len).min(to);
    if start >= end {
        return None;
    }
    let first = if piece.extent == 0 { 0 } else { piece.first.saturating_add(start - piece.at) };
    Some(Piece { at: start, len: end - start, first, ..*piece })
}

/// The one block `at`, if it is mapped.
pub fn find(pieces: &[Piece], at: u16) -> Option<Piece> {
    let place = pieces.partition_point(|piece| piece.at <= at).checked_sub(1)?;
    cut(pieces.get(place)?, at, at.saturating_add(1))
}

/// All runs of [from, to), holes included, in order.
pub fn runs(pieces: &[Piece], from: u16, to: u16) -> Vec<Run> {
    let mut list = Vec::new();
    let mut next = from;
    for part in pieces.iter().filter_map(|piece| cut(piece, from, to)) {
        if part.at > next {
            list.push(Run { at: next, len: part.at - next, piece: None });
        }
        next = part.at.saturating_add(part.len);
        list.push(Run { at: part.at, len: part.len, piece: Some(part) });
    }
    if next < to {
        list.push(Run { at: next, len: to - next, piece: None });
    }
    list
}

/// Number of mapped or reserved blocks in [from, to).
pub fn mapped(pieces: &[Piece], from: u16, to: u16) -> u64 {
    pieces.iter().filter_map(|piece| cut(piece, from, to)).map(|piece| u64::from(piece.len)).sum()
}

/// Number of all mapped or reserved blocks.
pub fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| u64::from(piece.len)).sum()
}

/// The map with [from, to) replaced by `new` (sorted pieces inside that range).
pub fn replace(pieces: &[Piece], from: u16, to: u16, new: &[Piece]) -> Vec<Piece> {
    let mut list = Vec::with_capacity(pieces.len() + new.len() + 1);
    let before = pieces.iter().filter_map(|piece| cut(piece, 0, from));
    let after = pieces.iter().filter_map(|piece| cut(piece, to, u16::MAX));
    for piece in before.chain(new.iter().copied()).chain(after) {
        push(&mut list, piece);
    }
    list
}

/// Appends a piece, joining it with the last when they are one run.
fn push(list: &mut Vec<Piece>, piece: Piece) {
    if let Some(last) = list.last_mut() {
        let touches = last.at + last.len == piece.at;
        let same = last.extent == piece.extent && last.birth == piece.birth;
        let follows = piece.extent == 0 || last.first + last.len == piece.first;
        if touches && same && follows {
            last.len += piece.len;
            return;
        }
    }
    list.push(piece);
}

/// Whether two maps name the same blocks (births may differ).
pub fn same_content(a: &[Piece], b: &[Piece]) -> bool {
    let key = |p: &Piece| (p.at, p.len, p.extent, p.first);
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| key(x) == key(y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;
    use proptest::prelude::*;

    fn piece(at: u16, len: u16, extent: u64, first: u16) -> Piece {
        Piece { at, len, extent, first, birth: Epoch(1) }
    }

    #[test]
    fn a_hole_in_the_middle_splits_a_piece() {
        let list = replace(&[piece(0, 10, 5, 3)], 4, 6, &[]);
        assert_eq!(list, [piece(0, 4, 5, 3), piece(6, 4, 5, 9)]);
        assert_eq!(total(&list), 8);
        assert_eq!(find(&list, 7), Some(piece(7, 1, 5, 10)));
        assert_eq!(find(&list, 5), None);
        let back = replace(&list, 4, 6, &[piece(4, 2, 5, 7)]);
        assert_eq!(back, [piece(0, 10, 5, 3)]);
    }

    proptest! {
        #[test]
        fn equals_an_array(ops in prop::collection::vec((0_u16..32, 1_u16..32, 0_u64..4, any::<bool>()), 0..40)) {
            let mut map = Vec::new();
            let mut plain = [None; 32];
            for (at, len, extent, hole) in ops {
                let end = (at + len).min(32);
                let first = if extent == 0 { 0 } else { at };
                let new = [piece(at, end - at, extent, first)];
                map = replace(&map, at, end, if hole { &[] } else { &new });
                for block in at..end {
                    let index = if extent == 0 { 0 } else { block };
                    plain[usize::from(block)] = (!hole).then_some((extent, index));
                }
            }
            for (block, want) in (0_u16..).zip(plain) {
                prop_assert_eq!(find(&map, block).map(|p| (p.extent, p.first)), want);
            }
            let covered: u16 = runs(&map, 0, 32).iter().map(|run| run.len).sum();
            prop_assert_eq!(covered, 32);
            prop_assert_eq!(mapped(&map, 0, 32), plain.iter().flatten().count() as u64);
        }
    }
}
