//! New index files, of a bounded size, out of what others say.

use super::{IndexFile, IndexedPack};
use crate::error::Result;
use crate::repository::Repository;

/// Blobs in one index file.
const INDEX_BLOBS: usize = 50_000;

/// Collects packs and writes index files. What was not [flushed](Self::flush) is not written.
pub(crate) struct IndexSaver<'s> {
    /// Where files are written; `None`: nowhere.
    repo: Option<&'s Repository>,
    file: IndexFile,
}

impl<'s> IndexSaver<'s> {
    pub(crate) fn new(repo: &'s Repository) -> Self {
        Self { repo: Some(repo), ..Self::dry() }
    }

    /// One that writes nothing.
    pub(crate) fn dry() -> Self {
        Self { repo: None, file: IndexFile::default() }
    }

    /// A pack in use.
    pub(crate) fn keep(&mut self, pack: IndexedPack) -> Result<()> {
        self.file.packs.push(pack);
        self.flush_full()
    }

    /// A pack that waits for its deletion.
    pub(crate) fn mark(&mut self, pack: IndexedPack) -> Result<()> {
        self.file.packs_to_delete.push(pack);
        self.flush_full()
    }

    fn flush_full(&mut self) -> Result<()> {
        let marked: usize = self.file.packs_to_delete.last().map_or(0, |pack| pack.blobs.len());
        let many = self.file.packs_to_delete.len() * 8 + marked >= INDEX_BLOBS;
        if many || self.file.blob_count() >= INDEX_BLOBS { self.flush() } else { Ok(()) }
    }

    /// Writes what was taken since the last file.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !(self.file.packs.is_empty() && self.file.packs_to_delete.is_empty()) {
            if let Some(repo) = self.repo {
                repo.save_index(&self.file)?;
            }
            self.file = IndexFile::default();
        }
        Ok(())
    }
}
