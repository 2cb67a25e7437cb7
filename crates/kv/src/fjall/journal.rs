//! What happens around the engine's own opening and closing: the lock, the repair of suspect journals, and the
//! note that says "closed in order".
//!
//! A journal that was not closed in order is read once, judged (see `sound`), cut to its whole batches and brought to disk in
//! place (see `repair`). Journals behind them that hold no batch go: the engine then goes on in the one before, and has
//! nothing to flush at once. So opening takes no room, unless several journals hold what the tables do not.
//!
//! It is safe because nothing is cut, removed or opened before it is known that nothing synced is missing, and because
//! every step leaves a store of which the same is found again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::identity::{self, Identity, Stage};
use super::link::{StoreId, Synced};
use super::mark::Mark;
use super::pointers::{self, TREES};
use super::repair::{self, NoRoom};
use super::room;
use super::sound::{self, Journal, Sound, damage};
use super::tables::Tables;
use super::tail;
use crate::KvError;

/// File that is locked while the store is open.
const LOCK: &str = "in-use";
/// File that exists while the store is closed and was closed in order. It says which batch was the last, how long the
/// whole batches of each journal are, and their hash, so that damage is told apart from a torn end.
const CLOSED: &str = "closed";
/// File whose presence tells the engine that the folder holds a store.
const ENGINE_VERSION: &str = "version";
/// File that the engine locks.
const ENGINE_LOCK: &str = "lock";
/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Room for a small file of ours, or for its name.
const SMALL_FILE: u64 = 4096;
/// Room for what a new table has beside its records, at most.
const TABLE_EXTRA: u64 = 1 << 20;

/// Creates the folder when needed and takes its lock.
pub(super) fn lock(path: &Path) -> Result<File, KvError> {
    let open = || {
        create_folder(path)?;
        OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))
    };
    let io = |source| KvError::Io { doing: "open", path: path.to_path_buf(), source };
    let file = open().map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(KvError::InUse { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// What is known of a store before the engine opens it.
pub(super) struct Known {
    /// Its id.
    pub store: StoreId,
    /// Whether the engine has to create it.
    pub fresh: bool,
    /// The last batch in the journals.
    pub last: Option<Synced>,
    /// The last batch of which a note or a mark says that it was on disk.
    pub promised: u64,
}

/// Makes the folder fit for the engine. The caller holds the lock.
pub(super) fn before_open(path: &Path) -> Result<Known, KvError> {
    let prepare = || match Identity::read(path)? {
        Some(identity) if identity.stage == Stage::Made => prepare(path, identity.store),
        None if !unfinished(path)? => {
            Err(damage(&path.join("identity"), "is missing, but there are records"))
        }
        _ => start_creation(path),
    };
    prepare().map_err(|source| refused(path, source))
}

/// Names the situation behind an error of the preparation.
pub(super) fn refused(path: &Path, source: io::Error) -> KvError {
    match source.kind() {
        io::ErrorKind::InvalidData => {
            KvError::Damaged { doing: "open", path: path.to_path_buf(), detail: source.to_string() }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let lack = source.get_ref().and_then(|e| e.downcast_ref::<NoRoom>());
            let needed = lack.map_or(SMALL_FILE, |lack| lack.needed);
            let free = room::free(path).unwrap_or(0);
            KvError::NoSpace { path: path.to_path_buf(), needed, free }
        }
        _ => KvError::Io { doing: "open", path: path.to_path_buf(), source },
    }
}

/// Removes what an interrupted creation left. Nobody has written to the store yet.
fn start_creation(path: &Path) -> io::Result<Known> {
    let identity = Identity::fresh()?;
    sync_parent(path)?;
    identity.write(path)?;
    match fs::remove_dir_all(path.join(TREES)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    journals(path)?.iter().try_for_each(|file| remove_if_there(file))?;
    [ENGINE_VERSION, ENGINE_LOCK, CLOSED]
        .iter()
        .try_for_each(|name| remove_if_there(&path.join(name)))?;
    sync_folder(path)?;
    Ok(Known { store: identity.store, fresh: true, last: None, promised: 0 })
}

/// Checks what the engine will read, and makes sure that what was read is on disk.
fn prepare(path: &Path, store: StoreId) -> io::Result<Known> {
    pointers::check(path)?;
    let closed = path.join(CLOSED).try_exists()?;
    let mark = Mark::read(path, &store)?;
    let mut tables = Tables::of(path, store);
    let sound = sound::judge(journals(path)?, &store, mark, &mut tables)?;
    let noted = if closed { check_note(path, &sound)? } else { 0 };
    let promised = noted.max(mark.number).max(sound.last.map_or(0, |last| last.number));
    remove_leftovers(path)?;
    let (kept, spare) = sound.journals.split_at(sound.journals.len().saturating_sub(sound.spare));
    if !closed {
        kept.iter().try_for_each(|journal| repair::in_place(&journal.path, journal.len))?;
    }
    // The note speaks of all journals, so it goes first.
    remove_if_there(&path.join(CLOSED))?;
    sync_folder(path)?;
    // Newest first: a gap would be a journal that is missing.
    spare.iter().rev().try_for_each(|journal| remove_if_there(&journal.path))?;
    sync_folder(path)?;
    room_to_flush(path, kept, &mut tables)?;
    Ok(Known { store, fresh: false, last: sound.last, promised })
}

/// Removes half-written files of an opening or closing that was interrupted; they may hold room that is needed now.
fn remove_leftovers(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ext| ext == "new") {
            remove_if_there(&file)?;
        }
    }
    Ok(())
}

/// Whether the disk has room for what the engine does at once: it writes a table of each journal before the newest one whose
/// batches are in none yet, and takes a failure for the end.
fn room_to_flush(path: &Path, journals: &[Journal], tables: &mut Tables) -> io::Result<()> {
    let (_newest, older) = journals.split_last().unzip();
    let mut needed = 0;
    for journal in older.unwrap_or_default() {
        if !tables.hold(journal.last)? {
            needed += journal.len + TABLE_EXTRA;
        }
    }
    match room::free(path) {
        Some(free) if free < needed => Err(NoRoom::error(needed)),
        _ => Ok(()),
    }
}

/// What the note says of journals like these; `last` is the number of the last batch of the store.
fn note_text(sound: &Sound, last: u64) -> io::Result<String> {
    let mut text = format!("closed in order after {last}\n");
    for Journal { path, len, .. } in &sound.journals {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{name} {len} {:032x}\n", content_hash(path, *len)?));
    }
    Ok(text)
}

/// Hash of the first `len` bytes. The engine's own checksums leave out the heads of batches.
fn content_hash(file: &Path, len: u64) -> io::Result<u128> {
    let (mut from, mut hash) = (File::open(file)?.take(len), Xxh3::new());
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(hash.digest128());
        }
        hash.update(chunk.get(..count).unwrap_or_default());
    }
}

/// After an orderly end every journal holds what it held then. Answers the number of the last batch.
fn check_note(path: &Path, sound: &Sound) -> io::Result<u64> {
    let said = String::from_utf8_lossy(&fs::read(path.join(CLOSED))?).into_owned();
    let last = said.lines().next().and_then(|line| line.rsplit(' ').next()?.parse().ok());
    match last {
        Some(last) if note_text(sound, last)? == said => Ok(last),
        _ => Err(damage(
            &path.join(CLOSED),
            "does not fit: a journal is not what it was when the store was closed",
        )),
    }
}

/// Whether the engine was interrupted before it had made a table folder, and nothing was written.
fn unfinished(path: &Path) -> io::Result<bool> {
    let no_tables = match fs::read_dir(path.join(TREES)) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        Err(e) => return Err(e),
    };
    for file in journals(path)? {
        if !tail::zeros_from(&mut File::open(file)?, 0)? {
            return Ok(false);
        }
    }
    Ok(no_tables)
}

/// The journal files in the folder.
pub(super) fn journals(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ext| ext == "jnl") {
            found.push(file);
        }
    }
    Ok(found)
}

/// Removes a file; it may be missing.
fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Creates a folder with those above it; their names are durable then.
fn create_folder(path: &Path) -> io::Result<()> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let made: Vec<&Path> = path.ancestors().take_while(missing).collect();
    fs::create_dir_all(path)?;
    made.into_iter().try_for_each(sync_parent)
}

/// Makes the name of a folder durable, where the folder above may be read.
fn sync_parent(folder: &Path) -> io::Result<()> {
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    match sync_folder(above) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

/// Makes the names of the engine's trees durable: it syncs the folder before it makes them.
pub(super) fn sync_trees(path: &Path) -> io::Result<()> {
    sync_folder(&path.join(TREES))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Allocated bytes of all files below a folder. Files that vanish meanwhile do not count.
pub(super) fn disk_bytes(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        sum += match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()).or_else(gone)?,
            Ok(meta) => meta.blocks() * 512,
            Err(e) => gone(e)?,
        };
    }
    Ok(sum)
}

/// A vanished file has no bytes; other errors stay.
fn gone(error: io::Error) -> io::Result<u64> {
    if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
}

/// Leaves the note "closed in order" when dropped, if it was told so.
pub(super) struct Closing {
    path: PathBuf,
    store: StoreId,
    last: Option<Synced>,
}

impl Closing {
    /// For the store in `path`.
    pub(super) fn new(path: &Path, store: StoreId) -> Self {
        Self { path: path.to_path_buf(), store, last: None }
    }

    /// The last sync succeeded, nothing will be written any more, and this was the last batch.
    pub(super) fn in_order(&mut self, last: Synced) {
        self.last = Some(last);
    }

    /// Writes the note; nothing writes the journals any more. Without it the next opening only does more work.
    fn note(&self, last: Synced) -> io::Result<()> {
        let mut tables = Tables::of(&self.path, self.store);
        let sound = sound::judge(journals(&self.path)?, &self.store, last, &mut tables)?;
        identity::replace(&self.path, CLOSED, note_text(&sound, last.number)?.as_bytes())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(last) = self.last {
            let _ = self.note(last);
        }
    }
}
