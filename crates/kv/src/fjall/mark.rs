//! The mark: a small file that says which batch was synced last.
//!
//! It is written after each sync and never synced itself, so it costs a copy into the kernel's memory. A process that is
//! killed leaves it behind; a power loss may leave an older one, or half of one, which proves nothing. Opening writes
//! it durably.
//!
//! Safe because it is written only after the sync has returned: whatever arrives on disk is true.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::link::{StoreId, Synced};

/// Name of the file.
pub(super) const NAME: &str = "synced";
/// Length of what it holds: store, number, journal, checksum.
const LEN: usize = 40;

/// The open file, and what it says.
pub(super) struct Mark {
    file: File,
    store: StoreId,
    synced: Mutex<Synced>,
}

impl Mark {
    /// Writes a mark durably; the caller syncs the folder.
    pub(super) fn create(dir: &Path, store: StoreId, synced: Synced) -> io::Result<Self> {
        let path = dir.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.write_all_at(&encode(&store, synced), 0)?;
        file.set_len(LEN as u64)?;
        file.sync_all()?;
        Ok(Self { file, store, synced: Mutex::new(synced) })
    }

    /// Reads a mark. One that is missing or not whole proves nothing.
    pub(super) fn read(dir: &Path, store: &StoreId) -> io::Result<Synced> {
        match std::fs::read(dir.join(NAME)) {
            Ok(bytes) => Ok(decode(&bytes, store).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Synced::default()),
            Err(e) => Err(e),
        }
    }

    /// A sync has returned that covers this batch. A mark that cannot be written is one that does not arrive.
    pub(super) fn advance(&self, to: Synced) {
        let mut synced = self.synced.lock();
        if to.number > synced.number {
            *synced = to;
            let _ = self.file.write_all_at(&encode(&self.store, to), 0);
        }
    }

    /// The last batch that is known to be on disk.
    pub(super) fn synced(&self) -> Synced {
        *self.synced.lock()
    }
}

/// The bytes of a mark.
fn encode(store: &StoreId, synced: Synced) -> Vec<u8> {
    let mut bytes = store.to_vec();
    bytes.extend(synced.number.to_le_bytes());
    bytes.extend(synced.journal.to_le_bytes());
    bytes.extend(sum(&bytes).to_le_bytes());
    bytes
}

/// What the bytes of a mark say, when they are whole and of this store.
fn decode(bytes: &[u8], store: &StoreId) -> Option<Synced> {
    let (text, rest) = bytes.split_first_chunk::<32>()?;
    let (id, words) = text.split_first_chunk::<16>()?;
    if id != store || rest != sum(text).to_le_bytes() {
        return None;
    }
    let (number, journal) = words.split_first_chunk::<8>()?;
    let journal = u64::from_le_bytes(journal.try_into().ok()?);
    Some(Synced { number: u64::from_le_bytes(*number), journal })
}

/// Checksum of a mark.
fn sum(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, u64::from_le_bytes(*b"synced\0\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_mark_of_this_store_counts() {
        let dir = tempfile::tempdir().unwrap();
        let first = Synced { number: 3, journal: 1 };
        let mark = Mark::create(dir.path(), [1; 16], first).unwrap();
        let read = || Mark::read(dir.path(), &[1; 16]).unwrap();
        assert_eq!(read(), first);
        mark.advance(Synced { number: 2, journal: 1 });
        assert_eq!(read(), first);
        let next = Synced { number: 4, journal: 2 };
        mark.advance(next);
        assert_eq!((read(), mark.synced()), (next, next));
        assert_eq!(Mark::read(dir.path(), &[2; 16]).unwrap(), Synced::default());
        let whole = std::fs::read(dir.path().join(NAME)).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            assert_eq!(decode(&bytes, &[1; 16]), None);
            assert_eq!(decode(&whole[..place], &[1; 16]), None);
        }
    }
}
