//! The batches of one journal: how many are whole, and what those behind a bad one say.
//!
//! A power loss may leave any part of the bytes after the last sync: cut, or with sectors that never arrived. The
//! engine takes a cut for granted but refuses to open, or panics, when a batch ends well and is wrong inside. So
//! a journal is measured here first; `sound` decides what a bad batch means.
//!
//! The form of the journal (engine format 3, little endian, no padding): a batch is a start (`1`, count `u32`,
//! sequence number `u64`), `count` items, and an end (`3`, XXH3-64 of the items' bytes, the engine's four magic
//! bytes). An item is `2`, kind `u8`, compression `u8`, keyspace `u64`, key length `u16`, value length `u32`,
//! stored length `u32`, key, stored value; or `4`, keyspace `u64` (clear). The first item is the link (see `link`).
//!
//! It changes nothing and allocates fixed buffers. Safe because a batch counts only when its checksum fits, its link
//! is this store's, and its numbers follow those before. The engine's checksum leaves out the start of a batch: a wrong
//! count makes no batch, a wrong sequence number is caught by its bounds or keeps the order.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::Xxh3;

use super::link::{LINK_KEY, LINK_KEY_LEN, LINK_LEN, Link, StoreId};
use super::tables::Tables;

/// What ends every batch.
const MAGIC: [u8; 4] = *b"FJL\x03";
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Bytes of a start, of an item without key and value, and of an end.
const START_LEN: u64 = 13;
const ITEM_LEN: u64 = 21;
const END_LEN: u64 = 13;
/// Sequence numbers that the engine may take for itself between two batches, at most.
const SEQUENCE_GAP: u64 = 1 << 32;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// What a batch whose keys and values have this many bytes in all takes in the journal, at most.
pub(super) fn batch_len(ops: u64, bytes: u64) -> u64 {
    let link = ITEM_LEN + (LINK_KEY_LEN + LINK_LEN) as u64;
    START_LEN + link + ops * ITEM_LEN + bytes + END_LEN
}

/// A whole batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// What it says.
    pub link: Link,
    /// The engine's sequence number.
    pub sequence: u64,
    /// Where it ends.
    pub end: u64,
}

impl Whole {
    /// Whether this batch comes directly after `before`.
    fn follows(&self, before: &Whole) -> bool {
        self.link.number == before.link.number.saturating_add(1) && self.sequence > before.sequence
    }

    /// Whether this batch comes after `before`, and the tables hold all between them.
    fn continues(&self, before: &Whole, tables: &mut Tables) -> io::Result<bool> {
        let later = self.link.number > before.link.number && self.sequence > before.sequence;
        Ok(self.follows(before) || (later && tables.hold(self.link.number - 1)?))
    }
}

/// The last of the whole batches that follow each other from the start of a journal, and from the last batch `before`
/// of the older journals; `None` when there is none. Between two may be missing what the tables hold.
pub(super) fn last_whole(
    file: &mut File,
    store: &StoreId,
    mut before: Option<Whole>,
    tables: &mut Tables,
) -> io::Result<Option<Whole>> {
    let mut last = None;
    let mut batches = Batches::at(file, 0, store)?;
    while let Some(batch) = batches.next()? {
        if let Some(before) = &before
            && !batch.continues(before, tables)?
        {
            break;
        }
        before = Some(batch);
        last = before;
    }
    Ok(last)
}

/// Whether a journal starts with a whole batch, whatever its number.
pub(super) fn holds_batches(file: &mut File, store: &StoreId) -> io::Result<bool> {
    Ok(Batches::at(file, 0, store)?.next()?.is_some())
}

/// Whether there are only zeros from a position on.
pub(super) fn zeros_from(file: &mut File, at: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    let mut chunk = Vec::with_capacity(CHUNK);
    while fill(file, &mut chunk)? {
        if !is_zero(&chunk) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether all bytes are zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let zeros = &[0; 4096];
    bytes.chunks(zeros.len()).all(|part| zeros.starts_with(part))
}

/// Calls `see` with each whole batch that starts behind a position, wherever it starts.
pub(super) fn search(
    file: &mut File,
    at: u64,
    store: &StoreId,
    mut see: impl FnMut(&Whole),
) -> io::Result<()> {
    for found in links_behind(file, at, store)? {
        let Some(start) = found.checked_sub(START_LEN + ITEM_LEN).filter(|start| *start >= at)
        else {
            continue;
        };
        if let Some(batch) = Batches::at(file, start, store)?.next()? {
            see(&batch);
        }
    }
    Ok(())
}

/// Where the key of a link of this store lies, behind a position.
fn links_behind(file: &mut File, at: u64, store: &StoreId) -> io::Result<Vec<u64>> {
    let sought: Vec<u8> = LINK_KEY.iter().chain(store).copied().collect();
    let (mut found, mut from) = (Vec::new(), at);
    let mut window = Vec::with_capacity(2 * CHUNK);
    let mut chunk = Vec::with_capacity(CHUNK);
    file.seek(SeekFrom::Start(at))?;
    while fill(file, &mut chunk)? {
        window.extend_from_slice(&chunk);
        let starts = window.windows(sought.len()).enumerate();
        let hits = starts.filter(|(_, part)| part.first() == sought.first() && *part == sought);
        if !is_zero(&window) {
            found.extend(hits.map(|(place, _)| from + place as u64));
        }
        // The end of the window may be the start of a key.
        let passed = window.len().saturating_sub(sought.len() - 1);
        window.drain(..passed);
        from += passed as u64;
    }
    Ok(found)
}

/// Reads the next bytes of a file into `chunk`; false at its end.
fn fill(file: &mut File, chunk: &mut Vec<u8>) -> io::Result<bool> {
    chunk.clear();
    file.take(CHUNK as u64).read_to_end(chunk)?;
    Ok(!chunk.is_empty())
}

/// Batches being read one after the other.
struct Batches<'a> {
    from: BufReader<&'a mut File>,
    at: u64,
    store: &'a StoreId,
}

impl<'a> Batches<'a> {
    /// Starts reading at a position.
    fn at(file: &'a mut File, at: u64, store: &'a StoreId) -> io::Result<Self> {
        file.seek(SeekFrom::Start(at))?;
        Ok(Self { from: BufReader::with_capacity(CHUNK, file), at, store })
    }

    /// The next batch; `None` when there is none or it is not whole.
    fn next(&mut self) -> io::Result<Option<Whole>> {
        match self.batch() {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read,
        }
    }

    fn batch(&mut self) -> io::Result<Option<Whole>> {
        if self.take::<1>()? != [START] {
            return Ok(None);
        }
        let count = u32::from_le_bytes(self.take()?);
        let sequence = u64::from_le_bytes(self.take()?);
        let mut hash = Xxh3::new();
        let Some(link) = self.link(&mut hash)? else { return Ok(None) };
        for _ in 1..count {
            if !self.item(&mut hash)? {
                return Ok(None);
            }
        }
        let end = self.take::<1>()? == [END];
        let sum = u64::from_le_bytes(self.take()?);
        let magic = self.take()? == MAGIC;
        let bounds = link.floor..link.floor.saturating_add(SEQUENCE_GAP);
        let whole = count > 0 && end && magic && sum == hash.digest() && bounds.contains(&sequence);
        Ok(whole.then_some(Whole { link, sequence, end: self.at }))
    }

    /// Reads the first item into the checksum; `None` when it is no link of this store.
    fn link(&mut self, hash: &mut Xxh3) -> io::Result<Option<Link>> {
        let head = self.take::<{ ITEM_LEN as usize }>()?;
        let key = self.take::<LINK_KEY_LEN>()?;
        if head.first() != Some(&ITEM) || key != LINK_KEY || !head.ends_with(&LINK_SIZES) {
            return Ok(None);
        }
        let value = self.take::<LINK_LEN>()?;
        [&head[..], &key[..], &value[..]].iter().for_each(|part| hash.update(part));
        Ok(Link::decode(&value, self.store))
    }

    /// Reads one item into the checksum; false when it is none.
    fn item(&mut self, hash: &mut Xxh3) -> io::Result<bool> {
        let tag = self.take::<1>()?;
        hash.update(&tag);
        match tag {
            [ITEM] => {
                let head = self.take::<20>()?;
                hash.update(&head);
                let [kind, packed, _, _, _, _, _, _, _, _, k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] =
                    head;
                let key = u64::from(u16::from_le_bytes([k0, k1]));
                let value = u32::from_le_bytes([v0, v1, v2, v3]);
                let stored = u32::from_le_bytes([s0, s1, s2, s3]);
                let known = kind <= 2 && packed == 0 && value == stored;
                Ok(known && self.pass(key + u64::from(stored), hash)?)
            }
            [CLEAR] => {
                hash.update(&self.take::<8>()?);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Passes `len` bytes through the checksum; false when the file ends before.
    fn pass(&mut self, mut len: u64, hash: &mut Xxh3) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        while len > 0 {
            let want = usize::try_from(len).unwrap_or(usize::MAX).min(chunk.len());
            let Some(part) = chunk.get_mut(..want) else { return Ok(false) };
            self.from.read_exact(part)?;
            hash.update(part);
            self.at += want as u64;
            len -= want as u64;
        }
        Ok(true)
    }

    /// The next `N` bytes.
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }
}

/// The lengths in the head of a link's item: key, value, stored value.
const LINK_SIZES: [u8; 10] =
    [LINK_KEY_LEN as u8, 0, LINK_LEN as u8, 0, 0, 0, LINK_LEN as u8, 0, 0, 0];
