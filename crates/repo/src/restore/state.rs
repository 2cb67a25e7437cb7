//! What all threads of a restore share: the options, the counters, the report that grows, the wish to stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;

use super::{RestoreOptions, local};
use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::local::{LocalError, LocalWarning, LocalWriter};
use crate::repository::Repository;
use crate::watch::{EntryFailure, Failures, Stop};

/// Counters of a running restore: read at any time, by any thread.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    files_planned: AtomicU64,
    bytes_planned: AtomicU64,
    files: AtomicU64,
    written: AtomicU64,
    reused: AtomicU64,
    failures: Failures,
    stop: Stop,
}

impl RestoreProgress {
    /// None yet; the restore ends soon when `stop` is asked for. A second restore goes on with what is there.
    pub fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Files found so far. Grows while trees are read.
    pub fn files_planned(&self) -> u64 {
        self.files_planned.load(Ordering::Relaxed)
    }

    /// Bytes of these files.
    pub fn bytes_planned(&self) -> u64 {
        self.bytes_planned.load(Ordering::Relaxed)
    }

    /// Files done.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes written, holes included.
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes that were there already.
    pub fn bytes_reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Number of failures.
    pub fn failed(&self) -> u64 {
        self.failures.count()
    }

    /// The failures since the last call.
    pub fn take_failures(&self) -> Vec<EntryFailure> {
        self.failures.take()
    }

    pub(super) fn planned(&self, bytes: u64) {
        self.files_planned.fetch_add(1, Ordering::Relaxed);
        self.bytes_planned.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn write(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn reuse(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A part of a file that the repository does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingPart {
    /// Where it begins in the file, in bytes; `None` when blobs of unknown length lie on both sides.
    pub offset: Option<u64>,
    /// Its length, in bytes, if that is known.
    pub length: Option<u64>,
    /// The blob.
    pub blob: BlobId,
    /// Why it could not be had.
    pub detail: String,
}

/// A file that was restored with gaps: zeroes, or what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteFile {
    /// Which, relative to the target.
    pub path: PathBuf,
    /// The gaps in the order of their offsets.
    pub missing: Vec<MissingPart>,
}

/// A directory whose tree could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedDir {
    /// Which, relative to the target; empty for the target itself.
    pub path: PathBuf,
    /// What is wrong with its tree.
    pub detail: String,
}

/// What a restore did; what it would have done after a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Files that were written or found right.
    pub files: u64,
    /// Directories made or found.
    pub dirs: u64,
    /// Symlinks, devices, pipes, sockets.
    pub others: u64,
    /// Further names of files.
    pub links: u64,
    /// Entries that stayed as they were because of [`Overwrite`](super::Overwrite).
    pub kept: u64,
    /// Entries removed because the snapshot does not have them; a directory counts with all in it.
    pub deleted: u64,
    /// Bytes written, holes included.
    pub bytes_written: u64,
    /// Bytes that were there already.
    pub bytes_reused: u64,
    /// Files with gaps, by path.
    pub incomplete: Vec<IncompleteFile>,
    /// Directories that lack entries.
    pub damaged_dirs: Vec<DamagedDir>,
    /// Number of failures told to the progress.
    pub failed: u64,
}

impl RestoreReport {
    /// Is everything as in the snapshot?
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.incomplete.is_empty() && self.damaged_dirs.is_empty()
    }
}

/// One running restore.
pub(super) struct Run<'r> {
    pub repo: &'r Repository,
    pub index: &'r Index,
    pub options: &'r RestoreOptions,
    pub progress: &'r RestoreProgress,
    pub writer: LocalWriter,
    pub counts: Counts,
    gaps: Mutex<BTreeMap<PathBuf, Vec<MissingPart>>>,
    damaged: Mutex<Vec<DamagedDir>>,
    /// What ended the restore.
    fatal: Mutex<Option<RepoError>>,
    over: AtomicBool,
}

/// What the walking thread and the end of the restore count.
#[derive(Default)]
pub(super) struct Counts {
    pub dirs: AtomicU64,
    pub others: AtomicU64,
    pub links: AtomicU64,
    pub kept: AtomicU64,
    pub deleted: AtomicU64,
}

impl<'r> Run<'r> {
    pub fn new(
        repo: &'r Repository,
        index: &'r Index,
        options: &'r RestoreOptions,
        progress: &'r RestoreProgress,
        writer: LocalWriter,
    ) -> Self {
        Self {
            repo,
            index,
            options,
            progress,
            writer,
            counts: Counts::default(),
            gaps: Mutex::default(),
            damaged: Mutex::default(),
            fatal: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Is the restore to go on?
    pub fn check(&self) -> Result<()> {
        if let Some(fatal) = self.over.load(Ordering::Relaxed).then(|| self.fatal.lock().take()) {
            return Err(fatal.unwrap_or(RepoError::Stopped));
        }
        self.progress.stop.check()
    }

    /// As [`Run::check`], for threads that only need to know.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.progress.stop.is_asked()
    }

    /// An entry could not be restored. A full disk ends everything: the next thousand files would fail in the same way.
    pub fn failure(&self, path: PathBuf, error: LocalError) {
        let code = error.io().and_then(std::io::Error::raw_os_error);
        let full = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS].map(Errno::raw_os_error);
        match (code.filter(|code| full.contains(code)), error) {
            (Some(_), LocalError::System { source, .. }) => self.end(local("write", &path, source)),
            (_, error) => self.progress.failures.add(&path, error),
        }
    }

    /// As [`Run::failure`], in words.
    pub fn refused(&self, path: PathBuf, detail: impl ToString) {
        self.progress.failures.add(&path, detail);
    }

    fn end(&self, error: RepoError) {
        self.fatal.lock().get_or_insert(error);
        self.over.store(true, Ordering::SeqCst);
    }

    /// Tells what metadata could not be set.
    pub fn applied(
        &self,
        applied: Result<Vec<LocalWarning>, LocalError>,
        path: impl Fn() -> PathBuf,
    ) {
        match applied {
            Ok(warnings) => {
                warnings.into_iter().for_each(|warning| self.refused(path(), warning));
            }
            Err(error) => self.failure(path(), error),
        }
    }

    pub fn gap(&self, path: PathBuf, part: MissingPart) {
        self.gaps.lock().entry(path).or_default().push(part);
    }

    pub fn damaged_dir(&self, path: &Path, detail: impl ToString) {
        let (path, detail) = (path.to_owned(), detail.to_string());
        self.damaged.lock().push(DamagedDir { path, detail });
    }

    pub fn into_report(self) -> RestoreReport {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let incomplete = self.gaps.into_inner().into_iter().map(|(path, mut missing)| {
            missing.sort();
            IncompleteFile { path, missing }
        });
        RestoreReport {
            files: self.progress.files(),
            dirs: read(&self.counts.dirs),
            others: read(&self.counts.others),
            links: read(&self.counts.links),
            kept: read(&self.counts.kept),
            deleted: read(&self.counts.deleted),
            bytes_written: self.progress.bytes_written(),
            bytes_reused: self.progress.bytes_reused(),
            incomplete: incomplete.collect(),
            damaged_dirs: self.damaged.into_inner(),
            failed: self.progress.failed(),
        }
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
