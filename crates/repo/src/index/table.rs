//! The table of all blobs in memory: 48 bytes each, sorted by id, found by interpolation.
//!
//! Ids are hashes, so they are spread evenly and a guess by the first 8 bytes lands within a few entries. A blob may be in several packs; all
//! places are kept, side by side. The table never changes once built; what a run writes is known to its writer.

use crate::id::{BlobId, Id, PackId};
use crate::pack::{BlobKind, PackedBlob};

use super::IndexFile;

/// Plain length of an entry that was not compressed. No blob is that long: restic refuses packs of 4 GiB.
const NOT_COMPRESSED: u32 = u32::MAX;

/// One place of one blob.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    plain: u32,
}

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The pack.
    pub pack: PackId,
    /// The blob in it.
    pub blob: PackedBlob,
}

/// Collects index files. Their entries stay in pieces until the end: one table that grows would be copied, and be there twice meanwhile.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    packs: Vec<PackId>,
    data: Vec<Vec<Entry>>,
    trees: Vec<Vec<Entry>>,
}

impl IndexBuilder {
    /// Takes what an index file says about packs in use, and with `marked` also about those that wait for deletion: their blobs
    /// are there until then.
    pub fn add(&mut self, file: &IndexFile, marked: bool) {
        let more = if marked { file.packs_to_delete.as_slice() } else { &[] };
        let (mut data, mut trees) = (Vec::new(), Vec::new());
        for pack in file.packs.iter().chain(more) {
            let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
            self.packs.push(pack.id);
            for blob in &pack.blobs {
                let plain = blob.uncompressed_length.unwrap_or(NOT_COMPRESSED);
                let entry = Entry {
                    id: blob.id.0,
                    pack: number,
                    offset: blob.offset,
                    length: blob.length,
                    plain,
                };
                match blob.kind {
                    BlobKind::Data => data.push(entry),
                    BlobKind::Tree => trees.push(entry),
                }
            }
        }
        for (pieces, mut piece) in [(&mut self.data, data), (&mut self.trees, trees)] {
            if !piece.is_empty() {
                piece.shrink_to_fit();
                pieces.push(piece);
            }
        }
    }

    /// The table.
    pub fn build(self) -> Index {
        Index { packs: self.packs, data: joined(self.data), trees: joined(self.trees) }
    }
}

/// All pieces as one sorted table. Each piece goes when it is copied, and memory of the table is taken as it fills.
fn joined(pieces: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut table = Vec::with_capacity(pieces.iter().map(Vec::len).sum());
    pieces.into_iter().for_each(|piece| table.extend_from_slice(&piece));
    table.sort_unstable_by_key(|entry| (entry.id, entry.pack, entry.offset));
    table.dedup_by_key(|entry| (entry.id, entry.pack, entry.offset));
    table
}

/// All blobs that the index files name.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<PackId>,
    data: Vec<Entry>,
    trees: Vec<Entry>,
}

impl Index {
    fn table(&self, kind: BlobKind) -> &[Entry] {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Is the blob in some pack?
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        let table = self.table(kind);
        table.get(lower_bound(table, id.0)).is_some_and(|entry| entry.id == id.0)
    }

    /// Where the blob lies; any place when there are several.
    pub fn find(&self, kind: BlobKind, id: BlobId) -> Option<Found> {
        self.find_all(kind, id).next()
    }

    /// Where the blob stands in the table, below [`Index::len`], and its first place. Other places of it follow.
    pub(crate) fn position(&self, kind: BlobKind, id: BlobId) -> Option<(usize, Found)> {
        let table = self.table(kind);
        let at = lower_bound(table, id.0);
        let entry = table.get(at).filter(|entry| entry.id == id.0)?;
        Some((at, self.found(kind, entry)))
    }

    /// All places of a blob.
    pub fn find_all(&self, kind: BlobKind, id: BlobId) -> impl Iterator<Item = Found> + '_ {
        let table = self.table(kind);
        let from = table.get(lower_bound(table, id.0)..).unwrap_or_default();
        from.iter()
            .take_while(move |entry| entry.id == id.0)
            .map(move |entry| self.found(kind, entry))
    }

    /// Every place of every blob of a kind, by id.
    pub fn iter(&self, kind: BlobKind) -> impl Iterator<Item = Found> + '_ {
        self.table(kind).iter().map(move |entry| self.found(kind, entry))
    }

    /// Number of places of blobs of a kind.
    pub fn len(&self, kind: BlobKind) -> usize {
        self.table(kind).len()
    }

    /// Nothing at all?
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trees.is_empty()
    }

    /// All packs, some perhaps twice.
    pub fn packs(&self) -> &[PackId] {
        &self.packs
    }

    fn found(&self, kind: BlobKind, entry: &Entry) -> Found {
        let pack = self.packs.get(entry.pack as usize).copied().unwrap_or_default();
        let plain = (entry.plain != NOT_COMPRESSED).then_some(entry.plain);
        let blob = PackedBlob {
            id: BlobId(entry.id),
            kind,
            offset: entry.offset,
            length: entry.length,
            plain,
        };
        Found { pack, blob }
    }
}

/// The first 8 bytes as a number.
fn prefix(id: Id) -> u64 {
    id.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Position of the first entry that is not before `id`.
fn lower_bound(table: &[Entry], id: Id) -> usize {
    let guess = ((u128::from(prefix(id)) * table.len() as u128) >> 64) as usize;
    let before = |at: usize| table.get(at).is_some_and(|entry| entry.id < id);
    let (mut low, mut high, mut step) = (guess, guess, 16);
    // The window grows until the answer lies in it, also when ids are not spread evenly.
    while low > 0 && !before(low) {
        low = low.saturating_sub(step);
        step *= 2;
    }
    step = 16;
    while high < table.len() && before(high) {
        high = high.saturating_add(step).min(table.len());
        step *= 2;
    }
    let window = table.get(low..high).unwrap_or_default();
    low + window.partition_point(|entry| entry.id < id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{IndexedBlob, IndexedPack};

    fn blob(id: Id, offset: u32) -> IndexedBlob {
        IndexedBlob {
            id: BlobId(id),
            kind: BlobKind::Data,
            offset,
            length: 40,
            uncompressed_length: Some(9),
        }
    }

    fn table_of(ids: &[Id]) -> Index {
        let blobs = ids.iter().zip(0..).map(|(id, at)| blob(*id, at * 40)).collect();
        let pack = IndexedPack { id: PackId(Id::of(b"pack")), blobs, time: None, size: None };
        let mut builder = IndexBuilder::default();
        let file = IndexFile { packs: vec![pack], packs_to_delete: vec![] };
        builder.add(&file, true);
        builder.add(&file, true);
        builder.build()
    }

    #[test]
    fn everything_is_found_and_nothing_else() {
        for count in [0u32, 1, 2, 3, 100, 5000] {
            let ids: Vec<Id> = (0..count).map(|i| Id::of(&i.to_le_bytes())).collect();
            let index = table_of(&ids);
            for (id, at) in ids.iter().zip(0..) {
                let found = index.find(BlobKind::Data, BlobId(*id)).unwrap();
                assert_eq!((found.blob.offset, found.blob.plain), (at * 40, Some(9)));
                assert_eq!(index.find_all(BlobKind::Data, BlobId(*id)).count(), 2);
                assert!(!index.has(BlobKind::Tree, BlobId(*id)));
            }
            for i in count..count + 500 {
                assert!(!index.has(BlobKind::Data, BlobId(Id::of(&i.to_le_bytes()))));
            }
        }
    }

    #[test]
    fn uneven_ids_are_found() {
        for fill in [0u8, 255] {
            let mut ids = vec![Id([fill; 32]); 1000];
            ids.iter_mut()
                .zip(0u16..)
                .for_each(|(id, i)| id.0[30..].copy_from_slice(&i.to_be_bytes()));
            let index = table_of(&ids);
            assert!(ids.iter().all(|id| index.has(BlobKind::Data, BlobId(*id))));
            assert!(
                !index.has(BlobKind::Data, BlobId(Id([fill; 32]))) || ids.contains(&Id([fill; 32]))
            );
            assert!(!index.has(BlobKind::Data, BlobId(Id([7; 32]))));
        }
    }
}
