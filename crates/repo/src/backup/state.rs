//! What all threads of a backup share: the writer, the counters, the wish to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::id::BlobId;
use crate::snapshot::SnapshotSummary;
use crate::watch::{EntryFailure, Failures, Stop};
use crate::writer::{BlobWriter, Written};

/// How an entry compares with the parent snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    New,
    Changed,
    Unmodified,
}

impl Change {
    /// `known`: some parent has an entry there; `same`: one has the same.
    pub(super) fn of(known: bool, same: bool) -> Self {
        match (known, same) {
            (_, true) => Self::Unmodified,
            (true, false) => Self::Changed,
            (false, false) => Self::New,
        }
    }
}

/// Counters of a running backup: read at any time, by any thread.
#[derive(Debug, Default)]
pub struct BackupProgress {
    files: [AtomicU64; 3],
    dirs: [AtomicU64; 3],
    others: AtomicU64,
    bytes: AtomicU64,
    read: AtomicU64,
    dir_bytes: AtomicU64,
    failures: Failures,
    current: Mutex<PathBuf>,
    stop: Stop,
}

fn add(counters: &[AtomicU64; 3], change: Change) {
    let [new, changed, unmodified] = counters;
    let counter = match change {
        Change::New => new,
        Change::Changed => changed,
        Change::Unmodified => unmodified,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

impl BackupProgress {
    /// None yet; the backup ends soon when `stop` is asked for. What was stored stays and is found by the next one.
    pub fn new(stop: Stop) -> Self {
        Self { stop, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.stop.check()
    }

    /// Files so far.
    pub fn files(&self) -> u64 {
        self.files.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Bytes of these files.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that had to be read.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Number of things that could not be saved.
    pub fn failed(&self) -> u64 {
        self.failures.count()
    }

    /// The failures since the last call.
    pub fn take_failures(&self) -> Vec<EntryFailure> {
        self.failures.take()
    }

    /// The directory that is looked at.
    pub fn current(&self) -> PathBuf {
        self.current.lock().clone()
    }

    pub(super) fn at(&self, path: &Path) {
        path.clone_into(&mut self.current.lock());
    }

    pub(super) fn file(&self, change: Change, bytes: u64) {
        add(&self.files, change);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn other(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dir(&self, change: Change, bytes: usize) {
        add(&self.dirs, change);
        self.dir_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn failure(&self, path: &Path, detail: impl ToString) {
        self.failures.add(path, detail);
    }

    /// The counters as a snapshot carries them.
    pub(super) fn summary(&self, written: &Written) -> SnapshotSummary {
        let read = |counters: &[AtomicU64; 3]| {
            counters.each_ref().map(|count| count.load(Ordering::Relaxed))
        };
        let [files_new, files_changed, files_unmodified] = read(&self.files);
        let [dirs_new, dirs_changed, dirs_unmodified] = read(&self.dirs);
        let [data_blobs, tree_blobs] = written.blobs;
        let [data_added_files, data_added_trees] = written.plain;
        let [data_added_files_packed, data_added_trees_packed] = written.stored;
        SnapshotSummary {
            files_new,
            files_changed,
            files_unmodified,
            dirs_new,
            dirs_changed,
            dirs_unmodified,
            data_blobs,
            tree_blobs,
            data_added: data_added_files + data_added_trees,
            data_added_packed: data_added_files_packed + data_added_trees_packed,
            total_files_processed: files_new + files_changed + files_unmodified,
            total_bytes_processed: self.bytes(),
            total_dirs_processed: dirs_new + dirs_changed + dirs_unmodified,
            total_dirsize_processed: self.dir_bytes.load(Ordering::Relaxed),
            data_added_files,
            data_added_files_packed,
            data_added_trees,
            data_added_trees_packed,
            ..SnapshotSummary::default()
        }
    }
}

/// One running backup.
pub(super) struct Run<'b> {
    pub(super) writer: &'b BlobWriter,
    pub(super) progress: &'b BackupProgress,
    /// The root's tree, when it is written.
    pub(super) root: Mutex<Option<BlobId>>,
}
