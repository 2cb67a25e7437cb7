//! The default adapter: records in a local folder, kept by the fjall LSM engine.
//!
//! One keyspace, one journal that is synced only on request, small memtables so that opening is quick. The
//! folder belongs to this adapter: a lock file of its own keeps a second opener out before anything is touched, and an
//! identity (see `identity`) says whose records they are.
//!
//! Safe because batches go through one journal in order, and reads use a view taken between two batches: the engine
//! itself lets a background flush publish a batch that is still being applied, so its own newest view may show half
//! of one. A journal that was not closed in order is cut to whole batches and brought to disk before use (see
//! `repair`): what was read at opening is then on disk, also when an earlier sync had failed. Every batch is linked to
//! the one before it and to what was synced (see `link`), so that a store which lost something says so at opening
//! (see `sound`) instead of going on with less.

mod identity;
mod journal;
mod link;
mod mark;
mod pointers;
mod repair;
mod room;
mod sound;
mod tables;
mod tail;
mod zeros;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
};
use parking_lot::{Mutex, RwLock};

use self::identity::{Identity, Stage};
use self::journal::Known;
use self::link::{LINK_KEY, Link, NO_JOURNAL, StoreId, Synced};
use self::mark::Mark;
use self::room::{Need, Room};
use crate::batch::{KEY_LIMIT, KEY_MAX};
use crate::{Batch, Kv, KvError, Op, Pair, Pairs};

const MIB: u64 = 1024 * 1024;
/// Flushed memtables that may wait before writers do. The engine blocks for good at 4 when it has failed.
const SEALED_MAX: usize = 3;
/// About so many bytes has a row of a batch that is only estimated.
const ROW_BYTES: usize = 64;

/// Memory and disk that the engine may use. [`Options::default`] is meant for a small server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Cache of blocks read from disk, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// Size at which the memory table goes to disk, in bytes, at least 1 MiB. Default 16 MiB.
    pub memtable_bytes: u64,
    /// Journal files kept before old ones are forced out, in bytes, at least 64 MiB. Default 64 MiB.
    /// Opening reads at most about twice this.
    pub journal_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 64 * MIB, memtable_bytes: 16 * MIB, journal_bytes: 64 * MIB }
    }
}

/// Records in a local folder. Closes when dropped: the journal is synced then.
pub struct FjallKv {
    // The order matters: the engine closes, then the note is written, and the lock goes last.
    /// What reads see: the state after a whole number of batches.
    view: RwLock<Arc<Snapshot>>,
    /// Held while a batch is applied, and while a view is taken.
    commit: Mutex<Room>,
    /// The last batch that was applied; locked for an instant.
    written: Mutex<Synced>,
    mark: Mark,
    store: StoreId,
    records: Keyspace,
    db: Database,
    closing: journal::Closing,
    /// Bytes at which memory goes to disk.
    memtable: u64,
    path: PathBuf,
    _lock: File,
}

impl FjallKv {
    /// Opens the store in `dir`, creating the folder when it is missing.
    ///
    /// # Errors
    /// [`KvError::InUse`] when it is open elsewhere, [`KvError::Damaged`] when the files are not understood,
    /// [`KvError::NoSpace`] when the disk is full and what is needed says so, [`KvError::Io`] for the rest.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, KvError> {
        let path = dir.as_ref().to_path_buf();
        let lock = journal::lock(&path)?;
        let known = journal::before_open(&path)?;
        let (db, records) = open_engine(&path, options)?;
        let memtable = room::memtable_limit(&path, options.memtable_bytes);
        let written =
            if known.fresh { Synced::default() } else { last_batch(&path, &records, &known)? };
        let opened = |e| journal::refused(&path, e);
        let mark = Mark::create(&path, known.store, written).map_err(opened)?;
        let room = newest_journal(&path, known.fresh).map_err(opened)?;
        let kv = Self {
            view: RwLock::new(Arc::new(db.snapshot())),
            commit: Mutex::new(room),
            written: Mutex::new(written),
            mark,
            store: known.store,
            records,
            db,
            closing: journal::Closing::new(&path, known.store),
            memtable,
            path,
            _lock: lock,
        };
        if known.fresh {
            kv.finish_creation()?;
        }
        Ok(kv)
    }

    /// The first batch goes to disk, and the store counts as made.
    fn finish_creation(&self) -> Result<(), KvError> {
        journal::sync_trees(&self.path).map_err(|e| journal::refused(&self.path, e))?;
        self.write_through(Batch::new())?;
        self.sync()?;
        let made = Identity { store: self.store, stage: Stage::Made };
        made.write(&self.path).map_err(|e| journal::refused(&self.path, e))
    }

    /// Names the situation behind an error of the engine.
    fn error(&self, doing: &'static str, error: fjall::Error) -> KvError {
        translate(doing, &self.path, error)
    }

    /// The newest state after a whole number of batches.
    fn view(&self) -> Arc<Snapshot> {
        Arc::clone(&self.view.read())
    }

    /// The records of a range as they are now; `None` when the range is empty.
    fn walk(&self, from: &[u8], to: &[u8]) -> Option<fjall::Iter> {
        let to = to.min(&KEY_LIMIT[..]);
        (from < to).then(|| self.view().range(&self.records, from..to))
    }

    /// Takes a new view. The caller holds `commit`, so no batch is half applied.
    fn refresh(&self) {
        let fresh = Arc::new(self.db.snapshot());
        *self.view.write() = fresh;
    }

    /// Takes room for a batch, applies it and shows it. An empty one leaves only its link.
    fn write_through(&self, batch: Batch) -> Result<(), KvError> {
        let mut room = self.commit.lock();
        room.take(&self.need(batch.len(), batch.bytes(), batch.frees()))?;
        let next = Synced { number: self.written.lock().number + 1, journal: room.journal() };
        self.apply(batch, next.number).map_err(|e| self.error("write", e))?;
        *self.written.lock() = next;
        self.refresh();
        self.rotate_early()
    }

    /// What a batch of so many operations and bytes needs now.
    fn need(&self, ops: usize, bytes: usize, frees: bool) -> Need {
        Need {
            len: tail::batch_len(ops as u64, bytes as u64),
            beside: 0,
            unflushed: self.db.write_buffer_size(),
            memtable: self.memtable,
            tables: self.records.disk_space(),
            young: self.records.l0_table_count(),
            frees,
        }
    }

    /// Sends memory to disk when it holds what this disk can take; the engine remembers the size of a larger disk.
    fn rotate_early(&self) -> Result<(), KvError> {
        let full = self.db.write_buffer_size() >= self.memtable;
        if full && self.records.sealed_memtable_count() == 0 {
            self.records.rotate_memtable().map_err(|e| self.error("write", e))?;
        }
        Ok(())
    }

    /// Hands a batch to the engine. The caller holds `commit`.
    fn apply(&self, batch: Batch, number: u64) -> fjall::Result<()> {
        let link = Link { number, floor: self.db.visible_seqno(), synced: self.mark.synced() };
        let mut ops = fjall::OwnedWriteBatch::with_capacity(self.db.clone(), batch.len() + 1);
        ops.insert(&self.records, LINK_KEY, link.encode(&self.store));
        for op in batch {
            match op {
                Op::Put(key, value) => ops.insert(&self.records, key, value),
                Op::Delete(key) => ops.remove(&self.records, key),
            }
        }
        ops.commit()
    }

    /// Sends what is in memory to tables on disk and waits for it. The engine forgets old tables at such moments.
    fn flush(&self) -> Result<(), KvError> {
        // The link of a batch is something to flush.
        self.write_through(Batch::new())?;
        self.records.rotate_memtable().map_err(|e| self.error("compact", e))?;
        self.settle(1)
    }

    /// Reads the record behind a guard of the engine.
    fn pair(&self, guard: fjall::Guard) -> Result<Pair, KvError> {
        let (key, value) = guard.into_inner().map_err(|e| self.error("read", e))?;
        Ok((key.into(), value.into()))
    }

    /// Waits until fewer than `sealed` memory tables wait for the disk; gives up when the engine has failed.
    fn settle(&self, sealed: usize) -> Result<(), KvError> {
        while self.records.sealed_memtable_count() >= sealed {
            self.db.persist(PersistMode::Buffer).map_err(|e| self.error("write", e))?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Kv for FjallKv {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        if key.is_empty() || key.len() > KEY_MAX || key >= &KEY_LIMIT[..] {
            return Ok(None);
        }
        let value = self.view().get(&self.records, key).map_err(|e| self.error("read", e))?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        Box::new(self.walk(from, to).into_iter().flatten().map(|guard| self.pair(guard)))
    }

    fn range_rev(&self, from: &[u8], to: &[u8]) -> Pairs<'_> {
        let pairs = self.walk(from, to).into_iter().flat_map(Iterator::rev);
        Box::new(pairs.map(|guard| self.pair(guard)))
    }

    fn write(&self, batch: Batch) -> Result<(), KvError> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        self.settle(SEALED_MAX)?;
        self.write_through(batch)
    }

    fn room_for(&self, bytes: u64, beside: u64, frees: bool) -> Result<(), KvError> {
        let mut room = self.commit.lock();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        room.ensure(&Need { beside, ..self.need(bytes / ROW_BYTES, bytes, frees) })
    }

    fn kept_bytes(&self) -> u64 {
        self.need(0, 0, false).kept_of_disk()
    }

    fn sync(&self) -> Result<(), KvError> {
        let covered = *self.written.lock();
        self.db.persist(PersistMode::SyncData).map_err(|e| self.error("sync", e))?;
        self.mark.advance(covered);
        Ok(())
    }

    fn disk_bytes(&self) -> Result<u64, KvError> {
        journal::disk_bytes(&self.path).map_err(|source| KvError::Io {
            doing: "measure",
            path: self.path.clone(),
            source,
        })
    }

    fn compact(&self) -> Result<(), KvError> {
        self.flush()?;
        self.records.major_compact().map_err(|e| self.error("compact", e))?;
        self.flush()
    }
}

impl Drop for FjallKv {
    fn drop(&mut self) {
        if self.db.persist(PersistMode::SyncAll).is_ok() {
            self.closing.in_order(*self.written.lock());
        }
    }
}

/// Opens the engine. It asserts where it should complain about damage, so a panic counts as damage.
fn open_engine(path: &Path, options: Options) -> Result<(Database, Keyspace), KvError> {
    let open = || {
        let db = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes.max(64 * MIB))
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .open()?;
        let records = db.keyspace("records", || keyspace_options(options.memtable_bytes))?;
        Ok((db, records))
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|e| translate("open", path, e)),
        Err(_) => Err(KvError::Damaged {
            doing: "open",
            path: path.to_path_buf(),
            detail: "the engine stopped while reading them".to_owned(),
        }),
    }
}

/// The last batch that the engine knows. It is no less than what was promised: with it the journals end, or the tables, which
/// are ahead after a failed sync. The next batch then follows what the tables hold.
fn last_batch(path: &Path, records: &Keyspace, known: &Known) -> Result<Synced, KvError> {
    let value = records.get(LINK_KEY).map_err(|e| translate("open", path, e))?;
    let link = value.and_then(|value| Link::decode(&value, &known.store));
    let number = link.map_or(0, |link| link.number);
    if number >= known.promised.max(1) {
        let journaled = known.last.filter(|last| last.number == number);
        return Ok(journaled.unwrap_or(Synced { number, journal: NO_JOURNAL }));
    }
    let detail =
        format!("batch {} was written, the tables and journals end with {number}", known.promised);
    Err(KvError::Damaged { doing: "open", path: path.to_path_buf(), detail })
}

/// Room for the journal to which the engine appends.
fn newest_journal(path: &Path, fresh: bool) -> std::io::Result<Room> {
    let newest = journal::journals(path)?
        .into_iter()
        .filter_map(|file| Some((sound::number(&file)?, file)))
        .max();
    let Some((number, file)) = newest else { return Ok(Room::found(path, 0, 0)) };
    // The engine gives a journal that it creates its full length at once, and appends to one that it found.
    Ok(match fresh {
        true => Room::made(path, number),
        false => Room::found(path, number, file.metadata()?.len()),
    })
}

/// How records lie on disk: 4 KiB blocks, compressed from the third level down.
fn keyspace_options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    use CompressionType::{Lz4, None};
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(memtable_bytes.max(MIB))
        .data_block_size_policy(BlockSizePolicy::all(4096))
        .data_block_compression_policy(CompressionPolicy::new([None, None, Lz4]))
}

/// The situation behind an error of the engine.
fn translate(doing: &'static str, path: &Path, error: fjall::Error) -> KvError {
    let path = path.to_path_buf();
    match error {
        fjall::Error::Locked => KvError::InUse { path },
        fjall::Error::Poisoned => KvError::Poisoned,
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            KvError::Io { doing, path, source }
        }
        other => KvError::Damaged { doing, path, detail: other.to_string() },
    }
}
