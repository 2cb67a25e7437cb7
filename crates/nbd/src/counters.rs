//! Counts for status, by export.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What an export has served since the server started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportStatus {
    /// Canonical name.
    pub name: String,
    /// Connections that use it now.
    pub connections: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them that were answered with an error.
    pub errors: u64,
    /// Bytes that clients have read, holes included.
    pub bytes_read: u64,
    /// Bytes that clients have written; zeroes and trims are not counted.
    pub bytes_written: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

/// One connection, for as long as it lives.
pub(crate) struct Counted(Arc<Counters>);

impl Counted {
    pub fn answered(&self, failed: bool, read: u64, written: u64) {
        let counters = &self.0;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let adds = [
            (&counters.errors, u64::from(failed)),
            (&counters.bytes_read, read),
            (&counters.bytes_written, written),
        ];
        for (counter, count) in adds {
            if count != 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters of all exports that were ever used.
#[derive(Default)]
pub(crate) struct Table {
    exports: Mutex<BTreeMap<String, Arc<Counters>>>,
}

impl Table {
    pub fn connected(&self, name: &str) -> Counted {
        let mut exports = self.exports.lock();
        let counters = Arc::clone(exports.entry(name.to_owned()).or_default());
        counters.connections.fetch_add(1, Ordering::Relaxed);
        Counted(counters)
    }

    pub fn status(&self) -> Vec<ExportStatus> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let one = |(name, counters): (&String, &Arc<Counters>)| ExportStatus {
            name: name.clone(),
            connections: get(&counters.connections),
            requests: get(&counters.requests),
            errors: get(&counters.errors),
            bytes_read: get(&counters.bytes_read),
            bytes_written: get(&counters.bytes_written),
        };
        self.exports.lock().iter().map(one).collect()
    }
}
