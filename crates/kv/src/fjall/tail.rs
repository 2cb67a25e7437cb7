//! How much of the engine's newest journal is whole batches.
//!
//! A power loss may leave any part of the bytes after the last sync: cut, or with sectors that never arrived. The
//! engine takes a cut for granted but refuses to open, or panics, when a batch ends well and is wrong inside. So
//! the journal is measured here first and everything after the last whole batch is left out.
//!
//! The form of the journal (engine format 3, little endian, no padding): a batch is a start (`1`, count `u32`,
//! sequence number `u64`), `count` items, and an end (`3`, XXH3-64 of the items' bytes, the engine's four magic
//! bytes). An item is `2`, kind `u8`, compression `u8`, keyspace `u64`, key length `u16`, value length `u32`,
//! stored length `u32`, key, stored value; or `4`, keyspace `u64` (clear).
//!
//! It changes nothing and allocates a fixed buffer. Safe because a batch counts only when its checksum fits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// What ends every batch.
const MAGIC: [u8; 4] = *b"FJL\x03";
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// Length in bytes of the whole batches at the start of a journal.
pub(super) fn sound_len(file: &Path) -> io::Result<u64> {
    let mut journal = Journal { from: BufReader::with_capacity(1 << 16, File::open(file)?), at: 0 };
    let mut sound = 0;
    loop {
        match journal.batch() {
            Ok(true) => sound = journal.at,
            Ok(false) => return Ok(sound),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(sound),
            Err(e) => return Err(e),
        }
    }
}

/// A journal being read, and how far.
struct Journal<R> {
    from: R,
    at: u64,
}

impl<R: Read> Journal<R> {
    /// Reads one batch; false when there is none or it is not whole.
    fn batch(&mut self) -> io::Result<bool> {
        if self.take::<1>()? != [START] {
            return Ok(false);
        }
        let count = u32::from_le_bytes(self.take()?);
        self.take::<8>()?;
        let mut hash = Xxh3::new();
        for _ in 0..count {
            if !self.item(&mut hash)? {
                return Ok(false);
            }
        }
        let end = self.take::<1>()? == [END];
        let sum = u64::from_le_bytes(self.take()?);
        let magic = self.take()? == MAGIC;
        Ok(end && magic && sum == hash.digest())
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
