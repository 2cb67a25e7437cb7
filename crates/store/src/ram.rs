//! Extents that are being filled or written: data between an operation and its commit.
//!
//! A block gets its final address (extent, index) when it is staged, so maps never change at commit. The bytes stay
//! here until the writer has appended the extent to a segment; the entry stays until the commit has put the
//! extent's row. Knows no records.

use crate::error::{Result, StoreError};
use bytes::{Bytes, BytesMut};
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

/// The bytes of an extent.
enum Held {
    /// It is being filled.
    Filling(BytesMut),
    /// It is being written, and shared with whoever writes.
    Shared(Bytes),
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Filling(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// Adds bytes. Nobody shares what is not full, or it is copied.
    fn push(&mut self, data: &[u8]) {
        match self {
            Self::Filling(bytes) => bytes.extend_from_slice(data),
            Self::Shared(bytes) => {
                let mut own = BytesMut::from(&**bytes);
                own.extend_from_slice(data);
                *self = Self::Filling(own);
            }
        }
    }

    /// To be changed in place; `None` once it is shared.
    fn changing(&mut self) -> Option<&mut BytesMut> {
        match self {
            Self::Filling(bytes) => Some(bytes),
            Self::Shared(_) => None,
        }
    }

    fn share(&mut self) -> Bytes {
        let bytes = match self {
            Self::Filling(bytes) => std::mem::take(bytes).freeze(),
            Self::Shared(bytes) => return bytes.clone(),
        };
        *self = Self::Shared(bytes.clone());
        bytes
    }

    /// Leaves nothing.
    fn take(&mut self) -> Used {
        let bytes = self.bytes().len();
        let buffer = match std::mem::replace(self, Self::Shared(Bytes::new())) {
            Self::Filling(bytes) => Some(bytes),
            Self::Shared(bytes) => bytes.try_into_mut().ok(),
        };
        Used { buffer, bytes }
    }
}

/// What an extent leaves when its bytes are not needed here any more.
pub struct Used {
    /// To be filled again; none while somebody shares it.
    buffer: Option<BytesMut>,
    /// Bytes that it held.
    bytes: usize,
}

struct State {
    held: Held,
    owners: Vec<Owner>,
    blocks: usize,
    sealed: bool,
    abandoned: bool,
    stored: Option<Stored>,
}

impl RamExtent {
    /// An empty extent that fills `bytes`, an empty buffer.
    pub fn new(id: u64, bytes: BytesMut) -> Self {
        let state = State {
            held: Held::Filling(bytes),
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
        state.held.push(data);
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
        let target = state.held.changing().and_then(|bytes| bytes.get_mut(at..at + data.len()));
        let Some(target) = target else { return false };
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
        let source =
            state.held.bytes().get(at..at + out.len()).ok_or(StoreError::Moved(self.id))?;
        out.copy_from_slice(source);
        Ok(None)
    }

    /// The bytes and whose they are, to be written; `None` when they are written or were given up. It must be sealed.
    pub fn share(&self) -> Option<(Bytes, Vec<Owner>)> {
        let mut state = self.state.write();
        let held = state.stored.is_none() && !state.abandoned && !state.held.bytes().is_empty();
        held.then(|| (state.held.share(), state.owners.clone()))
    }

    /// The space of its first block; `None` when written already.
    pub fn space(&self) -> Option<u64> {
        let state = self.state.read();
        let first = state.owners.first().filter(|_| state.stored.is_none());
        first.map(|owner| owner.space)
    }

    /// Notes where the extent lies and gives up the bytes; the flag: no commit will take it.
    pub fn written(&self, stored: Stored) -> (Used, bool) {
        let mut state = self.state.write();
        state.stored = Some(stored);
        (state.held.take(), state.abandoned)
    }

    /// No commit will take it. Answers where it lies if it was written before; the writer learns of it otherwise.
    pub fn abandon(&self) -> Option<Stored> {
        let mut state = self.state.write();
        state.abandoned = true;
        state.stored.clone()
    }

    /// Gives up the bytes.
    fn take(&self) -> Used {
        self.state.write().held.take()
    }

    /// Where it lies, once written.
    pub fn stored(&self) -> Option<Stored> {
        self.state.read().stored.clone()
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.state.read().held.bytes().len()
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
    buffers: Mutex<Vec<BytesMut>>,
    /// Bytes that wait to be written.
    pub unwritten: AtomicUsize,
}

impl RamExtents {
    /// The extent, if it is in memory.
    pub fn get(&self, id: u64) -> Option<Arc<RamExtent>> {
        self.map.read().get(&id).cloned()
    }

    /// An empty buffer for one extent.
    pub fn buffer(&self) -> BytesMut {
        let buffer = self.buffers.lock().pop();
        buffer.unwrap_or_else(|| BytesMut::with_capacity(EXTENT_BLOCKS * BLOCK))
    }

    /// The bytes of an extent are written: takes its buffer back.
    pub fn recycle(&self, used: Used) {
        self.unwritten.fetch_sub(used.bytes, Ordering::Relaxed);
        let Some(mut buffer) = used.buffer else { return };
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
