//! What happens around the engine's own opening and closing: the lock, the copy of a suspect journal, and the
//! note that says "closed in order".
//!
//! Why the copy: after a failed sync the kernel may hold pages in memory that never reach the disk, and a
//! restarted process reads them back as if they were there. Building on them would make a later sync a lie.
//! So a journal that was not closed in order is read once, cut to its whole batches (see `tail`), written
//! to a new file, synced and put in place; from then on what was read is what the disk has.
//!
//! It is safe because the original stays until the synced copy replaces it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::tail;
use crate::KvError;

/// File that is locked while the store is open.
const LOCK: &str = "in-use";
/// File that exists while the store is closed and was closed in order. It says how long the whole batches of each journal
/// are, and their hash, so that damage is told apart from a torn end.
const CLOSED: &str = "closed";
/// File whose presence tells the engine that the folder holds a store.
const ENGINE_VERSION: &str = "version";
/// Folder of the engine's tables.
const ENGINE_TABLES: &str = "keyspaces";
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

/// Makes the folder fit for the engine. The caller holds the lock.
pub(super) fn before_open(path: &Path) -> Result<(), KvError> {
    let prepare = || {
        if unfinished(path)? {
            remove_if_there(&path.join("0.jnl"))?;
            remove_if_there(&path.join(ENGINE_VERSION))?;
        } else if path.join(CLOSED).try_exists()? {
            check_note(path)?;
        } else {
            make_durable(path)?;
        }
        remove_if_there(&path.join(CLOSED))?;
        sync_folder(path)
    };
    prepare().map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => {
            KvError::Damaged { doing: "open", path: path.to_path_buf(), detail: source.to_string() }
        }
        _ => KvError::Io { doing: "open", path: path.to_path_buf(), source },
    })
}

/// What the note says about the journals as they are now.
fn measured(path: &Path) -> io::Result<String> {
    let mut found = journals(path)?;
    found.sort_by_key(|file| number(file));
    let mut text = String::from("closed in order\n");
    for file in found {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let len = tail::sound_len(&file)?;
        text.push_str(&format!("{name} {len} {:032x}\n", content_hash(&file, len)?));
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

/// After an orderly end every journal holds what it held then.
fn check_note(path: &Path) -> io::Result<()> {
    let (said, found) = (fs::read(path.join(CLOSED))?, measured(path)?);
    if said == found.as_bytes() {
        return Ok(());
    }
    let text = "a journal is not what it was when the store was closed";
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Whether the engine was interrupted while it created the store: then no table folder has content yet.
fn unfinished(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path.join(ENGINE_TABLES)) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(journals(path)?.len() <= 1),
        Err(e) => Err(e),
    }
}

/// The journal files in the folder.
fn journals(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ext| ext == "jnl") {
            found.push(file);
        }
    }
    Ok(found)
}

/// Replaces all journals by synced copies; the newest, whose end may be torn, by its whole batches.
fn make_durable(path: &Path) -> io::Result<()> {
    let mut found = journals(path)?;
    found.sort_by_key(|file| number(file));
    if let Some(newest) = found.pop() {
        copy_durably(&newest, tail::sound_len(&newest)?)?;
    }
    found.iter().try_for_each(|file| copy_durably(file, u64::MAX))
}

/// The number in a journal's name.
fn number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

/// Replaces a file by a synced copy of its first `len` bytes, as reading gives them.
fn copy_durably(file: &Path, len: u64) -> io::Result<()> {
    let copy = file.with_extension("new");
    let to = File::create(&copy)?;
    copy_sparse(&mut File::open(file)?.take(len), &to)?;
    to.sync_all()?;
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
        if chunk.iter().any(|&byte| byte != 0) {
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
fn sync_folder(path: &Path) -> io::Result<()> {
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
    in_order: bool,
}

impl Closing {
    /// For the store in `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), in_order: false }
    }

    /// The last sync succeeded and nothing will be written any more.
    pub(super) fn in_order(&mut self) {
        self.in_order = true;
    }

    /// Writes the note; nothing writes the journals any more. Without it the next opening only does more work.
    fn note(&self) -> io::Result<()> {
        let mut file = File::create(self.path.join(CLOSED))?;
        file.write_all(measured(&self.path)?.as_bytes())?;
        file.sync_all()?;
        sync_folder(&self.path)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.in_order {
            let _ = self.note();
        }
    }
}
