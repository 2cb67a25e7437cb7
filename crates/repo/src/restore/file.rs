//! A file of the target: opened or made, written in any order by several threads, given its metadata and closed.
//!
//! New files refuse to replace anything, and nobody may read them before they are whole who may not read them then. Handles of files with many chunks are kept open within a limit;
//! one that was closed is opened again by name, and only if the same inode is still there.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, fchmod, fstat, ftruncate, openat};
use rustix::io::Errno;

use super::dirs::Dirs;
use super::plan::{Batch, File, How};
use super::state::Run;
use crate::local::{EntryName, LocalError, Step};

/// Handles of files with several chunks that stay open.
const OPEN: usize = 256;

/// Where a file stands.
#[derive(Default)]
pub(super) enum Slot {
    /// Not opened yet.
    #[default]
    Closed,
    /// Being written.
    Open(Arc<OwnedFd>),
    /// Closed between two chunks; device and inode.
    Parked(u64, u64),
    /// Finished, or it cannot be written, which was told.
    Done,
}

/// The files of a batch, as they are being written.
pub(super) struct Files<'f> {
    pub run: &'f Run<'f>,
    pub dirs: &'f Dirs,
    pub batch: &'f Batch,
    /// Files with open handles, oldest first; finished ones too.
    open: Mutex<VecDeque<u32>>,
}

impl<'f> Files<'f> {
    pub fn new(run: &'f Run<'f>, dirs: &'f Dirs, batch: &'f Batch) -> Self {
        Self { run, dirs, batch, open: Mutex::default() }
    }

    fn file(&self, number: u32) -> Option<&'f File> {
        self.batch.files.get(number as usize)
    }

    fn failed(&self, file: &File, error: LocalError) {
        self.run.failure(self.dirs.path_of(file.dir, &file.node.name), error);
    }

    /// Writes a chunk at its place. The last one finishes the file.
    pub fn write(&self, number: u32, at: u64, data: &[u8]) {
        let Some(file) = self.file(number) else { return };
        let hole =
            self.run.options.sparse && file.how == How::New && data.iter().all(|byte| *byte == 0);
        if hole {
            file.resize.store(true, Ordering::Relaxed);
        }
        if let Some(fd) = self.opened(number, file) {
            let written = if hole { Ok(()) } else { write_all(&fd, at, data) };
            match written {
                Ok(()) => self.run.progress.write(data.len() as u64),
                Err(errno) => {
                    self.failed(file, LocalError::system(Step::Write, &file.node.name, errno));
                }
            }
        }
        self.one_less(number, file);
    }

    /// A chunk cannot be had.
    pub fn skip(&self, number: u32) {
        let Some(file) = self.file(number) else { return };
        file.resize.store(true, Ordering::Relaxed);
        self.one_less(number, file);
    }

    fn one_less(&self, number: u32, file: &File) {
        if file.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish(number);
        }
    }

    /// Gives a file its length and metadata and closes it.
    pub fn finish(&self, number: u32) {
        let Some(file) = self.file(number) else { return };
        let Some(fd) = self.opened(number, file) else { return };
        *file.slot.lock() = Slot::Done;
        if file.resize.load(Ordering::Relaxed)
            && let Err(errno) = set_length(&fd, file.size)
        {
            self.failed(file, LocalError::system(Step::Write, &file.node.name, errno));
        }
        let applied = self.run.writer.apply_open(fd.as_fd(), &file.node);
        self.run.applied(applied, || self.dirs.path_of(file.dir, &file.node.name));
        self.run.progress.file();
    }

    /// The handle; `None` when the file cannot be written.
    fn opened(&self, number: u32, file: &File) -> Option<Arc<OwnedFd>> {
        let fd = {
            let mut slot = file.slot.lock();
            let known = match *slot {
                Slot::Done => return None,
                Slot::Open(ref fd) => return Some(Arc::clone(fd)),
                Slot::Closed => None,
                Slot::Parked(device, inode) => Some((device, inode)),
            };
            match self.open(file, known) {
                Ok(fd) => {
                    let fd = Arc::new(fd);
                    *slot = Slot::Open(Arc::clone(&fd));
                    fd
                }
                Err(error) => {
                    *slot = Slot::Done;
                    drop(slot);
                    self.failed(file, error);
                    return None;
                }
            }
        };
        // The last chunk is followed by the end, so that nothing is gained by a place among the open ones.
        if file.left.load(Ordering::Relaxed) > 1 {
            self.park_another(number);
        }
        Some(fd)
    }

    fn park_another(&self, number: u32) {
        let oldest = {
            let mut open = self.open.lock();
            open.push_back(number);
            if open.len() > OPEN { open.pop_front() } else { None }
        };
        let Some(file) = oldest.and_then(|number| self.file(number)) else { return };
        let mut slot = file.slot.lock();
        if let Slot::Open(fd) = &*slot
            && let Ok(stat) = fstat(fd)
        {
            *slot = Slot::Parked(stat.st_dev, stat.st_ino);
        }
    }

    fn open(&self, file: &File, parked: Option<(u64, u64)>) -> Result<OwnedFd, LocalError> {
        let dir = self.dirs.handle(file.dir)?;
        let name = EntryName::new(&file.node.name)?;
        let failed = |errno| LocalError::system(Step::Open, name.as_bytes(), errno);
        let expected = match (file.how, parked) {
            (_, Some(parked)) => parked,
            (How::InPlace { device, inode, .. }, None) => (device, inode),
            (How::New, None) => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let mode = self.run.writer.mode_at_birth(&file.node);
                let made = openat(&*dir, name.as_c_str(), flags, mode);
                return made.map_err(|e| LocalError::system(Step::Create, name.as_bytes(), e));
            }
        };
        let fd = open_again(&*dir, &name).map_err(failed)?;
        let stat = fstat(&fd).map_err(failed)?;
        if (stat.st_dev, stat.st_ino) != expected {
            let expected = file.node.kind.as_str().to_owned();
            return Err(LocalError::Replaced { name: file.node.name.clone(), expected });
        }
        Ok(fd)
    }
}

/// Opens an existing file, also one that its owner may only read. Nobody else may look while new content comes.
fn open_again(dir: impl AsFd, name: &EntryName) -> rustix::io::Result<OwnedFd> {
    let common = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = |access| openat(&dir, name.as_c_str(), access | common, Mode::empty());
    match open(OFlags::WRONLY) {
        Err(Errno::ACCESS) => {
            fchmod(open(OFlags::RDONLY)?, Mode::RUSR | Mode::WUSR)?;
            open(OFlags::WRONLY)
        }
        other => other,
    }
}

fn write_all(fd: &OwnedFd, mut at: u64, mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match rustix::io::pwrite(fd, data, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                data = data.get(count..).unwrap_or_default();
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn set_length(fd: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    if fstat(fd)?.st_size as u64 == size {
        return Ok(());
    }
    ftruncate(fd, size)
}
