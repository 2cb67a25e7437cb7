//! The adapter of tests: records in memory, with power loss and faults on demand.
//!
//! It keeps two states: what reads see, and what a power loss would leave. A crash is a *clone*: the
//! original goes on, the clone holds the synced state plus a random prefix of the batches after it. Planted
//! faults make a sync lie or a call fail, so that a crash test can prove that it would notice.
//!
//! Nothing is written to disk. It is safe as a double because it keeps batches whole and in order, and never
//! makes anything durable except in `sync`.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::{Batch, Kv, KvError, Op, Pair, Pairs};

type Map = BTreeMap<Bytes, Bytes>;

/// Records that an iterator copies per visit to the lock.
const CHUNK: usize = 64;

/// Records in memory.
#[derive(Default)]
pub struct MemoryKv {
    seen: RwLock<Map>,
    disk: Mutex<Disk>,
}

/// What a power loss would leave, and what was asked of it.
#[derive(Default)]
struct Disk {
    durable: Map,
    pending: Vec<Batch>,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    skip_sync: Option<u64>,
    full: Option<u64>,
    poisoned: bool,
}

impl MemoryKv {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power loss now could leave: the synced state and a prefix, chosen by `seed`, of the later batches.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let disk = self.disk.lock();
        let keep = mix(seed) % (disk.pending.len() as u64 + 1);
        self.left(&disk, usize::try_from(keep).unwrap_or(0))
    }

    /// What exactly `keep` of the un-synced batches reaching the disk would leave.
    #[must_use]
    pub fn crash_keeping(&self, keep: usize) -> Self {
        self.left(&self.disk.lock(), keep)
    }

    /// A new store with the durable state and the first `keep` pending batches.
    fn left(&self, disk: &Disk, keep: usize) -> Self {
        let mut durable = disk.durable.clone();
        disk.pending.iter().take(keep).for_each(|batch| apply(&mut durable, batch));
        let seen = RwLock::new(durable.clone());
        Self { seen, disk: Mutex::new(Disk { durable, ..Disk::default() }) }
    }

    /// Number of batches that no sync has covered.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.disk.lock().pending.len()
    }

    /// Number of calls to [`Kv::write`] with a non-empty batch so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.disk.lock().writes
    }

    /// Number of calls to [`Kv::sync`] so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk.lock().syncs
    }

    /// The `nth` write from now (1 is the next) fails, changes nothing and poisons the store.
    pub fn fail_write(&self, nth: u64) {
        let mut disk = self.disk.lock();
        disk.fail_write = Some(disk.writes + nth);
    }

    /// The `nth` sync from now (1 is the next) fails and poisons the store.
    pub fn fail_sync(&self, nth: u64) {
        let mut disk = self.disk.lock();
        disk.fail_sync = Some(disk.syncs + nth);
    }

    /// The `nth` sync from now (1 is the next) reports success but makes nothing durable.
    pub fn skip_sync(&self, nth: u64) {
        let mut disk = self.disk.lock();
        disk.skip_sync = Some(disk.syncs + nth);
    }

    /// From the `nth` write on (1 is the next) batches are refused for want of room, unless they free some; `None`: no more.
    pub fn fill(&self, nth: Option<u64>) {
        let mut disk = self.disk.lock();
        disk.full = nth.map(|nth| disk.writes + nth);
    }

    /// Copies up to [`CHUNK`] records between two bounds, from one end.
    fn chunk(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, reverse: bool) -> Vec<Pair> {
        let seen = self.seen.read();
        let pairs = seen.range::<[u8], _>((from, to)).map(|(k, v)| (k.clone(), v.clone()));
        if reverse { pairs.rev().take(CHUNK).collect() } else { pairs.take(CHUNK).collect() }
    }
}

impl Disk {
    /// Counts a write; an error when it may not go on.
    fn count_write(&mut self) -> Result<(), KvError> {
        self.refuse_if_poisoned()?;
        self.writes += 1;
        if self.fail_write == Some(self.writes) {
            self.poisoned = true;
            return Err(KvError::Planted { doing: "write" });
        }
        Ok(())
    }

    /// Refuses a batch when there is no room.
    fn refuse_if_full(&self, frees: bool, needed: u64) -> Result<(), KvError> {
        if frees || self.full.is_none_or(|full| self.writes + 1 < full) {
            return Ok(());
        }
        Err(KvError::NoSpace { path: "memory".into(), needed, free: 0 })
    }

    /// Counts a sync and moves what is pending, unless told otherwise.
    fn sync(&mut self) -> Result<(), KvError> {
        self.refuse_if_poisoned()?;
        self.syncs += 1;
        if self.fail_sync == Some(self.syncs) {
            self.poisoned = true;
            return Err(KvError::Planted { doing: "sync" });
        }
        if self.skip_sync != Some(self.syncs) {
            let durable = &mut self.durable;
            self.pending.drain(..).for_each(|batch| apply(durable, &batch));
        }
        Ok(())
    }

    fn refuse_if_poisoned(&self) -> Result<(), KvError> {
        if self.poisoned { Err(KvError::Poisoned) } else { Ok(()) }
    }
}

/// Applies the operations of a batch in order.
fn apply(map: &mut Map, batch: &Batch) {
    for op in batch {
        match op {
            Op::Put(key, value) => map.insert(key.clone(), value.clone()),
            Op::Delete(key) => map.remove(key),
        };
    }
}

/// A well mixed number from a seed (splitmix64).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Walks a range chunk by chunk; between chunks the lock is free.
struct Walk<'a> {
    kv: &'a MemoryKv,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    reverse: bool,
    chunk: std::vec::IntoIter<Pair>,
    done: bool,
}

impl<'a> Walk<'a> {
    fn new(kv: &'a MemoryKv, from: &[u8], to: &[u8], reverse: bool) -> Self {
        Self {
            kv,
            from: Bound::Included(Bytes::copy_from_slice(from)),
            to: Bound::Excluded(Bytes::copy_from_slice(to)),
            reverse,
            chunk: Vec::new().into_iter(),
            done: from >= to,
        }
    }

    /// Fetches the next chunk and moves the bound past it.
    fn refill(&mut self) {
        let bound = |b: &Bound<Bytes>| b.clone();
        let (from, to) = (bound(&self.from), bound(&self.to));
        let chunk =
            self.kv.chunk(from.as_ref().map(|b| &b[..]), to.as_ref().map(|b| &b[..]), self.reverse);
        match chunk.last() {
            Some((last, _)) if chunk.len() == CHUNK => {
                let rest = if self.reverse { &mut self.to } else { &mut self.from };
                *rest = Bound::Excluded(last.clone());
                self.done = empty(&self.from, &self.to);
            }
            _ => self.done = true,
        }
        self.chunk = chunk.into_iter();
    }
}

/// Whether no key lies between two bounds that both exclude the same key.
fn empty(from: &Bound<Bytes>, to: &Bound<Bytes>) -> bool {
    match (from, to) {
        (Bound::Excluded(a) | Bound::Included(a), Bound::Excluded(b)) => a >= b,
        _ => false,
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Pair, KvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.len() == 0 && !self.done {
            self.refill();
        }
        self.chunk.next().map(Ok)
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        Ok(self.seen.read().get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        Box::new(Walk::new(self, from, to, false))
    }

    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        Box::new(Walk::new(self, from, to, true))
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut disk = self.disk.lock();
        disk.refuse_if_full(batch.frees(), batch.bytes() as u64)?;
        disk.count_write()?;
        apply(&mut self.seen.write(), &batch);
        disk.pending.push(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), KvError> {
        self.disk.lock().sync()
    }

    fn disk_bytes(&self) -> Result<u64, KvError> {
        Ok(self.seen.read().iter().map(|(k, v)| (k.len() + v.len()) as u64).sum())
    }

    fn compact(&self) -> Result<(), KvError> {
        self.disk.lock().refuse_if_poisoned()
    }
}
