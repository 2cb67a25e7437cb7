//! Packs read in whole: name, header, index, and every blob by opening and hashing it.
//!
//! Each thread takes one pack at a time and uses its buffers again. A damaged header does not keep the blobs that the index knows from
//! being read.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::finding::{Finding, Findings};
use super::{CheckProgress, Packs};
use crate::backend::FileKind;
use crate::id::{BlobId, Id, PackId};
use crate::index::Index;
use crate::pack::{PackedBlob, read_whole};
use crate::repository::Repository;

/// Reads the chosen packs.
pub(super) fn read_packs(
    repo: &Repository,
    index: &Index,
    packs: &Packs,
    chosen: &[PackId],
    threads: usize,
    findings: &Findings,
    progress: &CheckProgress,
) {
    progress.packs_total.store(chosen.len() as u64, Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(chosen.len()) {
            scope.spawn(|| {
                let mut reader = Reader::new(repo, index, findings);
                while let Some(id) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A pack that was marked because no index named it has no blobs there.
                    let named = packs.get(id).filter(|pack| pack.used_in > 0 || pack.blobs > 0);
                    let bytes = reader.pack(*id, named.map(|pack| pack.blobs));
                    progress.packs.fetch_add(1, Ordering::Relaxed);
                    progress.bytes.fetch_add(bytes, Ordering::Relaxed);
                }
            });
        }
    });
}

/// A thread's tools.
struct Reader<'r> {
    repo: &'r Repository,
    index: &'r Index,
    findings: &'r Findings,
    pack: Vec<u8>,
    plain: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl<'r> Reader<'r> {
    fn new(repo: &'r Repository, index: &'r Index, findings: &'r Findings) -> Self {
        Self { repo, index, findings, pack: Vec::new(), plain: Vec::new(), zstd: None }
    }

    /// Reads one pack of which the index names so many blobs, if it names them; returns its length.
    fn pack(&mut self, id: PackId, indexed: Option<usize>) -> u64 {
        let wrong = |detail: String| self.findings.add(Finding::Pack { id, detail });
        let mut bytes = std::mem::take(&mut self.pack);
        if let Err(error) = self.repo.backend().read_into(FileKind::Pack, id.0, &mut bytes) {
            wrong(error.to_string());
            return 0;
        }
        if Id::of(&bytes) != id.0 {
            wrong("its content does not fit its name".to_owned());
        }
        let blobs = match read_whole(self.repo.key(), &bytes) {
            Ok(blobs) => {
                let same = |indexed| {
                    blobs.len() == indexed && blobs.iter().all(|blob| self.is_indexed(id, blob))
                };
                if let Some(indexed) = indexed.filter(|indexed| !same(*indexed)) {
                    self.findings.add(Finding::OtherBlobs { id, header: blobs.len(), indexed });
                }
                blobs
            }
            Err(error) => {
                wrong(error.to_string());
                self.indexed(id)
            }
        };
        for blob in &blobs {
            let end = blob.offset as usize + blob.length as usize;
            let opened = match bytes.get_mut(blob.offset as usize..end) {
                Some(sealed) => self.blob(blob, sealed),
                None => Err("it ends behind its pack".to_owned()),
            };
            if let Err(detail) = opened {
                self.findings.add(Finding::Blob { id: blob.id, pack: id, detail });
            }
        }
        let length = bytes.len() as u64;
        self.pack = bytes;
        length
    }

    /// All blobs that the index has in this pack. Slow, and needed for damaged headers only.
    fn indexed(&self, id: PackId) -> Vec<PackedBlob> {
        use crate::pack::BlobKind::{Data, Tree};
        let all = self.index.iter(Data).chain(self.index.iter(Tree));
        all.filter(|found| found.pack == id).map(|found| found.blob).collect()
    }

    fn is_indexed(&self, id: PackId, blob: &PackedBlob) -> bool {
        let mut places = self.index.find_all(blob.kind, blob.id);
        places.any(|found| found.pack == id && found.blob == *blob)
    }

    /// Opens a blob in place, unpacks it and compares its hash.
    fn blob(&mut self, blob: &PackedBlob, sealed: &mut [u8]) -> Result<(), String> {
        let open = self.repo.key().open_slice(sealed).map_err(|e| e.to_string())?;
        let plain = match blob.plain {
            None => open,
            Some(length) => self.unpack(open, length as usize)?,
        };
        match BlobId::of(plain) == blob.id {
            true => Ok(()),
            false => Err("its content does not fit its id".to_owned()),
        }
    }

    fn unpack(&mut self, frame: &[u8], length: usize) -> Result<&mut [u8], String> {
        let zstd = match &mut self.zstd {
            Some(ready) => ready,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?),
        };
        // A length that no frame of this size has is not believed: it would only fill the memory.
        if length > frame.len().saturating_mul(40_000).max(1 << 20) {
            return Err(format!("it cannot have {length} plain bytes"));
        }
        self.plain.clear();
        self.plain.reserve(length);
        zstd.decompress_to_buffer(frame, &mut self.plain).map_err(|e| e.to_string())?;
        if self.plain.len() != length {
            return Err(format!("it has {} plain bytes instead of {length}", self.plain.len()));
        }
        Ok(&mut self.plain)
    }
}
