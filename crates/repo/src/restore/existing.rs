//! What stands in the target already: whether it stays, gives way, or is right in part.
//!
//! Existing files are compared chunk by chunk, by hashes, in several threads; only what differs is fetched.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::dirs::Dirs;
use super::fetch::each;
use super::plan::{Batch, Compare, File, How, Placed, place};
use super::remove::remove;
use super::state::{MissingPart, Run};
use super::{Overwrite, RestoreOptions};
use crate::id::BlobId;
use crate::index::Found;
use crate::local::{EntryName, LocalError, Step};
use crate::tree::{Node, NodeKind};

/// The metadata of an entry; `None` when there is none.
pub(super) fn look(dir: BorrowedFd<'_>, name: &EntryName) -> Result<Option<Stat>, LocalError> {
    match statat(dir, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(LocalError::system(Step::Stat, name.as_bytes(), errno)),
    }
}

/// May the node replace what is there?
pub(super) fn may_replace(options: &RestoreOptions, node: &Node, stat: &Stat) -> bool {
    match options.overwrite {
        Overwrite::Always | Overwrite::IfChanged => true,
        Overwrite::IfNewer => {
            let there = (stat.st_mtime, i64::from(stat.st_mtime_nsec as u32));
            (node.mtime.seconds, i64::from(node.mtime.nanos)) > there
        }
        Overwrite::Never => false,
    }
}

/// Removes what stands in the way. A directory that is not empty goes only if entries that are not in the snapshot are to go.
pub(super) fn give_way(
    options: &RestoreOptions,
    dir: BorrowedFd<'_>,
    name: &EntryName,
) -> Result<(), LocalError> {
    if options.dry_run {
        return Ok(());
    }
    remove(dir, name.as_c_str(), options.delete)
        .map_err(|errno| LocalError::system(Step::Remove, name.as_bytes(), errno))
}

/// What is done with a file that has this entry in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Keep,
    /// It goes, and the file is made anew.
    Replace,
    /// It is compared and changed.
    Compare(How),
    /// It is written over.
    Rewrite(How),
    /// It has the right content; only the metadata are set.
    Trust(How),
}

/// Decides about a file.
pub(super) fn judge_file(options: &RestoreOptions, node: &Node, stat: &Stat) -> Verdict {
    if !may_replace(options, node, stat) {
        return Verdict::Keep;
    }
    // Other names of the inode, perhaps outside of the target, keep what they have.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink > 1 {
        return Verdict::Replace;
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let holes = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512) < size;
    let how = How::InPlace { device: stat.st_dev, inode: stat.st_ino, holes };
    let unchanged = size == node.size
        && (stat.st_mtime, stat.st_mtime_nsec as u32) == (node.mtime.seconds, node.mtime.nanos);
    match (options.overwrite, options.verify_existing) {
        (Overwrite::IfChanged, _) if unchanged => Verdict::Trust(how),
        (_, true) => Verdict::Compare(how),
        (_, false) => Verdict::Rewrite(how),
    }
}

/// Compares all existing files of the batch and notes what they lack.
pub(super) fn compare_all(run: &Run, dirs: &Dirs, batch: &mut Batch) {
    if batch.compares.is_empty() {
        return;
    }
    let wanted: Mutex<Vec<(u32, u64, Found)>> = Mutex::default();
    let compares = std::mem::take(&mut batch.compares);
    let files = &batch.files;
    each(run, &compares, || {
        let wanted = &wanted;
        let mut space = Comparer::default();
        move |compare: &Compare| {
            let Some(file) = files.get(compare.file as usize) else { return };
            let lacking = space.compare(run, dirs, file, compare);
            wanted.lock().extend(lacking.into_iter().map(|(at, found)| (compare.file, at, found)));
        }
    });
    for (file, at, found) in wanted.into_inner() {
        batch.want(&found, file, at);
    }
}

/// Space for comparing.
#[derive(Default)]
struct Comparer {
    data: Vec<u8>,
    /// Hashes of zeroes by length.
    zeroes: HashMap<usize, BlobId>,
}

impl Comparer {
    /// The chunks that differ.
    fn compare(
        &mut self,
        run: &Run,
        dirs: &Dirs,
        file: &File,
        compare: &Compare,
    ) -> Vec<(u64, Found)> {
        let content = file.node.content.as_deref().unwrap_or_default();
        // What cannot be opened for reading is written whole.
        let fd = open(dirs, file).ok();
        let mut lacking = Vec::new();
        place(run.index, content, file.node.size, |number, placed| {
            if !compare.chunks.contains(&number) || run.is_over() {
                return;
            }
            let same = fd.as_ref().is_some_and(|fd| self.is_same(fd, file, &placed));
            match (placed.found, placed.at) {
                _ if same => run.progress.reuse(placed.length.unwrap_or_default()),
                (Some(found), Some(at)) => lacking.push((at, found)),
                _ => missing(run, dirs, file, &placed),
            }
        });
        lacking
    }

    fn is_same(&mut self, fd: &OwnedFd, file: &File, placed: &Placed) -> bool {
        let (Some(at), Some(length)) = (placed.at, placed.length) else { return false };
        let Ok(length) = usize::try_from(length) else { return false };
        // A hostile length must not make us reserve what the file does not hold.
        let there = fstat(fd).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or_default());
        if at.saturating_add(length as u64) > there {
            return false;
        }
        if matches!(file.how, How::InPlace { holes: true, .. }) && is_hole(fd, at, length) {
            let zeroes = || BlobId::of(&vec![0; length]);
            return *self.zeroes.entry(length).or_insert_with(zeroes) == placed.id;
        }
        self.data.resize(length, 0);
        read_exact(fd, at, &mut self.data) && BlobId::of(&self.data) == placed.id
    }
}

/// Tells that a chunk is nowhere.
pub(super) fn missing(run: &Run, dirs: &Dirs, file: &File, placed: &Placed) {
    file.resize.store(true, Ordering::Relaxed);
    let detail = match placed.found {
        None => "it is in no index",
        Some(_) => "its place is not known: it lies between blobs that are in no index",
    };
    let part = MissingPart {
        offset: placed.at,
        length: placed.length,
        blob: placed.id,
        detail: detail.to_owned(),
    };
    run.gap(dirs.path_of(file.dir, &file.node.name), part);
}

fn open(dirs: &Dirs, file: &File) -> Result<OwnedFd, LocalError> {
    let dir = dirs.handle(file.dir)?;
    let name = EntryName::new(&file.node.name)?;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let system = |errno| LocalError::system(Step::Open, name.as_bytes(), errno);
    let fd = openat(&*dir, name.as_c_str(), flags, Mode::empty()).map_err(system)?;
    let stat = fstat(&fd).map_err(system)?;
    match file.how {
        How::InPlace { device, inode, .. } if (stat.st_dev, stat.st_ino) == (device, inode) => {
            Ok(fd)
        }
        _ => Err(LocalError::Replaced {
            name: file.node.name.clone(),
            expected: NodeKind::File.as_str().to_owned(),
        }),
    }
}

/// Is there nothing stored in this part?
fn is_hole(fd: &OwnedFd, at: u64, length: usize) -> bool {
    match rustix::fs::seek(fd, SeekFrom::Data(at)) {
        Ok(data) => data >= at.saturating_add(length as u64),
        Err(errno) => errno == Errno::NXIO,
    }
}

fn read_exact(fd: &OwnedFd, mut at: u64, mut space: &mut [u8]) -> bool {
    while !space.is_empty() {
        match rustix::io::pread(fd, &mut *space, at) {
            Ok(0) => return false,
            Ok(count) => {
                space = std::mem::take(&mut space).get_mut(count..).unwrap_or_default();
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
