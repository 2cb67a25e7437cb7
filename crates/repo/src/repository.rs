//! An open repository: its place, its key, its config; reading and writing of its files and blobs.
//!
//! Everything that is read is checked: files against the hash that is their name, blobs against their id after opening and unpacking. It
//! takes no locks by itself (see `lock`); callers read snapshots before the index, so that the index knows all that these need.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::backend::{Backend, BackendError, FileKind};
use crate::chunker::Polynomial;
use crate::compress::{pack_file, pack_written, unpack_file, unpack_into_max};
use crate::config::{Config, ConfigError, Version};
use crate::crypto::{BEFORE, MasterKey};
use crate::error::{RepoError, Result};
use crate::id::{BlobId, Id, IndexId, KeyId, PackId, SnapshotId};
use crate::index::{Found, Index, IndexBuilder, IndexFile};
use crate::keyfile::{KeyFile, KeyFileError};
use crate::pack::{BlobKind, PackedBlob, TAIL, header_length, read_header};
use crate::snapshot::SnapshotFile;
use crate::threads::threads;

/// Who acts, for key files, locks and snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The user's name.
    pub username: String,
    /// The machine's name.
    pub hostname: String,
}

/// An open repository. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    key: Arc<MasterKey>,
    key_id: KeyId,
    config: Arc<Config>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.backend.location())
    }
}

impl Repository {
    /// Makes a repository with one key.
    ///
    /// # Errors
    /// [`RepoError::Exists`] when there is one; failures of the place.
    pub fn init(
        backend: Arc<dyn Backend>,
        password: &[u8],
        version: Version,
        polynomial: Option<Polynomial>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Self> {
        let location = backend.location();
        if !backend.list(FileKind::Config)?.is_empty() || !backend.list(FileKind::Key)?.is_empty() {
            return Err(RepoError::Exists { location });
        }
        let polynomial = match polynomial {
            Some(given) => given,
            None => Polynomial::random()?,
        };
        let config = Config::new(version, Id::random()?, polynomial);
        let key = MasterKey::random()?;
        backend.create()?;
        let sealed = key.seal(&config.to_json())?;
        let key_id = write_key(backend.as_ref(), &key, password, actor, now)?;
        backend.write(FileKind::Config, Id::default(), &sealed)?;
        Ok(Self { backend, key: Arc::new(key), key_id, config: Arc::new(config) })
    }

    /// Opens a repository with any key that the password fits.
    ///
    /// # Errors
    /// [`RepoError::NoRepository`], [`RepoError::WrongPassword`], [`RepoError::Version`], [`RepoError::Damaged`], failures of the place.
    pub fn open(backend: Arc<dyn Backend>, password: &[u8]) -> Result<Self> {
        Self::open_hinted(backend, password, "")
    }

    /// As [`Repository::open`]; keys whose ids begin with `hint` are tried first. Every try takes a fifth of a second, as it should for who
    /// guesses passwords.
    ///
    /// # Errors
    /// As [`Repository::open`]. A hint that fits no key is none.
    pub fn open_hinted(backend: Arc<dyn Backend>, password: &[u8], hint: &str) -> Result<Self> {
        let location = backend.location();
        if backend.list(FileKind::Config)?.is_empty() {
            return Err(RepoError::NoRepository { location });
        }
        let (key_id, key) = find_key(backend.as_ref(), password, hint)?
            .ok_or(RepoError::WrongPassword { location })?;
        let config = read_config(backend.as_ref(), &key)?;
        Ok(Self { backend, key: Arc::new(key), key_id, config: Arc::new(config) })
    }

    /// Where it lies.
    pub fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// The same repository, with something around its place.
    #[must_use]
    pub fn around(self, wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Self {
        Self { backend: wrap(self.backend), ..self }
    }

    /// Its config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The key that opened it.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What seals its files.
    pub(crate) fn key(&self) -> &MasterKey {
        &self.key
    }

    /// The master key as JSON: whoever has it can read everything.
    pub fn master_key_json(&self) -> String {
        self.key.to_json()
    }

    /// Adds a key for another password.
    pub fn add_key(&self, password: &[u8], actor: &Actor, now: Timestamp) -> Result<KeyId> {
        write_key(self.backend(), &self.key, password, actor, now)
    }

    /// All keys.
    pub fn keys(&self) -> Result<Vec<(KeyId, KeyFile)>> {
        let mut keys = Vec::new();
        for (id, _) in self.backend.list(FileKind::Key)? {
            let json = self.backend.read(FileKind::Key, id)?;
            let file = KeyFile::parse(&json)
                .map_err(|e| RepoError::damaged(FileKind::Key, id, e.to_string()))?;
            keys.push((KeyId(id), file));
        }
        Ok(keys)
    }

    /// Removes a key that is not the one in use.
    pub fn remove_key(&self, id: KeyId) -> Result<()> {
        if id == self.key_id {
            let detail = format!("key {id} opened this repository: use another key to remove it");
            return Err(RepoError::Refused { detail });
        }
        Ok(self.backend.remove(FileKind::Key, id.0)?)
    }

    /// Writes the config anew.
    pub fn set_config(&mut self, config: Config) -> Result<()> {
        let sealed = self.key.seal(&config.to_json())?;
        self.backend.write(FileKind::Config, Id::default(), &sealed)?;
        self.config = Arc::new(config);
        Ok(())
    }

    /// The plain form of a file that is sealed as a whole.
    pub fn load(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        let mut bytes = self.backend.read(kind, id)?;
        if kind != FileKind::Config && Id::of(&bytes) != id {
            return Err(RepoError::damaged(kind, id, "its content does not fit its name"));
        }
        self.key.open(&mut bytes).map_err(|e| RepoError::damaged(kind, id, e.to_string()))?;
        unpack_file(bytes).map_err(|e| RepoError::damaged(kind, id, e.to_string()))
    }

    /// Seals and writes a file; returns its name.
    pub fn save(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        let sealed = match self.config.version {
            Version::V1 => self.key.seal(plain)?,
            Version::V2 => {
                let packed = pack_file(plain).map_err(|source| RepoError::Local {
                    doing: "compress",
                    path: kind.to_string(),
                    source,
                })?;
                self.key.seal(&packed)?
            }
        };
        let id = Id::of(&sealed);
        self.backend.write(kind, id, &sealed)?;
        Ok(id)
    }

    /// Seals and writes an index file; its text, which is long, is never there as a whole.
    pub fn save_index(&self, file: &IndexFile) -> Result<IndexId> {
        let mut bytes = vec![0; BEFORE];
        let written = match self.config.version {
            Version::V1 => file.write_json(&mut bytes),
            Version::V2 => pack_written(&mut bytes, |to| file.write_json(to)),
        };
        written.map_err(|source| RepoError::Local {
            doing: "compress",
            path: FileKind::Index.to_string(),
            source,
        })?;
        self.key.seal_in_place(&mut bytes)?;
        let id = Id::of(&bytes);
        self.backend.write(FileKind::Index, id, &bytes)?;
        Ok(IndexId(id))
    }

    /// One snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Result<SnapshotFile> {
        let json = self.load(FileKind::Snapshot, id.0)?;
        SnapshotFile::parse(id, &json)
            .map_err(|e| RepoError::damaged(FileKind::Snapshot, id.0, e.to_string()))
    }

    /// All snapshots, oldest first. One that vanishes meanwhile is left out; one that cannot be read is an error.
    pub fn snapshots(&self) -> Result<Vec<SnapshotFile>> {
        let mut found = Vec::new();
        for (id, _) in self.backend.list(FileKind::Snapshot)? {
            match self.snapshot(SnapshotId(id)) {
                Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
                other => found.push(other?),
            }
        }
        found.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
        Ok(found)
    }

    /// Writes a snapshot and gives it its id.
    pub fn save_snapshot(&self, snapshot: &mut SnapshotFile) -> Result<SnapshotId> {
        snapshot.id = SnapshotId(self.save(FileKind::Snapshot, &snapshot.to_json())?);
        Ok(snapshot.id)
    }

    /// One index file.
    pub fn index_file(&self, id: IndexId) -> Result<IndexFile> {
        let json = self.load(FileKind::Index, id.0)?;
        IndexFile::parse(&json)
            .map_err(|e| RepoError::damaged(FileKind::Index, id.0, e.to_string()))
    }

    /// Where all blobs lie, for reading. Blobs in packs that wait for deletion count: they are there.
    pub fn index(&self) -> Result<Index> {
        self.read_index(true)
    }

    /// Where blobs lie that a new snapshot may rely on: those in packs that wait for deletion do not count, as these may be gone before the
    /// snapshot is written.
    pub fn index_in_use(&self) -> Result<Index> {
        self.read_index(false)
    }

    /// Several files at a time: opening and understanding them takes longer than reading them, and a far place answers slowly.
    fn read_index(&self, marked: bool) -> Result<Index> {
        let files = self.backend.list(FileKind::Index)?;
        let (next, builder) = (AtomicUsize::new(0), Mutex::new(IndexBuilder::default()));
        let work = || {
            while let Some((id, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.index_file(IndexId(*id)) {
                    Err(RepoError::Backend(BackendError::NotFound { .. })) => {}
                    other => {
                        let file = other?;
                        builder.lock().add(&file, marked);
                    }
                }
            }
            Ok(())
        };
        let count = threads(0).min(files.len());
        let broken =
            || RepoError::Refused { detail: "a thread that reads the index broke off".to_owned() };
        let read: Result<()> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            let ends = threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(broken())));
            ends.collect::<Vec<_>>().into_iter().collect()
        });
        read?;
        let index = builder.into_inner().build();
        self.drop_copies_of_gone_packs(&index);
        Ok(index)
    }

    /// Packs that others removed are in no index any more, and nobody asks for them again.
    fn drop_copies_of_gone_packs(&self, index: &Index) {
        let copies = self.backend.copies(FileKind::Pack);
        if copies.is_empty() {
            return;
        }
        let there: HashSet<PackId> = index.packs().iter().copied().collect();
        for pack in copies.into_iter().filter(|pack| !there.contains(&PackId(*pack))) {
            self.backend.drop_copy(FileKind::Pack, pack);
        }
    }

    /// What a pack of `size` bytes says about itself.
    pub fn pack_header(&self, pack: PackId, size: u64) -> Result<Vec<PackedBlob>> {
        let damaged = |detail: String| RepoError::damaged(FileKind::Pack, pack.0, detail);
        let tail_at =
            size.checked_sub(TAIL as u64).ok_or_else(|| damaged("it is too short".to_owned()))?;
        let tail = self.backend.read_part(FileKind::Pack, pack.0, tail_at, TAIL)?;
        let tail = tail.first_chunk::<TAIL>().copied().unwrap_or_default();
        let length = header_length(tail, size).map_err(|e| damaged(e.to_string()))?;
        let header =
            self.backend.read_part(FileKind::Pack, pack.0, tail_at - length as u64, length)?;
        read_header(&self.key, header, size).map_err(|e| damaged(e.to_string()))
    }

    /// A blob's plain bytes, from any pack that has it whole.
    ///
    /// # Errors
    /// [`RepoError::MissingBlob`] when no index knows it; the failure of the last place that was tried.
    pub fn blob(&self, index: &Index, kind: BlobKind, id: BlobId) -> Result<Vec<u8>> {
        let mut failure = RepoError::MissingBlob { id };
        for found in index.find_all(kind, id) {
            match self.blob_at(&found) {
                Ok(plain) => return Ok(plain),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A blob's plain bytes from one pack. Damage that may be that of a copy is looked at in the place itself.
    pub(crate) fn blob_at(&self, found: &Found) -> Result<Vec<u8>> {
        let PackedBlob { offset, length, kind, .. } = found.blob;
        let (pack, offset, length) = (found.pack.0, u64::from(offset), length as usize);
        let read = || {
            let mut sealed = match kind {
                BlobKind::Data => self.backend.read_part(FileKind::Pack, pack, offset, length)?,
                BlobKind::Tree => self.backend.read_trees(pack, offset, length)?,
            };
            self.open_blob(found, &mut sealed)
        };
        match read() {
            Err(RepoError::DamagedBlob { .. })
                if kind == BlobKind::Tree && self.backend.drop_copy(FileKind::Pack, pack) =>
            {
                read()
            }
            other => other,
        }
    }

    /// Opens, unpacks and checks a blob's sealed bytes; `sealed` is scratch afterwards.
    pub fn open_blob(&self, found: &Found, sealed: &mut [u8]) -> Result<Vec<u8>> {
        let blob = &found.blob;
        let damaged =
            |detail: String| RepoError::DamagedBlob { id: blob.id, pack: found.pack.0, detail };
        let open = self.key.open_slice(sealed).map_err(|e| damaged(e.to_string()))?;
        let plain = match blob.plain {
            None => open.to_vec(),
            Some(len) => unpack_blob(open, len).map_err(|e| damaged(e.to_string()))?,
        };
        if BlobId::of(&plain) != blob.id {
            return Err(damaged("its content does not fit its id".to_owned()));
        }
        Ok(plain)
    }
}

/// Unpacks a blob whose plain length is known. Grows with what really comes, so a wrong length costs no memory.
pub(crate) fn unpack_blob(frame: &[u8], len: u32) -> std::io::Result<Vec<u8>> {
    use std::io::{Error, ErrorKind, Read};
    // Few frames shrink to less than this; a length beyond it is not believed before the bytes are there.
    let believed = (len as usize).min(frame.len().saturating_mul(256).max(1 << 16));
    let plain = if believed == len as usize {
        unpack_into_max(frame, len as usize)?
    } else {
        let mut plain = Vec::with_capacity(believed);
        zstd::stream::read::Decoder::new(frame)?
            .take(u64::from(len) + 1)
            .read_to_end(&mut plain)?;
        plain
    };
    if plain.len() != len as usize {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("{} bytes instead of {len}", plain.len()),
        ));
    }
    Ok(plain)
}

fn write_key(
    backend: &dyn Backend,
    key: &MasterKey,
    password: &[u8],
    actor: &Actor,
    now: Timestamp,
) -> Result<KeyId> {
    let json = KeyFile::seal(key, password, (&actor.username, &actor.hostname), now)?.to_json();
    let id = Id::of(&json);
    backend.write(FileKind::Key, id, &json)?;
    Ok(KeyId(id))
}

/// The first key that the password opens. A damaged key file does not keep the others from being tried.
fn find_key(
    backend: &dyn Backend,
    password: &[u8],
    hint: &str,
) -> Result<Option<(KeyId, MasterKey)>> {
    let mut failure = None;
    let mut keys = backend.list(FileKind::Key)?;
    keys.sort_by_key(|(id, _)| !id.to_string().starts_with(hint));
    for (id, _) in keys {
        let json = backend.read(FileKind::Key, id)?;
        match KeyFile::parse(&json).and_then(|file| file.open(password)) {
            Ok(key) => return Ok(Some((KeyId(id), key))),
            Err(KeyFileError::Password) => {}
            Err(KeyFileError::Form(detail)) => {
                failure = Some(RepoError::damaged(FileKind::Key, id, detail))
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

fn read_config(backend: &dyn Backend, key: &MasterKey) -> Result<Config> {
    let id = Id::default();
    let damaged = |detail: String| RepoError::damaged(FileKind::Config, id, detail);
    let mut bytes = backend.read(FileKind::Config, id)?;
    key.open(&mut bytes).map_err(|e| damaged(e.to_string()))?;
    Config::parse(&bytes).map_err(|e| match e {
        ConfigError::Version(version) => RepoError::Version { version },
        ConfigError::Form(detail) => damaged(detail),
    })
}
