//! The folder of copies, in restic's layout: `BASE/REPOSITORY/{snapshots,index,data/XX}/ID`, with a file `version`.
//!
//! Copies are written under a temporary name and renamed, so that several processes can share the folder. Nothing is synced: what a crash leaves
//! is noticed by those who read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::backend::FileKind;
use crate::id::Id;

/// Of the layout. restic refuses folders of a later one.
const VERSION: &str = "1";
/// Tells programs that save files that nothing in here is worth it: <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# The copies that backup programs keep of repositories far away.\n";
/// A temporary file of this age was left behind.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// The copies of one repository.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Makes temporary names unique within this process.
    serial: AtomicU64,
}

impl Folder {
    /// Makes what is missing. Its time of change says to both programs when it was last used.
    pub fn open(base: &Path, repository: Id) -> io::Result<Self> {
        let root = base.join(repository.to_string());
        private(&root)?;
        let tag = base.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(tag, TAG)?;
        }
        let folder = Self { root, serial: AtomicU64::new(0) };
        folder.agree_on_version()?;
        let now = SystemTime::now();
        File::open(&folder.root)?.set_times(fs::FileTimes::new().set_modified(now))?;
        Ok(folder)
    }

    fn agree_on_version(&self) -> io::Result<()> {
        let path = self.root.join("version");
        match fs::read_to_string(&path) {
            Ok(text) if text.trim() == VERSION => Ok(()),
            // A crash can leave it empty.
            Ok(text) if text.trim().is_empty() => self.write(&path, VERSION.as_bytes()),
            Ok(text) => {
                let why = format!("{} has the layout {}", self.root.display(), text.trim());
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.write(&path, VERSION.as_bytes()),
            Err(e) => Err(e),
        }
    }

    fn path(&self, kind: FileKind, id: Id) -> PathBuf {
        let (name, folder) = (id.to_string(), self.root.join(kind.folder()));
        match kind {
            FileKind::Pack => folder.join(name.get(..2).unwrap_or_default()).join(name),
            _ => folder.join(name),
        }
    }

    /// A copy, as it is.
    pub fn whole(&self, kind: FileKind, id: Id) -> Option<Vec<u8>> {
        fs::read(self.path(kind, id)).ok()
    }

    /// A part of a copy that is long enough.
    pub fn part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Option<Vec<u8>> {
        let file = File::open(self.path(kind, id)).ok()?;
        let end = offset.checked_add(len as u64)?;
        if end > file.metadata().ok()?.len() {
            return None;
        }
        let mut data = vec![0; len];
        file.read_exact_at(&mut data, offset).ok()?;
        Some(data)
    }

    /// Is there a copy, sound or not?
    pub fn has(&self, kind: FileKind, id: Id) -> bool {
        self.path(kind, id).exists()
    }

    /// Leaves a copy.
    pub fn put(&self, kind: FileKind, id: Id, data: &[u8]) -> io::Result<()> {
        self.write(&self.path(kind, id), data)
    }

    fn write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("tmp-{}-{serial}", std::process::id()));
        let written = write_new(&temporary, data).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                private(folder)?;
                write_new(&temporary, data)
            }
            _ => Err(e),
        });
        written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Removes a copy. One that cannot be removed is checked by those who read, like any other.
    pub fn remove(&self, kind: FileKind, id: Id) {
        let _ = fs::remove_file(self.path(kind, id));
    }

    /// All copies of a kind. Temporary files that were left behind go.
    pub fn ids(&self, kind: FileKind) -> Vec<Id> {
        let folder = self.root.join(kind.folder());
        let folders = match kind {
            FileKind::Pack => entries(&folder),
            _ => vec![folder],
        };
        let mut found = Vec::new();
        for path in folders.iter().flat_map(|folder| entries(folder)) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.parse() {
                Ok(id) => found.push(id),
                Err(_) if name.starts_with("tmp-") && is_left_behind(&path) => {
                    let _ = fs::remove_file(&path);
                }
                Err(_) => {}
            }
        }
        found
    }
}

/// Removes folders of repositories that were last used before a time, and says which. Nothing else: only a folder that is named as such, and has what
/// says which layout it has.
pub fn remove_unused(base: &Path, keep: Id, before: SystemTime) -> io::Result<Vec<Id>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| name.parse::<Id>().ok());
        let Some(id) = name.filter(|id| *id != keep) else { continue };
        let of_copies = entry.file_type()?.is_dir() && entry.path().join("version").is_file();
        if of_copies && entry.metadata()?.modified()? < before {
            fs::remove_dir_all(entry.path())?;
            removed.push(id);
        }
    }
    Ok(removed)
}

fn write_new(path: &Path, data: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(data)
}

fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect()
}

fn is_left_behind(path: &Path) -> bool {
    let age = || fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    age().is_some_and(|age| age > LEFT_BEHIND)
}
