//! Segment files in a local folder: `0000000000000001.seg` and so on, sixteen hexadecimal digits.
//!
//! Other files in the folder are left alone (half-made copies `*.new` are removed at opening). A few open files
//! are kept; a removed file stays readable to whoever has begun to read it.
//!
//! Safe because names are made durable by syncing the folder before the first sync of a new file returns, and
//! because a failed sync of the folder is repeated by the next one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::SegmentFiles;
use crate::SegmentId;

/// Files kept open at most.
const OPEN_MAX: usize = 64;
/// Parts handed to the kernel at once at most.
const PARTS_MAX: usize = 512;
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Segment files in a local folder.
pub struct FolderFiles {
    dir: PathBuf,
    open: Mutex<OpenFiles>,
    /// Whether names have changed since the folder was synced; locked while it is being synced.
    names_changed: Mutex<bool>,
}

/// Open files with the time of their last use.
#[derive(Default)]
struct OpenFiles {
    files: HashMap<SegmentId, (Arc<File>, u64)>,
    clock: u64,
}

impl OpenFiles {
    fn get(&mut self, id: SegmentId) -> Option<Arc<File>> {
        self.clock += 1;
        let clock = self.clock;
        self.files.get_mut(&id).map(|(file, used)| {
            *used = clock;
            Arc::clone(file)
        })
    }

    fn put(&mut self, id: SegmentId, file: Arc<File>) {
        if self.files.len() >= OPEN_MAX {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            oldest.map(|id| self.files.remove(&id));
        }
        self.clock += 1;
        self.files.insert(id, (file, self.clock));
    }
}

impl FolderFiles {
    /// Uses `dir`, creating it when it is missing.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("new")) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { dir, open: Mutex::default(), names_changed: Mutex::new(true) })
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        self.dir.join(format!("{id}.seg"))
    }

    /// The open file of a segment.
    fn file(&self, id: SegmentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.lock().get(id) {
            return Ok(file);
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.path(id))?);
        self.open.lock().put(id, Arc::clone(&file));
        Ok(file)
    }

    /// Makes names durable.
    fn sync_names(&self) -> io::Result<()> {
        let mut changed = self.names_changed.lock();
        if *changed {
            File::open(&self.dir)?.sync_all()?;
            *changed = false;
        }
        Ok(())
    }
}

impl SegmentFiles for FolderFiles {
    fn create(&self, id: SegmentId) -> io::Result<()> {
        let mut changed = self.names_changed.lock();
        let path = self.path(id);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        *changed = true;
        self.open.lock().put(id, Arc::new(file));
        Ok(())
    }

    fn write_at(&self, id: SegmentId, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let file = self.file(id)?;
        let mut at = offset;
        for parts in parts.chunks(PARTS_MAX) {
            let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            at = write_slices(&file, at, &mut slices)?;
        }
        Ok(())
    }

    fn read_at(&self, id: SegmentId, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file(id)?.read_exact_at(buf, offset)
    }

    fn len(&self, id: SegmentId) -> io::Result<u64> {
        let open = self.open.lock().get(id);
        match open {
            Some(file) => Ok(file.metadata()?.len()),
            None => Ok(fs::metadata(self.path(id))?.len()),
        }
    }

    fn sync(&self, id: SegmentId) -> io::Result<()> {
        self.file(id)?.sync_data()?;
        self.sync_names()
    }

    fn rewrite(&self, id: SegmentId, tail: &[u8]) -> io::Result<()> {
        let path = self.path(id);
        let copy = path.with_extension("new");
        copy_with(&path, &copy, tail).inspect_err(|_| {
            // On a full disk a part of a copy takes the room that others need.
            let _ = fs::remove_file(&copy);
        })?;
        let mut changed = self.names_changed.lock();
        fs::rename(&copy, &path)?;
        *changed = true;
        self.open.lock().files.remove(&id);
        drop(changed);
        self.sync_names()
    }

    fn settle(&self, id: SegmentId) -> io::Result<()> {
        let file = self.file(id)?;
        file.sync_all()?;
        // All pages are clean now, so that the kernel lets go of them; also of those whose writing failed.
        rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed)?;
        self.sync_names()
    }

    fn remove(&self, id: SegmentId) -> io::Result<()> {
        let mut changed = self.names_changed.lock();
        fs::remove_file(self.path(id))?;
        *changed = true;
        self.open.lock().files.remove(&id);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            ids.extend(id_of(&entry?.path()));
        }
        Ok(ids)
    }
}

/// Makes a durable copy of a file with `tail` behind it.
fn copy_with(from: &Path, copy: &Path, tail: &[u8]) -> io::Result<()> {
    let from = File::open(from)?;
    let to = File::create(copy)?;
    let end = copy_bytes(&from, &to)?;
    to.write_all_at(tail, end)?;
    to.sync_all()
}

/// Writes all slices from `at` on; the offset after them.
fn write_slices(file: &File, mut at: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<u64> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match rustix::io::pwritev(file, slices, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(at)
}

/// Copies a file's bytes through memory (never by sharing blocks: they may not be on disk); how many.
fn copy_bytes(from: &File, to: &File) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let got = from.read_at(&mut chunk, at)?;
        let Some(bytes) = chunk.get(..got).filter(|bytes| !bytes.is_empty()) else {
            return Ok(at);
        };
        to.write_all_at(bytes, at)?;
        at += got as u64;
    }
}

/// The segment that a file holds; `None` for other files.
fn id_of(path: &Path) -> Option<SegmentId> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    let plain = name.len() == 16 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(name, 16).ok().map(SegmentId)).flatten()
}
