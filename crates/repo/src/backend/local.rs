//! A repository in a local folder.
//!
//! A file is written under a temporary name, synced, renamed and its folder synced: a crash leaves the file whole or not at
//! all, and temporary names are no ids, so nobody reads them. Packs lie in 256 folders by the first two digits.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Backend, BackendError, FileKind, Result};
use crate::id::Id;

/// A folder that holds a repository.
#[derive(Debug)]
pub struct LocalFolder {
    root: PathBuf,
    /// Makes temporary names unique within this process.
    serial: AtomicU64,
}

impl LocalFolder {
    /// The folder need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), serial: AtomicU64::new(0) }
    }

    fn folder(&self, kind: FileKind, id: Id) -> PathBuf {
        match kind {
            FileKind::Config => self.root.clone(),
            FileKind::Pack => {
                let name = id.to_string();
                self.root.join("data").join(name.get(..2).unwrap_or_default())
            }
            _ => self.root.join(kind.folder()),
        }
    }

    fn path(&self, kind: FileKind, id: Id) -> PathBuf {
        match kind {
            FileKind::Config => self.root.join("config"),
            _ => self.folder(kind, id).join(id.to_string()),
        }
    }

    fn error(
        &self,
        doing: &'static str,
        kind: FileKind,
        id: Id,
        source: io::Error,
    ) -> BackendError {
        let location = self.location();
        match source.kind() {
            io::ErrorKind::NotFound => BackendError::NotFound { kind, id, location },
            io::ErrorKind::UnexpectedEof => BackendError::Short { kind, id, location },
            _ => BackendError::Io { doing, object: format!("{kind} {id}"), location, source },
        }
    }

    fn folder_error(&self, doing: &'static str, object: &Path, source: io::Error) -> BackendError {
        let object = object.display().to_string();
        BackendError::Io { doing, object, location: self.location(), source }
    }

    /// Writes, syncs and names one file.
    fn put(&self, kind: FileKind, id: Id, data: &[u8]) -> io::Result<()> {
        let folder = self.folder(kind, id);
        let path = self.path(kind, id);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{id}-tmp-{}-{serial}", std::process::id()));
        let written = self.write_new(&temporary, data).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                private_folders(&folder)?;
                // A durable file in a folder that a crash forgets is lost all the same.
                folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())?;
                self.write_new(&temporary, data)
            }
            _ => Err(e),
        });
        let named = written.and_then(|()| fs::rename(&temporary, &path));
        if let Err(e) = named {
            let _ = fs::remove_file(&temporary);
            return Err(e);
        }
        File::open(&folder)?.sync_all()
    }

    fn write_new(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(data)?;
        file.set_permissions(Permissions::from_mode(0o400))?;
        file.sync_all()
    }

    /// Adds the files of one folder to a list.
    fn list_folder(
        &self,
        folder: &Path,
        found: &mut Vec<(Id, u64)>,
        belongs: impl Fn(&Id) -> bool,
    ) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.folder_error("list", folder, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| self.folder_error("list", folder, e))?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(id) = id.filter(&belongs) else { continue };
            match entry.metadata() {
                Ok(meta) if meta.is_file() => found.push((id, meta.len())),
                Ok(_) => {}
                // Removed since the folder was read.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.folder_error("look at", &entry.path(), e)),
            }
        }
        Ok(())
    }
}

/// Gives a buffer this length; only what it did not have before is filled.
fn make_long(buffer: &mut Vec<u8>, length: usize) -> io::Result<()> {
    buffer.try_reserve_exact(length.saturating_sub(buffer.len()))?;
    buffer.resize(length, 0);
    Ok(())
}

/// Makes a folder and those above it, for the owner only.
fn private_folders(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Backend for LocalFolder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self) -> Result<()> {
        for kind in FileKind::MANY {
            let folder = self.root.join(kind.folder());
            private_folders(&folder).map_err(|e| self.folder_error("make", &folder, e))?;
        }
        for first in 0..=255u8 {
            let folder = self.root.join("data").join(format!("{first:02x}"));
            private_folders(&folder).map_err(|e| self.folder_error("make", &folder, e))?;
        }
        let sync = || {
            File::open(self.root.join("data"))?.sync_all()?;
            File::open(&self.root)?.sync_all()
        };
        sync().map_err(|e| self.folder_error("sync", &self.root, e))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        let mut found = Vec::new();
        match kind {
            FileKind::Config => match fs::metadata(self.root.join("config")) {
                Ok(meta) => found.push((Id::default(), meta.len())),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(e) => return Err(self.error("look at", kind, Id::default(), e)),
            },
            FileKind::Pack => {
                for first in 0..=255u8 {
                    let folder = self.root.join("data").join(format!("{first:02x}"));
                    // A pack in the folder of others is one that nobody would find.
                    self.list_folder(&folder, &mut found, |id| id.0.first() == Some(&first))?;
                }
            }
            _ => self.list_folder(&self.root.join(kind.folder()), &mut found, |_| true)?,
        }
        Ok(found)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        fs::read(self.path(kind, id)).map_err(|e| self.error("read", kind, id, e))
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.read_part_into(kind, id, offset, len, &mut data)?;
        Ok(data)
    }

    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<()> {
        let mut read = || {
            let mut file = File::open(self.path(kind, id))?;
            let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            make_long(into, length)?;
            file.read_exact(into)?;
            // It should not have grown, and if it has, it is not what its name says.
            file.read_to_end(into).map(drop)
        };
        read().map_err(|e| self.error("read", kind, id, e))
    }

    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        let mut read = || {
            let file = File::open(self.path(kind, id))?;
            // A hostile index must not make us reserve what the file cannot hold.
            if offset.saturating_add(len as u64) > file.metadata()?.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            make_long(into, len)?;
            file.read_exact_at(into, offset)
        };
        read().map_err(|e| self.error("read", kind, id, e))
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.put(kind, id, data).map_err(|e| self.error("write", kind, id, e))
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        // What relies on others goes for good before they go: snapshots before packs, index files before packs. Nothing relies on packs that go.
        let durable = !matches!(kind, FileKind::Lock | FileKind::Pack);
        let removed = match fs::remove_file(self.path(kind, id)) {
            Ok(()) if durable => File::open(self.folder(kind, id)).and_then(|dir| dir.sync_all()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        removed.map_err(|e| self.error("remove", kind, id, e))
    }
}
