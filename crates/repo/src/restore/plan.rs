//! What a batch of files needs, in the order of packs.
//!
//! A chunk is placed by the lengths of those before it, which the index knows. Where blobs are in no index, those behind them are placed from
//! the file's end; a single unknown length follows from the file's size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32};

use parking_lot::Mutex;

use super::dirs::DirId;
use super::file::Slot;
use crate::id::{BlobId, PackId};
use crate::index::{Found, Index};
use crate::pack::{BlobKind, PackedBlob};
use crate::tree::Node;

/// Files of a batch.
const FILES: usize = 50_000;
/// Chunks of a batch.
const CHUNKS: usize = 250_000;
/// Bytes read at once; a longer blob is read alone.
const RANGE: u64 = 2 << 20;
/// Unneeded bytes that are read rather than asked for twice.
const GAP: u64 = 128 << 10;
/// Chunks of one file that are compared in one go.
const COMPARED: usize = 32;

/// What is known of a file before its content is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing stands there.
    New,
    /// A file with this device and inode is there and is changed in place.
    InPlace { device: u64, inode: u64, holes: bool },
}

/// A file of the batch.
pub(super) struct File {
    pub dir: DirId,
    pub node: Box<Node>,
    pub how: How,
    /// Bytes of the content.
    pub size: u64,
    /// Chunks still to be written.
    pub left: AtomicU32,
    /// The length must be set at the end: nothing may have been written there.
    pub resize: AtomicBool,
    pub slot: Mutex<Slot>,
}

/// A chunk that a file needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pack: u32,
    offset: u32,
    length: u32,
    plain: Option<u32>,
    id: BlobId,
    /// The file in the batch.
    pub file: u32,
    /// Where in the file.
    pub at: u64,
}

/// Chunks of an existing file that are to be compared.
pub(super) struct Compare {
    pub file: u32,
    pub chunks: Range<usize>,
}

/// Files that are restored together.
#[derive(Default)]
pub(super) struct Batch {
    pub files: Vec<File>,
    pub wants: Vec<Want>,
    pub compares: Vec<Compare>,
    packs: Packs,
    chunks: usize,
}

/// Packs by numbers.
#[derive(Default)]
pub(super) struct Packs {
    numbers: HashMap<PackId, u32>,
    ids: Vec<PackId>,
}

impl Packs {
    pub fn want(&mut self, found: &Found, file: u32, at: u64) -> Want {
        let PackedBlob { id, offset, length, plain, .. } = found.blob;
        let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let pack = *self.numbers.entry(found.pack).or_insert_with(|| {
            self.ids.push(found.pack);
            next
        });
        Want { pack, offset, length, plain, id, file, at }
    }
}

impl Batch {
    pub fn is_full(&self) -> bool {
        self.files.len() >= FILES || self.chunks >= CHUNKS
    }

    /// Adds a file; the caller then adds its chunks.
    pub fn add(&mut self, file: File, chunks: usize) -> u32 {
        self.chunks += chunks;
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(file);
        number
    }

    pub fn want(&mut self, found: &Found, file: u32, at: u64) {
        let want = self.packs.want(found, file, at);
        self.wants.push(want);
    }

    /// All chunks of the file are to be compared.
    pub fn compare(&mut self, file: u32, count: usize) {
        // Each part looks up all chunks once: a large file has few parts.
        let step = COMPARED.max(count / 16);
        let part = |start| Compare { file, chunks: start..count.min(start + step) };
        self.compares.extend((0..count).step_by(step).map(part));
    }

    /// Sorts the wants, counts them per file and cuts them into what is read at once.
    pub fn order(&mut self) -> Vec<Range<usize>> {
        self.wants.sort_unstable_by_key(|want| (want.pack, want.offset, want.file, want.at));
        for want in &self.wants {
            if let Some(file) = self.files.get_mut(want.file as usize) {
                *file.left.get_mut() += 1;
            }
        }
        let (mut ranges, mut start) = (Vec::new(), 0);
        let (mut pack, mut from, mut end) = (u32::MAX, 0, 0);
        for (at, want) in self.wants.iter().enumerate() {
            let (offset, behind) = (u64::from(want.offset), want.end());
            let again = offset < end && want.pack == pack;
            let fits = want.pack == pack && offset <= end + GAP && behind - from <= RANGE;
            if at > 0 && !fits && !(again && behind <= end) {
                ranges.push(start..at);
                start = at;
            }
            if start == at {
                (pack, from, end) = (want.pack, offset, behind);
            }
            end = end.max(behind);
        }
        if start < self.wants.len() {
            ranges.push(start..self.wants.len());
        }
        ranges
    }

    /// Where the blob of a want lies.
    pub fn found(&self, want: &Want) -> Found {
        let pack = self.packs.ids.get(want.pack as usize).copied().unwrap_or_default();
        let Want { offset, length, plain, id, .. } = *want;
        Found { pack, blob: PackedBlob { id, kind: BlobKind::Data, offset, length, plain } }
    }
}

impl Want {
    /// Where its sealed bytes begin in the pack.
    pub fn start(&self) -> u64 {
        u64::from(self.offset)
    }

    /// Where they end.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }

    /// Is it the same blob in the same place?
    pub fn same_place(&self, other: &Self) -> bool {
        (self.pack, self.offset, self.length, self.id)
            == (other.pack, other.offset, other.length, other.id)
    }
}

/// A chunk of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub id: BlobId,
    /// `None`: no index knows it.
    pub found: Option<Found>,
    pub at: Option<u64>,
    pub length: Option<u64>,
}

/// Where the chunks of a file with this size lie; gives its true size.
pub(super) fn place(
    index: &Index,
    content: &[BlobId],
    size: u64,
    mut each: impl FnMut(usize, Placed),
) -> u64 {
    let find = |id: &BlobId| index.find(BlobKind::Data, *id);
    let (mut known, mut unknown, mut last) = (0u64, 0, 0);
    for (number, id) in content.iter().enumerate() {
        match find(id) {
            Some(found) => known = known.saturating_add(length_of(&found)),
            None => (unknown, last) = (unknown + 1, number),
        }
    }
    let size = if unknown == 0 { known } else { size.max(known) };
    let single = (unknown == 1).then(|| size - known);
    let mut at = Some(0u64);
    for (number, id) in content.iter().enumerate() {
        let found = find(id);
        let length = found.as_ref().map(length_of).or(single);
        each(number, Placed { id: *id, found, at, length });
        at = at.zip(length).map(|(at, length)| at.saturating_add(length));
        if number == last && at.is_none() {
            let behind = content.iter().skip(number + 1).filter_map(find);
            at = Some(size.saturating_sub(behind.map(|found| length_of(&found)).sum()));
        }
    }
    size
}

fn length_of(found: &Found) -> u64 {
    u64::from(found.blob.plain_length())
}
