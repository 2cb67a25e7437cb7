//! Writing blobs: each new one is compressed, sealed, checked and put into a pack; full packs are written, then indexed.
//!
//! Callers are several threads that do the work of their own blobs. One thread behind a channel without a buffer writes packs, so that at most one
//! pack of each kind is being filled and one is on its way. An index is written for every 50,000 blobs or five minutes: what an
//! interrupted run has saved so far is found by the next one.
//!
//! Safe because a pack is durable before an index names it, and the caller writes its snapshot after [`BlobWriter::finish`]. A blob that is
//! being written by one thread counts as there for the others: when that write fails, the whole run fails.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use zstd::zstd_safe::{CParameter, DCtx, ResetDirective, Strategy};

use crate::backend::FileKind;
use crate::compress::Level;
use crate::config::Version;
use crate::crypto::{BEFORE, MasterKey, OVERHEAD};
use crate::error::{RepoError, Result};
use crate::id::{BlobId, Id, PackId};
use crate::index::{Index, IndexFile, IndexedPack};
use crate::pack::{BlobKind, PackBuilder};
use crate::repository::Repository;

/// The length at which packs are closed unless it is said otherwise, in bytes: restic's.
const PACK_BYTES: usize = 16 << 20;
/// Packs of trees are closed at this length at the latest. Trees fill theirs seldom, and a pack that is being filled is in memory.
const TREE_PACK_BYTES: usize = 4 << 20;
/// Packs are closed at this number of blobs, so that headers stay small.
const PACK_BLOBS: usize = 10_000;
/// An index is written when it names this many blobs.
const INDEX_BLOBS: usize = 50_000;
/// Or when it is this old.
const INDEX_AGE: Duration = Duration::from_secs(300);
/// Blobs of at most this length, in bytes, are small: tables of 64 KiB find what there is to find in them.
const SMALL: usize = 128 << 10;
/// What a thread keeps to seal its next blob in, in bytes. Longer blobs get room of their own, which goes with them: most chunks are shorter.
const KEPT: usize = 2 << 20;
/// How small blobs are compressed at zstd's level 3. Its own tables for lengths from 16 KiB on are larger than a processor's first cache: on the
/// source of Linux these here take a fifth less time and give the same size.
const SMALL_TABLES: [CParameter; 4] = [
    CParameter::Strategy(Strategy::ZSTD_dfast),
    CParameter::HashLog(14),
    CParameter::ChainLog(14),
    CParameter::MinMatch(4),
];
/// Parts of the set of ids of this run, so that threads seldom meet.
const SHARDS: usize = 16;

/// How blobs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobOptions {
    /// Compression of data; trees are compressed whenever the format allows it.
    pub level: Level,
    /// Opens and compares every sealed blob before it is written: bad memory is noticed before it costs data.
    pub verify: bool,
    /// Does all work but writes nothing: what would be added is only counted.
    pub dry_run: bool,
    /// Length at which packs of data are closed, in bytes. Two of them are in memory.
    pub pack_bytes: usize,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self { level: Level::Auto, verify: true, dry_run: false, pack_bytes: PACK_BYTES }
    }
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// It was not in the repository.
    pub new: bool,
    /// Sealed bytes that it added.
    pub stored: u64,
}

/// Totals of a run.
#[derive(Debug, Default)]
struct Totals {
    blobs: [AtomicU64; 2],
    plain: [AtomicU64; 2],
    stored: [AtomicU64; 2],
}

/// What a run added, by kind: data, then trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of new blobs.
    pub blobs: [u64; 2],
    /// Their plain bytes.
    pub plain: [u64; 2],
    /// Their sealed bytes.
    pub stored: [u64; 2],
}

/// A thread's own tools.
#[derive(Default)]
pub struct Scratch {
    compressors: [Option<(i32, zstd::bulk::Compressor<'static>)>; 2],
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    streaming: Option<DCtx<'static>>,
    sealed: Vec<u8>,
    check: Vec<u8>,
    plain: Vec<u8>,
}

/// Writes blobs into a repository.
pub struct BlobWriter {
    shared: Arc<Shared>,
    packs: Sender<PackBuilder>,
    thread: Option<JoinHandle<Result<()>>>,
}

struct Shared {
    repo: Repository,
    index: Arc<Index>,
    options: BlobOptions,
    seen: Vec<Mutex<HashSet<(BlobKind, BlobId)>>>,
    open: [Mutex<PackBuilder>; 2],
    /// Buffers of packs of data that are written, for the next ones: large blocks that wander between threads are costly to
    /// get anew. One is being filled and one is written, so there is never more than one here.
    spare: Mutex<Option<Vec<u8>>>,
    totals: Totals,
    failed: AtomicBool,
}

fn slot(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Data => 0,
        BlobKind::Tree => 1,
    }
}

impl BlobWriter {
    /// For a run that knows what `index` names.
    pub fn new(repo: Repository, index: Arc<Index>, options: BlobOptions) -> Self {
        let seen = (0..SHARDS).map(|_| Mutex::default()).collect();
        let shared = Shared {
            repo,
            index,
            options,
            seen,
            open: Default::default(),
            spare: Mutex::default(),
            totals: Totals::default(),
            failed: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let (packs, todo) = bounded(0);
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let done = write_packs(&own, &todo);
            if done.is_err() {
                own.failed.store(true, Ordering::SeqCst);
            }
            done
        });
        Self { shared, packs, thread: Some(thread) }
    }

    /// Stores a blob unless it is there. `id` is the hash of `plain`.
    ///
    /// # Errors
    /// [`RepoError::Stopped`] when an earlier write failed: [`BlobWriter::finish`] says why.
    pub fn add(
        &self,
        scratch: &mut Scratch,
        kind: BlobKind,
        id: BlobId,
        plain: &[u8],
    ) -> Result<Added> {
        if !self.shared.claim(kind, id) {
            return Ok(Added::default());
        }
        let compressed = self.shared.seal(scratch, kind, plain)?;
        if self.shared.options.verify {
            self.shared.verify(scratch, compressed, id, plain)?;
        }
        let length = compressed.then(|| u32::try_from(plain.len()).unwrap_or(u32::MAX));
        self.append(kind, id, &scratch.sealed, length)?;
        let stored = scratch.sealed.len() as u64;
        self.shared.totals.count(kind, plain.len() as u64, stored);
        if scratch.sealed.capacity() > KEPT {
            scratch.sealed = Vec::new();
        }
        Ok(Added { new: true, stored })
    }

    /// Stores a blob that is sealed already, as when packs are rewritten.
    pub fn add_sealed(
        &self,
        kind: BlobKind,
        id: BlobId,
        sealed: &[u8],
        plain: Option<u32>,
    ) -> Result<bool> {
        if !self.shared.claim_new(kind, id) {
            return Ok(false);
        }
        self.append(kind, id, sealed, plain)?;
        let length = plain.map_or(sealed.len() as u64, u64::from);
        self.shared.totals.count(kind, length, sealed.len() as u64);
        Ok(true)
    }

    /// Is the blob in the repository, or was it added by this run?
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        self.shared.index.has(kind, id)
            || self.shared.shard(id).is_some_and(|seen| seen.lock().contains(&(kind, id)))
    }

    fn append(&self, kind: BlobKind, id: BlobId, sealed: &[u8], plain: Option<u32>) -> Result<()> {
        if self.shared.failed.load(Ordering::SeqCst) {
            return Err(RepoError::Stopped);
        }
        let Some(open) = self.shared.open.get(slot(kind)) else { return Ok(()) };
        let most = match kind {
            BlobKind::Data => self.shared.options.pack_bytes,
            BlobKind::Tree => self.shared.options.pack_bytes.min(TREE_PACK_BYTES),
        };
        let mut open = open.lock();
        let long = !open.is_empty() && open.len() + sealed.len() > most;
        let full = long || open.count() >= PACK_BLOBS;
        if full {
            // Sent while the lock is held: nobody fills a second pack of this kind before this one is on its way.
            let pack = std::mem::take(&mut *open);
            self.packs.send(pack).map_err(|_| RepoError::Stopped)?;
        }
        if open.is_empty() {
            let spare = match kind {
                BlobKind::Data => self.shared.spare.lock().take(),
                BlobKind::Tree => None,
            };
            let mut buffer = spare.unwrap_or_default();
            // At once, since growing by copies would need more than twice the room.
            buffer.clear();
            buffer.reserve_exact(most + most / 8);
            *open = PackBuilder::in_buffer(buffer);
        }
        if !open.add(id, kind, sealed, plain) {
            let detail = format!("blob {id} is too large for a pack: {} bytes", sealed.len());
            return Err(RepoError::Refused { detail });
        }
        Ok(())
    }

    /// Totals so far.
    pub fn written(&self) -> Written {
        self.shared.totals.read()
    }

    /// Writes what is left and the index. Then a snapshot may name what was added.
    ///
    /// # Errors
    /// The first failure of the whole run.
    pub fn finish(mut self) -> Result<Written> {
        let mut sent = Ok(());
        for open in &self.shared.open {
            let pack = std::mem::take(&mut *open.lock());
            if sent.is_ok() && !pack.is_empty() {
                sent = self.packs.send(pack).map_err(|_| RepoError::Stopped);
            }
        }
        let written = self.written();
        self.join()?;
        sent?;
        Ok(written)
    }

    /// Finishes behind work that may have failed: when the writer was the reason, it says why.
    ///
    /// # Errors
    /// That of the work, or the first failure of the writer.
    pub(crate) fn finish_after<T>(self, work: Result<T>) -> Result<(T, Written)> {
        match work {
            Err(error) if !matches!(error, RepoError::Stopped) => Err(error),
            work => {
                let written = self.finish()?;
                Ok((work?, written))
            }
        }
    }

    /// Closes the channel and waits for the thread.
    fn join(&mut self) -> Result<()> {
        self.packs = bounded(0).0;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(RepoError::Refused {
                detail: "the thread that writes packs broke off".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Drop for BlobWriter {
    /// A run that is given up: packs that are written stay, and are indexed so that the next run finds them.
    fn drop(&mut self) {
        let _ = self.join();
    }
}

impl Shared {
    fn shard(&self, id: BlobId) -> Option<&Mutex<HashSet<(BlobKind, BlobId)>>> {
        let [first, ..] = id.0.0;
        self.seen.get(usize::from(first) % SHARDS)
    }

    /// True for the first who brings a blob that the repository has not.
    fn claim(&self, kind: BlobKind, id: BlobId) -> bool {
        !self.index.has(kind, id) && self.claim_new(kind, id)
    }

    /// True for the first who brings a blob in this run, wherever it is already.
    fn claim_new(&self, kind: BlobKind, id: BlobId) -> bool {
        self.shard(id).is_some_and(|seen| seen.lock().insert((kind, id)))
    }

    /// Puts the sealed form of `plain` into the scratch; says whether it is compressed.
    fn seal(&self, scratch: &mut Scratch, kind: BlobKind, plain: &[u8]) -> Result<bool> {
        let compressed = match self.level(kind) {
            Some(level) if !plain.is_empty() => {
                let length = scratch.compress(level, plain)?;
                kind == BlobKind::Tree || length < plain.len()
            }
            _ => false,
        };
        if !compressed {
            scratch.empty(plain.len() + OVERHEAD);
            scratch.sealed.extend_from_slice(&[0; BEFORE]);
            scratch.sealed.extend_from_slice(plain);
        }
        self.repo.key().seal_in_place(&mut scratch.sealed)?;
        Ok(compressed)
    }

    fn level(&self, kind: BlobKind) -> Option<i32> {
        match (self.repo.config().version, kind) {
            (Version::V1, _) => None,
            (Version::V2, BlobKind::Data) => self.options.level.number(),
            (Version::V2, BlobKind::Tree) => Some(self.options.level.number().unwrap_or(3)),
        }
    }

    /// Opens the sealed form again and compares.
    fn verify(
        &self,
        scratch: &mut Scratch,
        compressed: bool,
        id: BlobId,
        plain: &[u8],
    ) -> Result<()> {
        let bad = || RepoError::Refused {
            detail: format!(
                "blob {id} changed in memory while it was prepared: check this machine's memory"
            ),
        };
        let same = if plain.len() > SMALL {
            scratch.large_is(self.repo.key(), compressed, plain)
        } else {
            scratch.small_is(self.repo.key(), compressed, plain)
        };
        if same.map_err(|_| bad())? { Ok(()) } else { Err(bad()) }
    }
}

impl Scratch {
    /// Is what is sealed here, at most [`SMALL`] bytes, this plain text?
    fn small_is(&mut self, key: &MasterKey, compressed: bool, plain: &[u8]) -> io::Result<bool> {
        self.check.clear();
        self.check.extend_from_slice(&self.sealed);
        let open = key.open_slice(&mut self.check).map_err(io::Error::other)?;
        if !compressed {
            return Ok(open == plain);
        }
        let decompressor = match &mut self.decompressor {
            Some(ready) => ready,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        self.plain.clear();
        self.plain.reserve(plain.len());
        decompressor.decompress_to_buffer(open, &mut self.plain)?;
        Ok(self.plain == plain)
    }

    /// The same for any length, piece by piece: of large blobs neither form is there a second time.
    fn large_is(&mut self, key: &MasterKey, compressed: bool, plain: &[u8]) -> io::Result<bool> {
        let pieces = key.open_in_pieces(&self.sealed).map_err(io::Error::other)?;
        if !compressed {
            return is_same(pieces, plain);
        }
        let context = self.streaming.get_or_insert_with(DCtx::create);
        let failed = |code| io::Error::other(zstd::zstd_safe::get_error_name(code));
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        is_same(zstd::stream::read::Decoder::with_context(pieces, context), plain)
    }

    /// Empties `sealed` and gives it room for so many bytes. It is never moved to grow: memory of the room is taken only where something
    /// is written.
    fn empty(&mut self, length: usize) {
        self.sealed.clear();
        if self.sealed.capacity() < length {
            self.sealed = Vec::with_capacity(length);
        }
    }

    /// Puts the compressed form into `sealed`, behind the room that sealing needs; gives its length.
    fn compress(&mut self, level: i32, plain: &[u8]) -> Result<usize> {
        let failed =
            |source| RepoError::Local { doing: "compress", path: "a blob".to_owned(), source };
        let small = level == 3 && plain.len() <= SMALL;
        self.empty(zstd::zstd_safe::compress_bound(plain.len()) + OVERHEAD);
        let [large, of_small] = &mut self.compressors;
        let slot = if small { of_small } else { large };
        let compressor = match slot {
            Some((at, ready)) if *at == level => ready,
            slot => {
                let mut made = zstd::bulk::Compressor::new(level).map_err(failed)?;
                for parameter in if small { SMALL_TABLES.as_slice() } else { &[] } {
                    made.set_parameter(*parameter).map_err(failed)?;
                }
                &mut slot.insert((level, made)).1
            }
        };
        self.sealed.extend_from_slice(&[0; BEFORE]);
        let mut behind = Cursor::new(&mut self.sealed);
        behind.set_position(BEFORE as u64);
        compressor.compress_to_buffer(plain, &mut behind).map_err(failed)
    }
}

/// Does a reader give exactly this?
fn is_same(mut reader: impl Read, mut plain: &[u8]) -> io::Result<bool> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut piece)?;
        let (Some(read), Some((same, rest))) = (piece.get(..count), plain.split_at_checked(count))
        else {
            return Ok(false);
        };
        match (count, read == same) {
            (0, _) => return Ok(rest.is_empty()),
            (_, false) => return Ok(false),
            (_, true) => plain = rest,
        }
    }
}

impl Totals {
    fn count(&self, kind: BlobKind, plain: u64, stored: u64) {
        for (totals, more) in [(&self.blobs, 1), (&self.plain, plain), (&self.stored, stored)] {
            if let Some(total) = totals.get(slot(kind)) {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    fn read(&self) -> Written {
        let read =
            |totals: &[AtomicU64; 2]| totals.each_ref().map(|total| total.load(Ordering::Relaxed));
        Written { blobs: read(&self.blobs), plain: read(&self.plain), stored: read(&self.stored) }
    }
}

/// The thread that writes packs, then what is left of the index. After a failure it takes no more.
fn write_packs(shared: &Shared, todo: &Receiver<PackBuilder>) -> Result<()> {
    let (mut index, mut since) = (IndexFile::default(), Instant::now());
    let written = write_each(shared, todo, &mut index, &mut since);
    // Also after a failure: what is written already is found by the next run.
    written.and(save_index(shared, &mut index))
}

fn write_each(
    shared: &Shared,
    todo: &Receiver<PackBuilder>,
    index: &mut IndexFile,
    since: &mut Instant,
) -> Result<()> {
    for pack in todo {
        if shared.options.dry_run {
            continue;
        }
        let (bytes, blobs) = pack.finish(shared.repo.key())?;
        let id = Id::of(&bytes);
        if blobs.first().is_some_and(|blob| blob.kind == BlobKind::Data) {
            shared.repo.backend().write(FileKind::Pack, id, &bytes)?;
            *shared.spare.lock() = Some(bytes);
        } else {
            shared.repo.backend().write_trees(id, &bytes)?;
        }
        index.packs.push(IndexedPack::new(PackId(id), &blobs));
        if index.blob_count() >= INDEX_BLOBS || since.elapsed() >= INDEX_AGE {
            save_index(shared, index)?;
            *since = Instant::now();
        }
    }
    Ok(())
}

fn save_index(shared: &Shared, index: &mut IndexFile) -> Result<()> {
    if !index.packs.is_empty() {
        shared.repo.save_index(index)?;
        index.packs.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        MasterKey::from_bytes(&std::array::from_fn(|i| i as u8 + 1))
    }

    /// What is sealed, after a bit of the plain text changed in memory.
    fn sealed(text: &[u8], compress: bool) -> Scratch {
        let mut scratch = Scratch::default();
        if compress {
            scratch.compress(3, text).unwrap();
        } else {
            scratch.sealed.extend_from_slice(&[0; BEFORE]);
            scratch.sealed.extend_from_slice(text);
        }
        key().seal_in_place(&mut scratch.sealed).unwrap();
        scratch
    }

    #[test]
    fn what_changed_in_memory_is_noticed_in_both_ways_of_comparing() {
        let text: Vec<u8> = (0..400_001u32).flat_map(|i| (i / 3).to_le_bytes()).collect();
        for (length, compress) in [(1, false), (70_000, true), (1_600_000, true), (200_000, false)]
        {
            let plain = &text[..length];
            let mut scratch = sealed(plain, compress);
            for large in [true, false] {
                let mut is = |plain: &[u8]| match large {
                    true => scratch.large_is(&key(), compress, plain).unwrap_or_default(),
                    false => scratch.small_is(&key(), compress, plain).unwrap_or_default(),
                };
                assert!(is(plain) && is(plain));
                assert!(!is(&plain[1..]));
                assert!(!is(&text[..length + 1]));
                for at in [0, length / 2, length - 1] {
                    let mut other = plain.to_vec();
                    other[at] ^= 4;
                    assert!(!is(&other), "byte {at} of {length}");
                }
            }
        }
    }
}
