//! What live lines and snapshots have in common for a reader, and the read-only view.

use crate::cache::Cache;
use crate::error::Result;
use crate::shared::{BlockReader, Shared};
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::sync::Arc;
use tintype_history::{Key, Point, Record};

/// Records that a view keeps.
const VIEW_RECORDS: usize = 16_384;

/// What a scan tells for each key.
pub type Visit<'v> = dyn FnMut(Key, &Arc<Record>) -> ControlFlow<()> + 'v;

/// One moment of one line.
pub trait Moment {
    /// The newest version of `key`.
    ///
    /// # Errors
    /// The store failed or the record is damaged.
    fn get(&mut self, key: Key) -> Result<Option<Arc<Record>>>;

    /// Visits all records with `from <= key < to`, ascending, until `visit` breaks.
    ///
    /// # Errors
    /// The store failed or a record is damaged.
    fn scan(&mut self, from: Key, to: Key, visit: &mut Visit<'_>) -> Result<()>;

    /// Loads keys that are about to be asked for; a hint.
    ///
    /// # Errors
    /// The store failed or a record is damaged.
    fn prefetch(&mut self, keys: &[Key]) -> Result<()>;

    /// Reads the data that pieces point to; use it outside of your lock.
    fn blocks(&self) -> BlockReader;
}

/// A read-only moment; cheap to clone.
#[derive(Clone)]
pub struct View {
    shared: Arc<Shared>,
    chain: Arc<Vec<Point>>,
    cache: Arc<Mutex<Cache<Key, Option<Arc<Record>>>>>,
}

impl View {
    pub(crate) fn new(shared: Arc<Shared>, chain: Vec<Point>) -> Self {
        let cache = Arc::new(Mutex::new(Cache::new(VIEW_RECORDS)));
        Self { shared, chain: Arc::new(chain), cache }
    }

    /// The moment.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        self.chain.first().copied()
    }
}

impl Moment for View {
    fn get(&mut self, key: Key) -> Result<Option<Arc<Record>>> {
        if let Some(found) = self.cache.lock().get(&key) {
            return Ok(found);
        }
        let found = self.shared.get_record(&self.chain, key)?.map(Arc::new);
        self.cache.lock().insert(key, found.clone(), 1);
        Ok(found)
    }

    fn scan(&mut self, from: Key, to: Key, visit: &mut Visit<'_>) -> Result<()> {
        self.shared.scan_records(&self.chain, from, to, &mut |key, record| {
            visit(key, &Arc::new(record))
        })?;
        Ok(())
    }

    fn prefetch(&mut self, keys: &[Key]) -> Result<()> {
        let wanted = missing(keys, |key| self.cache.lock().contains(&key));
        let cache = &self.cache;
        self.shared.get_records(&self.chain, &wanted, &mut |key, record| {
            cache.lock().insert(key, record.map(Arc::new), 1);
        })
    }

    fn blocks(&self) -> BlockReader {
        BlockReader(self.shared.clone())
    }
}

/// The keys that are not held yet, sorted.
pub(crate) fn missing(keys: &[Key], mut held: impl FnMut(Key) -> bool) -> Vec<Key> {
    let mut wanted: Vec<Key> = keys.iter().copied().filter(|key| !held(*key)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}
