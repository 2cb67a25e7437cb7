//! The extent table: where each extent lies, which blocks are stored, which are live.
//!
//! Row `X | extent` = live bitmap (4), shared bitmap (4), `Stored` bytes. A block has as many references as its live bit plus the
//! count in row `R | extent | index`, which exists only where the shared bit is set. This file holds the codec
//! and a cache; `refs.rs` changes the rows.

use crate::cache::Cache;
use crate::error::{Result, StoreError};
use bytes::Bytes;
use parking_lot::Mutex;
use tintype_kv::Kv;
use tintype_segments::Stored;

/// Row prefix of extents.
pub const EXTENT: u8 = b'X';
/// Row prefix of extra references.
pub const SHARED: u8 = b'R';

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtentRow {
    /// Blocks that something references.
    pub live: u32,
    /// Blocks with more than one reference.
    pub shared: u32,
    /// Where and how it is stored.
    pub stored: Stored,
}

impl ExtentRow {
    /// Bytes of the row's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(&self.live.to_le_bytes());
        out.extend_from_slice(&self.shared.to_le_bytes());
        out.extend_from_slice(&self.stored.to_bytes());
        out
    }

    /// Decodes a row; `None` is damage.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let live = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let shared = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        let stored = Stored::from_bytes(&bytes.slice(8..)).ok()?;
        Some(Self { live, shared, stored })
    }

    /// Bytes of segment that this row keeps alive.
    pub fn live_bytes(&self) -> u64 {
        let blocks = u64::from(self.stored.present.count_ones()).max(1);
        u64::from(self.stored.frame_bytes) * u64::from(self.live.count_ones()) / blocks
    }
}

/// Row key of an extent.
pub fn extent_row(extent: u64) -> Vec<u8> {
    let mut key = vec![EXTENT];
    key.extend_from_slice(&extent.to_be_bytes());
    key
}

/// Row key of a block's extra references.
pub fn shared_row(extent: u64, index: u16) -> Vec<u8> {
    let mut key = vec![SHARED];
    key.extend_from_slice(&extent.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// The table with its cache.
pub struct ExtentTable {
    cache: Mutex<Cache<u64, std::sync::Arc<ExtentRow>>>,
    entries: usize,
}

impl ExtentTable {
    /// A table that caches about `entries` rows.
    pub fn new(entries: usize) -> Self {
        Self { cache: Mutex::new(Cache::new(entries)), entries }
    }

    /// The row as the engine has it. Whoever changes rows asks this, under the core lock: a reader may
    /// have put an older row into the cache, which is harmless for reading only.
    pub fn exact(&self, kv: &dyn Kv, extent: u64) -> Result<Option<ExtentRow>> {
        let Some(bytes) = kv.get(&extent_row(extent))? else { return Ok(None) };
        let damaged = || StoreError::Damaged { what: "extent", id: extent };
        ExtentRow::from_bytes(&bytes).ok_or_else(damaged).map(Some)
    }

    /// The row of an extent, perhaps from before a move; `None` when it does not exist.
    pub fn get(&self, kv: &dyn Kv, extent: u64) -> Result<Option<std::sync::Arc<ExtentRow>>> {
        if let Some(row) = self.cache.lock().get(&extent) {
            return Ok(Some(row));
        }
        let Some(row) = self.exact(kv, extent)? else { return Ok(None) };
        let row = std::sync::Arc::new(row);
        self.cache.lock().insert(extent, row.clone(), 1);
        Ok(Some(row))
    }

    /// Notes a row that is being written.
    pub fn put(&self, extent: u64, row: std::sync::Arc<ExtentRow>) {
        self.cache.lock().insert(extent, row, 1);
    }

    /// Forgets all rows.
    pub fn clear(&self) {
        *self.cache.lock() = Cache::new(self.entries);
    }

    /// Forgets a row.
    pub fn forget(&self, extent: u64) {
        self.cache.lock().remove(&extent);
    }
}
