//! Extents that are being filled or written: data between an operation and its commit.
//!
//! A block gets its final address (extent, index) when it is staged, so maps never change at commit. The bytes stay
//! here until the writer has appended the extent to a segment; the entry stays until the commit has put the
//! extent's row. Knows no records.

use crate::error::{Result, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tintype_segments::{BLOCK, EXTENT_BLOCKS, Owner, Stored};

/// Buffers kept for reuse: 32 MiB, as much as may wait to be written.
const BUFFERS: usize = 256;

/// One extent in memory.
pub struct RamExtent {
    /// Its id.
    pub id: u64,
    state: RwLock<State>,
}

struct State {
    bytes: Vec<u8>,
    owners: Vec<Owner>,
    blocks: usize,
    sealed: bool,
    abandoned: bool,
    stored: Option<Stored>,
}

impl RamExtent {
    /// An empty extent that fills `bytes`, an empty buffer.
    pub fn new(id: u64, bytes: Vec<u8>) -> Self {
        let state = State {
            bytes,
            owners: Vec::new(),
            blocks: 0,
            sealed: false,
            abandoned: false,
            stored: None,
        };
        Self { id, state: RwLock::new(state) }
    }

    /// Blocks that still fit.
    pub fn room(&self) -> usize {
        EXTENT_BLOCKS - self.state.read().blocks
    }

    /// Appends whole blocks; answers the index of the first. The caller has asked for the room.
    pub fn push(&self, owner: Owner, data: &[u8]) -> u16 {
        let mut state = self.state.write();
        let first = state.blocks;
        state.bytes.extend_from_slice(data);
        let count = data.len() / BLOCK;
        state.blocks += count;
        push_owner(&mut state.owners, owner, first, count);
        u16::try_from(first).unwrap_or(u16::MAX)
    }

    /// Changes bytes of a staged block; `false` when the extent is sealed.
    pub fn modify(&self, index: u16, offset: usize, data: &[u8]) -> bool {
        let mut state = self.state.write();
        let at = usize::from(index) * BLOCK + offset;
        if state.sealed || offset + data.len() > BLOCK {
            return false;
        }
        let Some(target) = state.bytes.get_mut(at..at + data.len()) else { return false };
        target.copy_from_slice(data);
        true
    }

    /// Ends changes.
    pub fn seal(&self) {
        self.state.write().sealed = true;
    }

    /// Copies blocks out if the bytes are still here; otherwise answers where they lie.
    pub fn read(&self, first: u16, out: &mut [u8]) -> Result<Option<Stored>> {
        let state = self.state.read();
        if let Some(stored) = &state.stored {
            return Ok(Some(stored.clone()));
        }
        let at = usize::from(first) * BLOCK;
        let source = state.bytes.get(at..at + out.len()).ok_or(StoreError::Moved(self.id))?;
        out.copy_from_slice(source);
        Ok(None)
    }

    /// As [`RamExtent::with_bytes`], and `None` when the bytes were given up.
    pub fn with_held<T>(&self, f: impl FnOnce(&[u8], &[Owner]) -> T) -> Option<T> {
        let state = self.state.read();
        let held = state.stored.is_none() && !state.abandoned && !state.bytes.is_empty();
        held.then(|| f(&state.bytes, &state.owners))
    }

    /// Runs `f` on bytes and owners without copying; `None` when written already.
    pub fn with_bytes<T>(&self, f: impl FnOnce(&[u8], &[Owner]) -> T) -> Option<T> {
        let state = self.state.read();
        state.stored.is_none().then(|| f(&state.bytes, &state.owners))
    }

    /// Notes where the extent lies and gives up the bytes; the flag: no commit will take it.
    pub fn written(&self, stored: Stored) -> (Vec<u8>, bool) {
        let mut state = self.state.write();
        state.stored = Some(stored);
        (std::mem::take(&mut state.bytes), state.abandoned)
    }

    /// No commit will take it. Answers where it lies if it was written before; the writer learns of it otherwise.
    pub fn abandon(&self) -> Option<Stored> {
        let mut state = self.state.write();
        state.abandoned = true;
        state.stored.clone()
    }

    /// Gives up the bytes.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.write().bytes)
    }

    /// Where it lies, once written.
    pub fn stored(&self) -> Option<Stored> {
        self.state.read().stored.clone()
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.state.read().bytes.len()
    }
}

fn push_owner(owners: &mut Vec<Owner>, owner: Owner, index: usize, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if let Some(last) = owners.last_mut()
        && last.space == owner.space
        && last.object == owner.object
        && last.first_block + u64::from(last.count) == owner.first_block
    {
        last.count += count;
        return;
    }
    let index = u8::try_from(index).unwrap_or(u8::MAX);
    owners.push(Owner { count, index, ..owner });
}

/// All extents in memory, and the queue of the writer.
#[derive(Default)]
pub struct RamExtents {
    map: RwLock<HashMap<u64, Arc<RamExtent>>>,
    queue: Mutex<VecDeque<Arc<RamExtent>>>,
    /// Buffers to fill again. They are filled on one thread and emptied on another; without this
    /// the allocator keeps several times what is in use.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// Bytes that wait to be written.
    pub unwritten: AtomicUsize,
}

impl RamExtents {
    /// The extent, if it is in memory.
    pub fn get(&self, id: u64) -> Option<Arc<RamExtent>> {
        self.map.read().get(&id).cloned()
    }

    /// An empty buffer for one extent.
    pub fn buffer(&self) -> Vec<u8> {
        let buffer = self.buffers.lock().pop();
        buffer.unwrap_or_else(|| Vec::with_capacity(EXTENT_BLOCKS * BLOCK))
    }

    /// The bytes of an extent are written: takes its buffer back.
    pub fn recycle(&self, mut buffer: Vec<u8>) {
        self.unwritten.fetch_sub(buffer.len(), Ordering::Relaxed);
        buffer.clear();
        let mut buffers = self.buffers.lock();
        if buffers.len() < BUFFERS {
            buffers.push(buffer);
        }
    }

    /// Registers a new extent.
    pub fn insert(&self, extent: Arc<RamExtent>) {
        self.map.write().insert(extent.id, extent);
    }

    /// Forgets extents that are committed or abandoned.
    pub fn remove<'e>(&self, extents: impl Iterator<Item = &'e Arc<RamExtent>>) {
        let mut map = self.map.write();
        for extent in extents {
            if map.remove(&extent.id).is_some() {
                self.recycle(extent.take());
            }
        }
    }

    /// Hands a full extent to the writer.
    pub fn enqueue(&self, extent: Arc<RamExtent>) {
        self.queue.lock().push_back(extent);
    }

    /// Takes up to `max` extents for writing.
    pub fn dequeue(&self, max: usize) -> Vec<Arc<RamExtent>> {
        let mut queue = self.queue.lock();
        let count = queue.len().min(max);
        let map = self.map.read();
        queue.drain(..count).filter(|extent| map.contains_key(&extent.id)).collect()
    }
}
