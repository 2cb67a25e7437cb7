//! What programs have open: files with the places of their chunks, and folders above the snapshots as they were when they were opened.
//!
//! Directories of snapshots need no handle: they never change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tintype_fs::vfs::Handle;
use tintype_repo::{BlobId, BlobKind, Index, Node, RepoError};

use crate::catalog::Row;
use crate::stock::Stock;

/// An open file.
pub struct OpenFile {
    /// Its name, for the log.
    name: Vec<u8>,
    chunks: Vec<BlobId>,
    /// Where each chunk ends in the file.
    ends: Vec<u64>,
}

impl OpenFile {
    /// Of a file's node; gives the chunk that no index knows when there is one.
    pub fn new(index: &Index, node: &Node) -> Result<Self, RepoError> {
        let chunks = node.content.clone().unwrap_or_default();
        let mut ends = Vec::with_capacity(chunks.len());
        let mut end = 0u64;
        for id in &chunks {
            let found =
                index.find(BlobKind::Data, *id).ok_or(RepoError::MissingBlob { id: *id })?;
            end = end.saturating_add(found.blob.plain_length().into());
            ends.push(end);
        }
        Ok(Self { name: node.name.clone(), chunks, ends })
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Reads into `buf`; fewer bytes only at the end.
    ///
    /// # Errors
    /// The chunk that cannot be read, as text for the log.
    pub fn read(&self, stock: &Stock, offset: u64, buf: &mut [u8]) -> Result<usize, String> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            // A chunk without bytes ends where it begins, and is passed over.
            let number = self.ends.partition_point(|end| *end <= at);
            let Some(id) = self.chunks.get(number) else { break };
            let from = number.checked_sub(1).and_then(|n| self.ends.get(n)).copied().unwrap_or(0);
            let told = |error: &dyn std::fmt::Display| {
                format!("`{}`, chunk {id} at byte {from}: {error}", self.name.escape_ascii())
            };
            let chunk = stock.chunk(*id).map_err(|error| told(&error))?;
            let inside = usize::try_from(at - from).unwrap_or(usize::MAX);
            let part = chunk.get(inside..).filter(|part| !part.is_empty());
            let part = part.ok_or_else(|| told(&"it is shorter than the index says"))?;
            let count = part.len().min(rest.len());
            rest.split_at_mut(count).0.copy_from_slice(part.split_at(count).0);
            done += count;
        }
        Ok(done)
    }
}

/// What a handle stands for.
#[derive(Clone)]
pub enum Open {
    /// A file.
    File(Arc<OpenFile>),
    /// The rows of a folder above the snapshots.
    Menu(Arc<Vec<(String, Row)>>),
}

/// All that is open. Handle 0 stands for nothing.
#[derive(Default)]
pub struct Handles {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

impl Handles {
    /// A new handle.
    pub fn add(&self, what: Open) -> Handle {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.lock().insert(number, what);
        Handle(number)
    }

    /// The open file.
    pub fn file(&self, handle: Handle) -> Option<Arc<OpenFile>> {
        match self.open.lock().get(&handle.0) {
            Some(Open::File(file)) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// The open folder.
    pub fn menu(&self, handle: Handle) -> Option<Arc<Vec<(String, Row)>>> {
        match self.open.lock().get(&handle.0) {
            Some(Open::Menu(rows)) => Some(Arc::clone(rows)),
            _ => None,
        }
    }

    /// Closes it.
    pub fn close(&self, handle: Handle) {
        self.open.lock().remove(&handle.0);
    }
}
