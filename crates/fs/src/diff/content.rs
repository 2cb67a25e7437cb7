//! Whether and where the content of a file differs.
//!
//! Blocks are compared as `tintype_store::compare` does: rewriting the same bytes is no change of content.

use super::Diff;
use super::side::Found;
use crate::error::Result;
use crate::read::BYTES;
use std::ops::ControlFlow;
use tintype_store::compare::{Equal, Side, differing};
use tintype_store::{Key, Piece};

impl Diff {
    /// The ranges that differ (at most the first one unless ranges are wanted); `None` when the
    /// content is the same.
    pub(super) fn content(
        &mut self,
        ino: u64,
        old: &Found,
        new: &Found,
        spans: &[Key],
    ) -> Result<Option<Vec<(u64, u64)>>> {
        let end = new.0.size;
        let mut differs = old.0.size != new.0.size;
        if differs && !self.ranges {
            return Ok(Some(Vec::new()));
        }
        let mut list = Vec::new();
        let zero = (0, old.1.pieces.clone(), new.1.pieces.clone());
        let mut next = Some(zero);
        let mut rest = spans.iter();
        while let Some((span, a, b)) = next {
            self.span(span, &a, &b, end, &mut list)?;
            differs |= !list.is_empty();
            if differs && !self.ranges {
                return Ok(Some(Vec::new()));
            }
            next = match rest.next() {
                Some(key) => {
                    let pieces = |record: Option<std::sync::Arc<tintype_store::Record>>| {
                        record.map_or_else(Box::default, |record| record.pieces.clone())
                    };
                    debug_assert_eq!(key.a, ino);
                    Some((key.b, pieces(self.a.record(*key)?), pieces(self.b.record(*key)?)))
                }
                None => None,
            };
        }
        let size = new.0.size;
        for range in &mut list {
            range.1 = range.1.min(size.saturating_sub(range.0));
        }
        Ok(differs.then_some(list))
    }

    /// Adds the blocks of one span that differ below byte `end` of the file.
    fn span(
        &self,
        span: u64,
        a: &[Piece],
        b: &[Piece],
        end: u64,
        list: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let (old, new) = (self.a.reader(), self.b.reader());
        let old = Side { reader: &old, pieces: a };
        let new = Side { reader: &new, pieces: b };
        differing(span, end, old, new, Equal::Bytes, &mut |offset| {
            match list.last_mut() {
                Some(last) if last.0 + last.1 == offset => last.1 += BYTES,
                _ => list.push((offset, BYTES)),
            }
            if self.ranges { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(())
    }
}
