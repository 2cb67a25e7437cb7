//! What is read from the repository: directories and chunks; within bounds, and each once for all who want it.
//!
//! The index is read again when something is not where it was said to be and the index files have changed since: backups add, a prune of
//! others moves. What cannot be read is told once, with the names of blob and pack.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use tintype_repo::{BlobId, BlobKind, FileKind, Id, Index, RepoError, Repository};

use crate::cache::Cache;
use crate::listing::Listing;

/// Bytes of chunks that are kept.
const CHUNKS: usize = 40 << 20;
/// Bytes of directories that are kept.
const LISTINGS: usize = 24 << 20;
/// Blobs that are read at once: what they need beside the bounds.
const READERS: usize = 8;
/// After a look that found nothing new, the index files are not looked at sooner than this.
const PAUSE: Duration = Duration::from_secs(5);
/// Failures that are remembered as told.
const TOLD: usize = 1000;

/// The repository with what is kept of it.
pub struct Stock {
    repo: Repository,
    index: RwLock<Arc<Index>>,
    known: Mutex<Known>,
    chunks: Cache<BlobId, Vec<u8>>,
    listings: Cache<BlobId, Listing>,
    readers: Mutex<usize>,
    room: Condvar,
    told: Mutex<HashSet<String>>,
}

/// Which index files were read, and when a look found no others; none when there may be others.
struct Known {
    files: BTreeSet<Id>,
    looked: Option<Instant>,
}

impl Stock {
    /// Reads the index; the snapshots that are to be shown have been read before.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn new(repo: Repository) -> Result<Self, RepoError> {
        let files = index_files(&repo)?;
        let index = RwLock::new(Arc::new(repo.index()?));
        Ok(Self {
            repo,
            index,
            known: Mutex::new(Known { files, looked: None }),
            chunks: Cache::new(CHUNKS),
            listings: Cache::new(LISTINGS),
            readers: Mutex::new(READERS),
            room: Condvar::new(),
            told: Mutex::default(),
        })
    }

    /// The repository.
    pub fn repo(&self) -> &Repository {
        &self.repo
    }

    /// Where all blobs lie, as far as is known now.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read())
    }

    /// An index that knows all of these chunks, if there is one.
    pub fn index_for(&self, content: &[BlobId]) -> Arc<Index> {
        let index = self.index();
        let complete = content.iter().all(|id| index.has(BlobKind::Data, *id));
        if complete || !self.reads_index_again(&index) { index } else { self.index() }
    }

    /// A chunk.
    ///
    /// # Errors
    /// It is missing or damaged, or the place does not answer.
    pub fn chunk(&self, id: BlobId) -> Result<Arc<Vec<u8>>, RepoError> {
        self.chunks.get(id, || {
            let plain = self.blob(BlobKind::Data, id)?;
            let weight = plain.capacity();
            Ok((plain, weight))
        })
    }

    /// The entries of a tree.
    ///
    /// # Errors
    /// As for a chunk; or it is not a tree.
    pub fn listing(&self, id: BlobId) -> Result<Arc<Listing>, RepoError> {
        self.listings.get(id, || {
            let plain = self.blob(BlobKind::Tree, id)?;
            let listing = Listing::read(&plain)
                .map_err(|error| RepoError::Refused { detail: format!("tree {id}: {error}") })?;
            for hidden in &listing.hidden {
                self.tell(&format!("tree {id}: an entry is not shown: {hidden}"));
            }
            let weight = listing.weight();
            Ok((listing, weight))
        })
    }

    fn blob(&self, kind: BlobKind, id: BlobId) -> Result<Vec<u8>, RepoError> {
        let _seat = Seat::take(self);
        let index = self.index();
        match self.repo.blob(&index, kind, id) {
            Err(_) if self.reads_index_again(&index) => self.repo.blob(&self.index(), kind, id),
            answer => answer,
        }
    }

    /// Reads the index again if that may help; whether there is another one than `old`.
    fn reads_index_again(&self, old: &Arc<Index>) -> bool {
        let mut known = self.known.lock();
        if !Arc::ptr_eq(old, &self.index.read()) {
            return true;
        }
        if known.looked.is_some_and(|at| at.elapsed() < PAUSE) {
            return false;
        }
        known.looked = Some(Instant::now());
        let again = || {
            let files = index_files(&self.repo)?;
            let changed = files != known.files;
            Ok(if changed { Some((files, self.repo.index()?)) } else { None })
        };
        match again() {
            Ok(Some((files, index))) => {
                (known.files, known.looked) = (files, None);
                *self.index.write() = Arc::new(index);
                true
            }
            Ok(None) => false,
            Err(error) => {
                let error: RepoError = error;
                self.tell(&format!("the index cannot be read again: {error}"));
                false
            }
        }
    }

    /// There are new snapshots: what they hold may be in index files that are not read yet.
    pub fn expect_more(&self) {
        self.known.lock().looked = None;
    }

    /// Says something in the log, once.
    pub fn tell(&self, text: &str) {
        let mut told = self.told.lock();
        if told.len() >= TOLD {
            told.clear();
        }
        if told.insert(text.to_owned()) {
            tracing::error!("{text}");
        }
    }
}

fn index_files(repo: &Repository) -> Result<BTreeSet<Id>, RepoError> {
    Ok(repo.backend().list(FileKind::Index)?.into_iter().map(|(id, _)| id).collect())
}

/// One of the few that read at a time.
struct Seat<'s>(&'s Stock);

impl<'s> Seat<'s> {
    fn take(stock: &'s Stock) -> Self {
        let mut free = stock.readers.lock();
        while *free == 0 {
            stock.room.wait(&mut free);
        }
        *free -= 1;
        Self(stock)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        *self.0.readers.lock() += 1;
        self.0.room.notify_one();
    }
}
