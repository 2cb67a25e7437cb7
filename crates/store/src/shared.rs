//! What lines, views and readers share without the store's lock: engines, tables, caches, the poison flag.

use crate::cache::Cache;
use crate::error::{Result, StoreError};
use crate::extents::{ExtentRow, ExtentTable};
use crate::ram::{RamExtent, RamExtents};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tintype_history::{Key, Point, Record, SpaceId, read};
use tintype_kv::Kv;
use tintype_segments::{
    BLOCK, Codec, Encoded, ExtentId, Owner, Place, SegmentId, Segments, SegmentsError, Stored,
    StoredCodec, encode,
};

/// Unpacked extents kept for readers, in blocks.
const UNPACKED_BLOCKS: usize = 48 * 256;
/// Rows of the extent table kept in memory.
const EXTENT_ROWS: usize = 60_000;
/// How often a read follows an extent that moves.
const MOVES: usize = 8;

/// See the module header.
pub struct Shared {
    /// Records.
    pub kv: Arc<dyn Kv>,
    /// Data.
    pub segments: Arc<Segments>,
    /// Where extents lie.
    pub extents: ExtentTable,
    /// Extents not committed yet.
    pub ram: RamExtents,
    /// The next extent id.
    pub next_extent: AtomicU64,
    /// Records changed in memory, over all lines.
    pub dirty_records: AtomicUsize,
    /// Wakes the background thread and whoever waits for it.
    pub bell: Bell,
    /// Held for reading while a chain of spaces is read, for writing while two spaces are merged.
    pub merges: RwLock<()>,
    /// Spaces that were merged since the store was opened, and into which.
    pub moved: RwLock<HashMap<SpaceId, SpaceId>>,
    /// Extents in each segment that no commit has taken yet: such a segment must stay.
    pending: Mutex<HashMap<SegmentId, u64>>,
    unpacked: Mutex<Cache<u64, (u32, Bytes)>>,
    stopped: AtomicBool,
    closing: AtomicBool,
    reason: Mutex<Option<Stop>>,
}

/// Why nothing works any more.
#[derive(Clone, Debug)]
enum Stop {
    Failed(String),
    Shutdown,
}

/// A condition that carries what is wanted.
#[derive(Default)]
pub struct Bell {
    pub(crate) wanted: Mutex<Wanted>,
    pub(crate) work: Condvar,
    pub(crate) room: Condvar,
}

/// What the background threads are asked for.
#[derive(Default)]
pub struct Wanted {
    pub(crate) write: bool,
    pub(crate) commit: bool,
    pub(crate) tidy: bool,
    pub(crate) stop: bool,
}

impl Bell {
    /// Asks the background threads for something.
    pub fn ring(&self, want: impl FnOnce(&mut Wanted)) {
        want(&mut self.wanted.lock());
        self.work.notify_all();
    }
}

impl Shared {
    /// Fresh state over open engines.
    pub fn new(kv: Arc<dyn Kv>, segments: Arc<Segments>, next_extent: u64) -> Self {
        Self {
            kv,
            segments,
            extents: ExtentTable::new(EXTENT_ROWS),
            ram: RamExtents::default(),
            next_extent: AtomicU64::new(next_extent),
            dirty_records: AtomicUsize::new(0),
            bell: Bell::default(),
            merges: RwLock::new(()),
            moved: RwLock::default(),
            pending: Mutex::default(),
            unpacked: Mutex::new(Cache::new(UNPACKED_BLOCKS)),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            reason: Mutex::new(None),
        }
    }

    /// Fails when the store has stopped.
    pub fn check(&self) -> Result<()> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.reason.lock().clone() {
            Some(Stop::Failed(reason)) => Err(StoreError::Poisoned { reason }),
            _ => Err(StoreError::Shutdown),
        }
    }

    /// Fails when the store has stopped or is about to close: what takes long and changes nothing ends then.
    pub fn check_staying(&self) -> Result<()> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(StoreError::Shutdown);
        }
        self.check()
    }

    /// The store is about to close.
    pub fn say_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Stops everything after a failed write.
    pub fn poison(&self, error: &StoreError) {
        tracing::error!(%error, "the store stops: a write failed");
        let mut reason = self.reason.lock();
        if reason.is_none() {
            *reason = Some(Stop::Failed(chain_text(error)));
        }
        self.stopped.store(true, Ordering::Release);
    }

    /// Stops everything on request.
    pub fn shut_down(&self) {
        self.reason.lock().get_or_insert(Stop::Shutdown);
        self.stopped.store(true, Ordering::Release);
    }

    /// The chain with the names that its spaces have now.
    fn current_chain<'c>(&self, chain: &'c [Point]) -> Cow<'c, [Point]> {
        let moved = self.moved.read();
        if !chain.iter().any(|part| moved.contains_key(&part.space)) {
            return Cow::Borrowed(chain);
        }
        let mut current: Vec<Point> = Vec::with_capacity(chain.len());
        for part in chain {
            let mut space = part.space;
            while let Some(into) = moved.get(&space) {
                space = *into;
            }
            // A merged space comes before the one that took it in, with the later epoch.
            if current.last().is_none_or(|last| last.space != space) {
                current.push(Point { space, ..*part });
            }
        }
        Cow::Owned(current)
    }

    /// The newest version of `key` in a chain.
    pub fn get_record(&self, chain: &[Point], key: Key) -> Result<Option<Record>> {
        self.check()?;
        let _merges = self.merges.read_recursive();
        Ok(read::get(&*self.kv, &self.current_chain(chain), key)?)
    }

    /// The newest versions of sorted, distinct keys in a chain; absent ones are told too.
    pub fn get_records(
        &self,
        chain: &[Point],
        keys: &[Key],
        tell: &mut dyn FnMut(Key, Option<Record>),
    ) -> Result<()> {
        self.check()?;
        let _merges = self.merges.read_recursive();
        Ok(read::get_many(&*self.kv, &self.current_chain(chain), keys, tell)?)
    }

    /// All records of a chain in a range of keys.
    pub fn scan_records(
        &self,
        chain: &[Point],
        from: Key,
        to: Key,
        visit: &mut read::Visit<'_>,
    ) -> Result<()> {
        self.check()?;
        let _merges = self.merges.read_recursive();
        Ok(read::scan(&*self.kv, &self.current_chain(chain), from, to, visit)?)
    }

    /// Extents were appended and wait for their commit.
    pub fn appended<'p>(&self, places: impl Iterator<Item = &'p Stored>) {
        let mut pending = self.pending.lock();
        for segment in places.filter_map(segment_of) {
            *pending.entry(segment).or_insert(0) += 1;
        }
    }

    /// Appended extents were committed or abandoned.
    pub fn settled<'p>(&self, places: impl Iterator<Item = &'p Stored>) {
        let mut pending = self.pending.lock();
        for segment in places.filter_map(segment_of) {
            if let Some(count) = pending.get_mut(&segment) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    pending.remove(&segment);
                }
            }
        }
    }

    /// Whether a segment holds extents that wait for their commit.
    pub fn is_pending(&self, segment: SegmentId) -> bool {
        self.pending.lock().contains_key(&segment)
    }

    /// Forgets extents that no commit will take.
    pub fn abandon(&self, extents: &[Arc<RamExtent>]) {
        let places: Vec<_> = extents.iter().filter_map(|extent| extent.abandon()).collect();
        self.ram.remove(extents.iter());
        self.settled(places.iter());
    }

    /// Reads blocks of an extent into `out`.
    pub fn read(&self, extent: u64, first: u16, out: &mut [u8]) -> Result<()> {
        if extent == 0 {
            out.fill(0);
            return Ok(());
        }
        for _ in 0..MOVES {
            self.check()?;
            match self.read_once(extent, first, out) {
                // Cleaning moved the extent, or left out blocks that died meanwhile: ask the table again.
                Err(
                    StoreError::Segments(
                        SegmentsError::Gone { .. } | SegmentsError::NotPresent { .. },
                    )
                    | StoreError::Moved(_),
                ) => self.extents.forget(extent),
                done => return done,
            }
        }
        Err(StoreError::Moved(extent))
    }

    fn read_once(&self, extent: u64, first: u16, out: &mut [u8]) -> Result<()> {
        let stored = match self.ram.get(extent) {
            Some(ram) => match ram.read(first, out)? {
                None => return Ok(()),
                Some(stored) => stored,
            },
            None => {
                let row = self.extents.get(&*self.kv, extent)?.ok_or(StoreError::Moved(extent))?;
                return self.read_row(extent, &row, first, out);
            }
        };
        self.read_stored(extent, &stored, first, out)
    }

    fn read_row(&self, extent: u64, row: &ExtentRow, first: u16, out: &mut [u8]) -> Result<()> {
        self.read_stored(extent, &row.stored, first, out)
    }

    fn read_stored(&self, extent: u64, stored: &Stored, first: u16, out: &mut [u8]) -> Result<()> {
        let count = u8::try_from(out.len() / BLOCK).unwrap_or(u8::MAX);
        let index = u8::try_from(first).unwrap_or(u8::MAX);
        if stored.codec == StoredCodec::Raw {
            self.segments.read_blocks(ExtentId(extent), stored, index, count, out)?;
            return Ok(());
        }
        let unpacked = self.unpacked(extent, stored)?;
        if u32::from(index) + u32::from(count) > u32::BITS {
            return Err(StoreError::Damaged { what: "extent", id: extent });
        }
        let wanted = (((1u64 << count) - 1) << index) as u32;
        let below = stored.present & ((1u64 << index) - 1) as u32;
        let at = below.count_ones() as usize * BLOCK;
        let source = unpacked.get(at..at + out.len()).filter(|_| stored.present & wanted == wanted);
        out.copy_from_slice(source.ok_or(StoreError::Moved(extent))?);
        Ok(())
    }

    fn unpacked(&self, extent: u64, stored: &Stored) -> Result<Bytes> {
        if let Some((present, bytes)) = self.unpacked.lock().get(&extent)
            && present == stored.present
        {
            return Ok(bytes);
        }
        let bytes = self.segments.read(ExtentId(extent), stored)?;
        let weight = bytes.len() / BLOCK;
        self.unpacked.lock().insert(extent, (stored.present, bytes.clone()), weight);
        Ok(bytes)
    }
}

fn segment_of(stored: &Stored) -> Option<SegmentId> {
    match stored.place {
        Place::At { segment, .. } => Some(segment),
        Place::Inline(_) => None,
    }
}

impl Shared {
    /// An extent packed again without its dead blocks.
    pub fn repack(&self, extent: u64, row: &ExtentRow, owners: &[Owner]) -> Result<Encoded> {
        let id = ExtentId(extent);
        if row.live == row.stored.present {
            return Ok(self.segments.reframe(id, &row.stored, owners)?);
        }
        let all = self.segments.read(id, &row.stored)?;
        let mut blocks = Vec::with_capacity(row.live.count_ones() as usize * BLOCK);
        let present = (0..32u32).filter(|index| row.stored.present & (1 << index) != 0);
        for (index, block) in present.zip(all.chunks(BLOCK)) {
            if row.live & (1 << index) != 0 {
                blocks.extend_from_slice(block);
            }
        }
        let codec = match row.stored.codec {
            StoredCodec::Raw => Codec::Off,
            StoredCodec::Lz4 => Codec::Lz4,
            StoredCodec::Zstd => Codec::Zstd(3),
        };
        Ok(encode(codec, id, row.live, owners, &blocks)?)
    }

    /// An inline extent of which half is dead gives that half back at once; others wait for cleaning.
    pub fn tightened(&self, extent: u64, row: ExtentRow) -> ExtentRow {
        let half_dead = row.live.count_ones() * 2 <= row.stored.blocks();
        if !row.stored.is_inline() || !half_dead || row.live & !row.stored.present != 0 {
            return row;
        }
        match self.repack(extent, &row, &[]) {
            Ok(encoded) => ExtentRow { stored: encoded.inline(), ..row },
            Err(_) => row,
        }
    }
}

/// An error with its causes in one line.
pub fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Reads data of committed and uncommitted extents; shared by all threads, needs no lock of the caller.
#[derive(Clone)]
pub struct BlockReader(pub(crate) Arc<Shared>);

impl BlockReader {
    /// Reads blocks `first .. first + count` of an extent into `out` (`count` x 4,096 bytes); extent 0 reads as zeroes.
    ///
    /// # Errors
    /// [`StoreError::Moved`]: the extent has gone meanwhile, look the piece up again. Others: damage or a failed disk.
    pub fn read(&self, extent: u64, first: u16, count: u16, out: &mut [u8]) -> Result<()> {
        let bytes = usize::from(count) * BLOCK;
        let out = out.get_mut(..bytes).ok_or(StoreError::Moved(extent))?;
        self.0.read(extent, first, out)
    }
}
