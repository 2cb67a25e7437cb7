//! What differs between two moments of a disk.
//!
//! The store names every map that may differ; each is compared in both moments, so the cost is that of the changes and not of the
//! disk. Clones and restored disks compare with what they came from.

use crate::error::Result;
use crate::keys;
use crate::view::{Blocks, DiskView};
use std::ops::ControlFlow;
use tintype_store::compare::{Equal, Side, differing};
use tintype_store::content::BYTES;
use tintype_store::{Fixed, Key, Moment, MomentRef, Store};

/// Maps that are looked up together.
const CHUNK: usize = 1024;

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The ranges of the disk at `b` whose content is another than at `a`, ascending, in whole blocks of 4 KiB (the last one cut at the
/// disk's end). What is live is compared as it is at one instant during the call. With [`Equal::Place`] also blocks that were written with the bytes that they had; nothing is read then.
///
/// # Errors
/// A moment does not exist or is no disk, the two share no history, data is damaged, or the store failed.
pub fn changes(store: &Store, a: MomentRef, b: MomentRef, equal: Equal) -> Result<Vec<ByteRange>> {
    Kept::new(store, a, b)?.changes(equal)
}

/// Two moments of disks that stay as they are while this lives, whatever is written or deleted meanwhile; what is live, as at one instant.
pub struct Kept<'s> {
    fixed: Fixed<'s>,
    views: [DiskView; 2],
}

impl<'s> Kept<'s> {
    /// Keeps them. Both may be the same.
    ///
    /// # Errors
    /// A moment does not exist or is no disk, or the store failed.
    pub fn new(store: &'s Store, a: MomentRef, b: MomentRef) -> Result<Self> {
        let fixed = store.fix(a, b)?;
        let [old, new] = fixed.views();
        let views = [DiskView::of(old)?, DiskView::of(new)?];
        Ok(Self { fixed, views })
    }

    /// The moments.
    #[must_use]
    pub const fn views(&self) -> &[DiskView; 2] {
        &self.views
    }

    /// As [`changes`] tells them.
    ///
    /// # Errors
    /// The two share no history, data is damaged, or the store failed.
    pub fn changes(&self, equal: Equal) -> Result<Vec<ByteRange>> {
        let [old, new] = &self.views;
        compare(&self.fixed.touched()?, old, new, equal)
    }
}

fn compare(touched: &[Key], a: &DiskView, b: &DiskView, equal: Equal) -> Result<Vec<ByteRange>> {
    let end = b.size();
    let (mut old, mut new) = (a.moment(), b.moment());
    let (old_reader, new_reader) = (old.blocks(), new.blocks());
    let maps: Vec<Key> = touched.iter().filter(|key| key.kind == keys::SPAN).copied().collect();
    let mut list: Vec<ByteRange> = Vec::new();
    for chunk in maps.chunks(CHUNK) {
        old.prefetch(chunk)?;
        new.prefetch(chunk)?;
        for key in chunk {
            let (x, y) = (crate::disk::map(&mut old, key.b)?, crate::disk::map(&mut new, key.b)?);
            let x = Side { reader: &old_reader, pieces: x.as_ref() };
            let y = Side { reader: &new_reader, pieces: y.as_ref() };
            differing(key.b, end, x, y, equal, &mut |offset| {
                let length = BYTES.min(end - offset);
                match list.last_mut() {
                    Some(last) if last.offset + last.length == offset => last.length += length,
                    _ => list.push(ByteRange { offset, length }),
                }
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(list)
}
