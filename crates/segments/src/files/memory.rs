//! Segment files in memory, for tests: with power loss and faults on demand.
//!
//! A crash is a *clone*; the original goes on. The clone keeps of each file what was synced and a random part of
//! the rest: some prefix of it, cut at a multiple of 512 bytes or not at all, in which some sectors never arrived.
//! Files whose names were not synced may be missing. Nothing becomes durable except in `sync` and `rewrite`, so a
//! missing sync is found.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use super::SegmentFiles;
use crate::SegmentId;

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Segment files in memory.
#[derive(Default)]
pub struct MemoryFiles {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<SegmentId, Held>,
    removed: BTreeMap<SegmentId, Held>,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    skip_sync: Option<u64>,
}

/// One file: the first `synced` bytes are on disk.
#[derive(Clone, Default)]
struct Held {
    bytes: Vec<u8>,
    synced: usize,
    named: bool,
}

impl MemoryFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power loss now could leave, chosen by `seed`.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let mut random = Random(seed);
        let mut files = BTreeMap::new();
        for (&id, held) in &state.files {
            if held.named || random.below(2) == 0 {
                files.insert(id, held.after_crash(&mut random));
            }
        }
        for (&id, held) in &state.removed {
            if held.named && random.below(2) == 0 {
                files.entry(id).or_insert_with(|| held.after_crash(&mut random));
            }
        }
        Self { state: Mutex::new(State { files, ..State::default() }) }
    }

    /// Number of calls to `write_at` so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Number of calls to `sync` so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The `nth` write from now (1 is the next) fails after half of its bytes.
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.state.lock();
        state.fail_write = Some(state.writes + nth);
    }

    /// The `nth` sync from now (1 is the next) fails and makes nothing durable.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state.lock();
        state.fail_sync = Some(state.syncs + nth);
    }

    /// The `nth` sync from now (1 is the next) reports success and makes nothing durable.
    pub fn skip_sync(&self, nth: u64) {
        let mut state = self.state.lock();
        state.skip_sync = Some(state.syncs + nth);
    }

    /// Changes bytes behind everyone's back, as a failing disk would. Does nothing to a missing file.
    pub fn tamper(&self, id: SegmentId, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(held) = self.state.lock().files.get_mut(&id) {
            change(&mut held.bytes);
        }
    }
}

impl Held {
    /// What of it a power loss leaves; all of that is on disk.
    fn after_crash(&self, random: &mut Random) -> Self {
        let (synced, rest) = self.bytes.split_at(self.synced.min(self.bytes.len()));
        let mut bytes = synced.to_vec();
        let keep = random.below(rest.len() + 1);
        let keep = if random.below(4) == 0 { keep } else { keep - keep % SECTOR };
        let lossy = random.below(2) == 0;
        for sector in rest.get(..keep).unwrap_or_default().chunks(SECTOR) {
            let lost = lossy && random.below(4) == 0;
            let zeros = [0; SECTOR];
            bytes.extend_from_slice(if lost {
                zeros.get(..sector.len()).unwrap_or(&[])
            } else {
                sector
            });
        }
        Self { synced: bytes.len(), bytes, named: true }
    }
}

impl State {
    fn held(&mut self, id: SegmentId) -> io::Result<&mut Held> {
        self.files.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A fault that a test has asked for.
fn planted() -> io::Error {
    io::Error::other("a fault was planted")
}

impl SegmentFiles for MemoryFiles {
    fn create(&self, id: SegmentId) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.files.contains_key(&id) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(id, Held::default());
        Ok(())
    }

    fn write_at(&self, id: SegmentId, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.writes += 1;
        let fails = state.fail_write == Some(state.writes);
        let held = state.held(id)?;
        if held.bytes.len() as u64 != offset {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let before = held.bytes.len();
        parts.iter().for_each(|part| held.bytes.extend_from_slice(part));
        if fails {
            let half = (held.bytes.len() - before) / 2;
            held.bytes.truncate(before + half);
            return Err(planted());
        }
        Ok(())
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = &state.held(id)?.bytes;
        match bytes.get(start..start.saturating_add(buf.len())) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn len(&self, id: SegmentId) -> io::Result<u64> {
        Ok(self.state.lock().held(id)?.bytes.len() as u64)
    }

    fn sync(&self, id: SegmentId) -> io::Result<()> {
        let mut state = self.state.lock();
        state.syncs += 1;
        if state.fail_sync == Some(state.syncs) {
            return Err(planted());
        }
        let skips = state.skip_sync == Some(state.syncs);
        let held = state.held(id)?;
        if !skips {
            held.synced = held.bytes.len();
            state.files.values_mut().for_each(|held| held.named = true);
            state.removed.clear();
        }
        Ok(())
    }

    fn rewrite(&self, id: SegmentId, tail: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let held = state.held(id)?;
        held.bytes.extend_from_slice(tail);
        held.synced = held.bytes.len();
        held.named = true;
        Ok(())
    }

    fn settle(&self, id: SegmentId) -> io::Result<()> {
        self.sync(id)
    }

    fn remove(&self, id: SegmentId) -> io::Result<()> {
        let mut state = self.state.lock();
        let held = state.files.remove(&id).ok_or(io::ErrorKind::NotFound)?;
        state.removed.insert(id, held);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<SegmentId>> {
        Ok(self.state.lock().files.keys().copied().collect())
    }
}

/// Well mixed numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}
