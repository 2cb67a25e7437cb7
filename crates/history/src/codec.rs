//! Bytes of the versioned map: row keys, record values, dead lists, touched lists.
//!
//! Pure functions; decoding is bounded and never panics. `docs/format.md` gives the layout.
//! Integers in row keys are big-endian (they sort), integers in values are LEB128.

use crate::types::{Epoch, Key, Piece, Record, SpaceId};

/// Row prefixes of this crate inside the one keyspace.
pub mod prefix {
    /// Record versions.
    pub const VERSION: u8 = b'V';
    /// Dead lists.
    pub const DEAD: u8 = b'D';
    /// Cells: bytes by (death, birth).
    pub const CELL: u8 = b'U';
    /// Touched keys by epoch.
    pub const TOUCHED: u8 = b'C';
    /// Spaces.
    pub const SPACE: u8 = b'S';
    /// The counters.
    pub const COUNTERS: u8 = b'G';
}

/// Death of what is alive.
pub const ALIVE: Epoch = Epoch(u64::MAX);

/// Blocks of an extent: no piece reaches behind them.
const EXTENT_BLOCKS: u16 = 32;

/// Row key bytes that every record version costs besides its value.
const VERSION_KEY_BYTES: usize = 1 + 8 + Key::BYTES + 8;

/// Appends a LEB128 integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length of a LEB128 integer.
fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// A bounded reader over untrusted bytes: every method answers `None` past the end.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    /// A fixed number of bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    /// A big-endian u64.
    pub fn be64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
    /// A LEB128 integer of at most 64 bits.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    /// A LEB128 integer that fits 16 bits.
    pub fn varint16(&mut self) -> Option<u16> {
        u16::try_from(self.varint()?).ok()
    }
    /// A record key.
    pub fn key(&mut self) -> Option<Key> {
        Some(Key { kind: self.u8()?, a: self.be64()?, b: self.be64()? })
    }
}

/// Appends the 17 bytes of a key.
pub fn put_key(out: &mut Vec<u8>, key: Key) {
    out.push(key.kind);
    out.extend_from_slice(&key.a.to_be_bytes());
    out.extend_from_slice(&key.b.to_be_bytes());
}

fn row(prefix: u8, parts: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.len() * 8);
    out.push(prefix);
    for part in parts {
        out.extend_from_slice(&part.to_be_bytes());
    }
    out
}

/// Row of one version: newest first within a key.
#[must_use]
pub fn version_row(space: SpaceId, key: Key, birth: Epoch) -> Vec<u8> {
    let mut out = version_prefix(space, key);
    out.extend_from_slice(&(!birth.0).to_be_bytes());
    out
}

/// Common start of all versions of a key.
#[must_use]
pub fn version_prefix(space: SpaceId, key: Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(VERSION_KEY_BYTES);
    out.push(prefix::VERSION);
    out.extend_from_slice(&space.0.to_be_bytes());
    put_key(&mut out, key);
    out
}

/// Row behind all versions of a key: an exclusive end for ranges.
#[must_use]
pub fn version_end(space: SpaceId, key: Key) -> Vec<u8> {
    match key.next() {
        Some(next) => version_prefix(space, next),
        None => row(prefix::VERSION, &[space.0.saturating_add(1)]),
    }
}

/// Splits a version row into key and birth.
#[must_use]
pub fn parse_version_row(bytes: &[u8]) -> Option<(SpaceId, Key, Epoch)> {
    let mut reader = Bytes(bytes);
    if reader.u8()? != prefix::VERSION {
        return None;
    }
    let space = SpaceId(reader.be64()?);
    let key = reader.key()?;
    let birth = Epoch(!reader.be64()?);
    reader.0.is_empty().then_some((space, key, birth))
}

/// Row of a cell.
#[must_use]
pub fn cell_row(space: SpaceId, death: Epoch, birth: Epoch) -> Vec<u8> {
    row(prefix::CELL, &[space.0, death.0, birth.0])
}

/// Row of one part of a dead list.
#[must_use]
pub fn dead_row(space: SpaceId, death: Epoch, birth: Epoch, seq: u64) -> Vec<u8> {
    row(prefix::DEAD, &[space.0, death.0, birth.0, seq])
}

/// Row of one part of an epoch's touched keys.
#[must_use]
pub fn touched_row(space: SpaceId, epoch: Epoch, seq: u64) -> Vec<u8> {
    row(prefix::TOUCHED, &[space.0, epoch.0, seq])
}

/// Row of a space.
#[must_use]
pub fn space_row(space: SpaceId) -> Vec<u8> {
    row(prefix::SPACE, &[space.0])
}

/// Bounds of all rows with `prefix` and leading numbers `parts`.
#[must_use]
pub fn row_range(prefix: u8, parts: &[u64]) -> (Vec<u8>, Vec<u8>) {
    let from = row(prefix, parts);
    let mut to = from.clone();
    while let Some(last) = to.pop() {
        if let Some(next) = last.checked_add(1) {
            to.push(next);
            break;
        }
    }
    (from, to)
}

/// Reads `N` big-endian numbers behind a prefix byte.
#[must_use]
pub fn parse_row<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let mut reader = Bytes(bytes);
    reader.u8()?;
    let mut out = [0; N];
    for slot in &mut out {
        *slot = reader.be64()?;
    }
    reader.0.is_empty().then_some(out)
}

const TOMBSTONE: u8 = 1;
const OVER: u8 = 2;

/// The value of a tombstone.
pub const TOMBSTONE_VALUE: [u8; 1] = [TOMBSTONE];

/// Encodes a record version.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.body.len() + 2 + record.pieces.len() * 12);
    out.push(if record.over { OVER } else { 0 });
    put_varint(&mut out, record.pieces.len() as u64);
    for piece in &record.pieces {
        put_varint(&mut out, piece.at.into());
        put_varint(&mut out, piece.len.into());
        put_varint(&mut out, piece.extent);
        put_varint(&mut out, piece.first.into());
        put_varint(&mut out, record.birth.0.wrapping_sub(piece.birth.0));
    }
    out.extend_from_slice(&record.body);
    out
}

/// Accounted bytes of a record version, its data not included: row key and value.
#[must_use]
pub fn record_bytes(record: &Record) -> u64 {
    let mut len = 1 + varint_len(record.pieces.len() as u64) + record.body.len();
    for piece in &record.pieces {
        len += varint_len(piece.at.into())
            + varint_len(piece.len.into())
            + varint_len(piece.extent)
            + varint_len(piece.first.into())
            + varint_len(record.birth.0.wrapping_sub(piece.birth.0));
    }
    (len + VERSION_KEY_BYTES) as u64
}

/// A decoded version: `None` inside is a tombstone; the outer `None` is damage.
#[must_use]
pub fn decode_record(birth: Epoch, bytes: &[u8]) -> Option<Option<Record>> {
    let mut reader = Bytes(bytes);
    let flags = reader.u8()?;
    if flags == TOMBSTONE {
        return reader.0.is_empty().then_some(None);
    }
    if flags & !OVER != 0 {
        return None;
    }
    let count = usize::try_from(reader.varint()?).ok()?;
    if count > reader.0.len() / 5 {
        return None;
    }
    let mut pieces = Vec::with_capacity(count);
    let mut end = 0u32;
    for _ in 0..count {
        let piece = decode_piece(&mut reader, birth)?;
        if u32::from(piece.at) < end || piece.len == 0 {
            return None;
        }
        end = u32::from(piece.at) + u32::from(piece.len);
        pieces.push(piece);
    }
    Some(Some(Record {
        birth,
        body: reader.0.into(),
        pieces: pieces.into(),
        over: flags & OVER != 0,
    }))
}

fn decode_piece(reader: &mut Bytes<'_>, birth: Epoch) -> Option<Piece> {
    let piece = Piece {
        at: reader.varint16()?,
        len: reader.varint16()?,
        extent: reader.varint()?,
        first: reader.varint16()?,
        birth: Epoch(birth.0.wrapping_sub(reader.varint()?)),
    };
    let inside = piece.first.checked_add(piece.len)? <= EXTENT_BLOCKS || piece.extent == 0;
    piece.at.checked_add(piece.len).filter(|_| inside && piece.birth <= birth).map(|_| piece)
}

/// One thing that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dead {
    /// The version of this key born in the list's birth epoch.
    Version(Key),
    /// References to `len` blocks of `extent` from index `first`.
    Blocks {
        /// The extent.
        extent: u64,
        /// First index.
        first: u16,
        /// Number of blocks.
        len: u16,
    },
}

/// Encodes a dead list.
#[must_use]
pub fn encode_dead(items: &[Dead]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * 18);
    for item in items {
        match *item {
            Dead::Version(key) => {
                out.push(0);
                put_key(&mut out, key);
            }
            Dead::Blocks { extent, first, len } => {
                out.push(1);
                put_varint(&mut out, extent);
                put_varint(&mut out, first.into());
                put_varint(&mut out, len.into());
            }
        }
    }
    out
}

/// Decodes a dead list; `None` is damage.
#[must_use]
pub fn decode_dead(bytes: &[u8]) -> Option<Vec<Dead>> {
    let mut reader = Bytes(bytes);
    let mut items = Vec::new();
    while !reader.0.is_empty() {
        items.push(match reader.u8()? {
            0 => Dead::Version(reader.key()?),
            1 => {
                let (extent, first, len) =
                    (reader.varint()?, reader.varint16()?, reader.varint16()?);
                first.checked_add(len).filter(|end| *end <= EXTENT_BLOCKS)?;
                Dead::Blocks { extent, first, len }
            }
            _ => return None,
        });
    }
    Some(items)
}

/// Encodes sorted keys: each as its difference from the one before.
#[must_use]
pub fn encode_keys(keys: &[Key]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keys.len() * 8);
    let mut last = Key::new(0, 0, 0);
    for key in keys {
        let same_a = key.kind == last.kind && key.a == last.a;
        if same_a {
            out.push(0);
            put_varint(&mut out, key.b.wrapping_sub(last.b));
        } else {
            out.push(1);
            out.push(key.kind);
            put_varint(&mut out, key.a.wrapping_sub(last.a));
            put_varint(&mut out, key.b);
        }
        last = *key;
    }
    out
}

/// Decodes keys; `None` is damage.
#[must_use]
pub fn decode_keys(bytes: &[u8]) -> Option<Vec<Key>> {
    let mut reader = Bytes(bytes);
    let mut keys = Vec::new();
    let mut last = Key::new(0, 0, 0);
    while !reader.0.is_empty() {
        last = match reader.u8()? {
            0 => Key { b: last.b.wrapping_add(reader.varint()?), ..last },
            1 => Key {
                kind: reader.u8()?,
                a: last.a.wrapping_add(reader.varint()?),
                b: reader.varint()?,
            },
            _ => return None,
        };
        keys.push(last);
    }
    Some(keys)
}
