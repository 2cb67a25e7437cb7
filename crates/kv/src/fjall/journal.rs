//! What happens around the engine's own opening and closing: the lock, the copy of a suspect journal, and the
//! note that says "closed in order".
//!
//! Why the copy: after a failed sync the kernel may hold pages in memory that never reach the disk, and a
//! restarted process reads them back as if they were there. Building on them would make a later sync a lie.
//! So a journal that was not closed in order is read once, cut to its whole batches (see `sound`), written
//! to a new file, synced and put in place; from then on what was read is what the disk has.
//!
//! It is safe because the original stays until the synced copy replaces it, and because nothing is cut, copied or
//! opened before it is known that nothing synced is missing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::identity::{self, Identity, Stage};
use super::link::{StoreId, Synced};
use super::mark::Mark;
use super::pointers::{self, TREES};
use super::sound::{self, Sound, damage};
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
/// Bytes copied at a time; blocks of zeros of this size become holes.
const CHUNK: usize = 64 * 1024;

/// Creates the folder when needed and takes its lock.
pub(super) fn lock(path: &Path) -> Result<File, KvError> {
    let open = || {
        fs::create_dir_all(path)?;
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
        _ => KvError::Io { doing: "open", path: path.to_path_buf(), source },
    }
}

/// Removes what an interrupted creation left. Nobody has written to the store yet.
fn start_creation(path: &Path) -> io::Result<Known> {
    let identity = Identity::fresh()?;
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
    let sound = sound::judge(journals(path)?, &store, mark)?;
    let noted = if closed { check_note(path, &sound)? } else { 0 };
    if !closed {
        sound.journals.iter().try_for_each(|(file, len)| copy_durably(file, *len))?;
    }
    let promised = noted.max(mark.number).max(sound.last.map_or(0, |last| last.number));
    remove_if_there(&path.join(CLOSED))?;
    sync_folder(path)?;
    Ok(Known { store, fresh: false, last: sound.last, promised })
}

/// What the note says of journals like these; `last` is the number of the last batch of the store.
fn note_text(sound: &Sound, last: u64) -> io::Result<String> {
    let mut text = format!("closed in order after {last}\n");
    for (file, len) in &sound.journals {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{name} {len} {:032x}\n", content_hash(file, *len)?));
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
    let said = fs::read_to_string(path.join(CLOSED))?;
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

/// Replaces a file by a synced copy of its first `len` bytes, as reading gives them.
fn copy_durably(file: &Path, len: u64) -> io::Result<()> {
    let copy = file.with_extension("new");
    let copied = File::create(&copy).and_then(|to| {
        copy_sparse(&mut File::open(file)?.take(len), &to)?;
        to.sync_all()
    });
    if let Err(error) = copied {
        // On a full disk a partial copy would take the room that somebody is about to make.
        remove_if_there(&copy)?;
        return Err(error);
    }
    fs::rename(&copy, file)
}

/// Copies all bytes, leaving holes where there are only zeros.
fn copy_sparse(from: &mut impl Read, to: &File) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut at = 0u64;
    loop {
        chunk.clear();
        Read::by_ref(from).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return to.set_len(at);
        }
        if !tail::is_zero(&chunk) {
            to.write_all_at(&chunk, at)?;
        }
        at += chunk.len() as u64;
    }
}

/// Removes a file; it may be missing.
fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
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
        let sound = sound::judge(journals(&self.path)?, &self.store, last)?;
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
