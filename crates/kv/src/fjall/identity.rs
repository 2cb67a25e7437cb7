//! The identity of a store of records: a small file of our own beside the engine's.
//!
//! It carries a random id, which every batch repeats (see `link`), and whether the creation was finished. So an engine that
//! finds nothing where a store was is noticed, and a creation that was interrupted is told apart from a store that lost
//! its files.
//!
//! Safe because it is replaced by rename after a sync: first "creating", before the engine makes its first file; then
//! "made", when the first batch is on disk. Callers get a store only after that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::journal::sync_folder;
use super::link::StoreId;
use super::sound::damage;

/// Name of the file.
const NAME: &str = "identity";

/// How far the creation of a store got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has written anything yet.
    Creating,
    /// The store has been handed out.
    Made,
}

/// Id and stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The random id.
    pub store: StoreId,
    /// How far the creation got.
    pub stage: Stage,
}

impl Identity {
    /// A new store's.
    pub(super) fn fresh() -> io::Result<Self> {
        let mut store = [0; 16];
        getrandom::fill(&mut store).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self { store, stage: Stage::Creating })
    }

    /// Reads the file; `None` when there is none.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes).map(Some).ok_or_else(|| damage(&path, "is damaged")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes the file durably.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        replace(dir, NAME, self.text().as_bytes())
    }

    /// The content of the file.
    fn text(&self) -> String {
        let stage = if self.stage == Stage::Made { "made" } else { "creating" };
        let text = format!("{stage} {:032x}", u128::from_be_bytes(self.store));
        let sum = xxh3_64(text.as_bytes());
        format!("{text} {sum:016x}\n")
    }
}

/// Reads the content; only what `text` writes is accepted.
fn parse(bytes: &[u8]) -> Option<Identity> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split(' ');
    let stage = if words.next()? == "made" { Stage::Made } else { Stage::Creating };
    let store = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
    let found = Identity { store, stage };
    (found.text() == text).then_some(found)
}

/// Replaces a file durably: after a crash there is the old one or the new one.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    sync_folder(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_flipped_bits_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), None);
        for stage in [Stage::Creating, Stage::Made] {
            let identity = Identity { stage, ..Identity::fresh().unwrap() };
            identity.write(dir.path()).unwrap();
            assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity));
            let bytes = fs::read(dir.path().join(NAME)).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&flipped), None);
            }
        }
    }
}
