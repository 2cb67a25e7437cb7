//! Backups: from local files into a snapshot.
//!
//! Several threads walk through directories (`walk`), several read files (`files`), one writes packs (`writer`). Trees are written by whoever brings a
//! directory's last entry (`assemble`). A file that has not changed since a parent snapshot is not read (`parent`).
//!
//! A failure of a source file is counted and told, and the backup goes on; a failure of the repository ends it. The snapshot is
//! written last, after everything that it needs is durable and indexed.

mod assemble;
mod files;
mod folder;
mod gitconfig;
mod gitignore;
mod parent;
mod roots;
mod state;
mod stream;
mod tracked;
mod walk;
mod worktree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;
use jiff::{Timestamp, tz::TimeZone};
use parking_lot::Mutex;

pub use gitconfig::GitUser;
pub use state::BackupProgress;
pub use stream::{StreamFile, backup_stream};

use crate::chunker::Cutter;
use crate::error::{RepoError, Result};
use crate::exclude::Excludes;
use crate::id::BlobId;
use crate::index::Index;
use crate::local::{LocalReader, ReadOptions};
use crate::repository::Repository;
use crate::snapshot::{SnapshotFile, SnapshotSummary};
use crate::threads::threads;
use crate::writer::{BlobOptions, BlobWriter};
use tintype_model::moment::Moment;

use files::read_files;
use state::Run;
use walk::{Walk, Walker};

/// Files that wait for a reader.
const QUEUE: usize = 256;

/// Signs of change that do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IgnoreChange {
    /// The time of the last change of the inode.
    pub ctime: bool,
    /// The number of the inode.
    pub inode: bool,
}

/// A file whose presence keeps its folder out of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Its name.
    pub name: PathBuf,
    /// How it must begin; empty: anyhow.
    pub header: Vec<u8>,
}

/// What is saved, and how.
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The folder that relative paths start from: the current one.
    pub folder: PathBuf,
    /// What is left out.
    pub excludes: Excludes,
    /// Folders with one of these are left out.
    pub if_present: Vec<Marker>,
    /// Folders that are tagged as caches are left out.
    pub caches: bool,
    /// What git's rules leave alone is left out of working trees; `.git` itself and what git tracks is saved.
    pub gitignore: bool,
    /// Where git's rules of the user are.
    pub git_user: GitUser,
    /// Files with more bytes are left out.
    pub larger_than: Option<u64>,
    /// Stays on the filesystems of the paths.
    pub one_file_system: bool,
    /// How unchanged files are known.
    pub ignore: IgnoreChange,
    /// What is read of an entry's metadata.
    pub read: ReadOptions,
    /// How blobs are written.
    pub blobs: BlobOptions,
    /// Threads that read files; 0: as many as processors.
    pub readers: usize,
}

/// What a backup made: the tree, and what it took. The caller completes and writes the snapshot.
#[derive(Debug)]
pub struct Saved {
    /// The root.
    pub tree: BlobId,
    /// Counters, with start and end.
    pub summary: SnapshotSummary,
}

/// Saves everything that the options name; `parents` are earlier snapshots of it.
///
/// # Errors
/// A failure of the repository. [`RepoError::Stopped`] when `progress` was told to stop.
pub fn backup(
    repo: &Repository,
    index: Arc<Index>,
    parents: &[SnapshotFile],
    options: &BackupOptions,
    progress: &BackupProgress,
) -> Result<Saved> {
    let writer = BlobWriter::new(repo.clone(), Arc::clone(&index), options.blobs);
    finished(writer, progress, |writer| {
        save_trees(repo, &index, writer, parents, options, progress)
    })
}

/// Has `save` bring everything to the writer, completes the writer, and sums up.
fn finished(
    writer: BlobWriter,
    progress: &BackupProgress,
    save: impl FnOnce(&BlobWriter) -> Result<BlobId>,
) -> Result<Saved> {
    let (start, clock) = (Timestamp::now(), Instant::now());
    let root = save(&writer);
    let (tree, written) = writer.finish_after(root)?;
    let mut summary = progress.summary(&written);
    let zone = TimeZone::system();
    summary.backup_start = Some(Moment::in_zone(start, &zone));
    summary.backup_end = Some(Moment::in_zone(Timestamp::now(), &zone));
    summary.backup_duration = clock.elapsed().as_secs_f64();
    summary.total_duration = summary.backup_duration;
    Ok(Saved { tree, summary })
}

/// Walks and reads; gives the root's tree.
fn save_trees(
    repo: &Repository,
    index: &Index,
    writer: &BlobWriter,
    parents: &[SnapshotFile],
    options: &BackupOptions,
    progress: &BackupProgress,
) -> Result<BlobId> {
    let top = roots::roots(options.paths.iter().map(PathBuf::as_path));
    let run = Run { writer, progress, root: Mutex::new(None) };
    let reader = LocalReader::new(options.read);
    let cutter = Cutter::new(repo.config().chunker_polynomial);
    let (jobs, todo) = bounded(QUEUE);
    let trees = parents.iter().map(|parent| parent.tree).collect();
    let walk = Walk::new(&run, repo, index, options, &reader);
    walk.begin(top, trees)?;
    let done = std::thread::scope(|scope| {
        let count = threads(options.readers);
        let mut all = Vec::new();
        for _ in 0..count {
            let (todo, cutter) = (todo.clone(), cutter.clone());
            all.push(scope.spawn(|| read_files(&run, &reader, cutter, todo)));
            let walker = Walker::new(&walk, jobs.clone());
            all.push(scope.spawn(|| walker.walk()));
        }
        // Each side ends when the other one is gone.
        drop((jobs, todo));
        first_failure(all.into_iter().map(std::thread::ScopedJoinHandle::join))
    });
    done?;
    let root = run.root.lock().take();
    root.ok_or_else(|| RepoError::Refused {
        detail: "a directory of the backup was not completed".to_owned(),
    })
}

/// The failure that explains the others.
fn first_failure(ends: impl Iterator<Item = std::thread::Result<Result<()>>>) -> Result<()> {
    let broken = || RepoError::Refused { detail: "a thread that reads files broke off".to_owned() };
    let ends = ends.map(|end| end.unwrap_or_else(|_| Err(broken())));
    let (stopped, mut failures): (Vec<_>, Vec<_>) =
        ends.partition(|end| matches!(end, Ok(()) | Err(RepoError::Stopped)));
    match failures.pop() {
        Some(failure) => failure,
        None => stopped.into_iter().find(Result::is_err).unwrap_or(Ok(())),
    }
}

/// The absolute form of paths, as snapshots carry them.
pub fn absolute_paths(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    let absolute = |path: &PathBuf| {
        let mut whole = PathBuf::new();
        for part in folder.join(path).components() {
            match part {
                std::path::Component::ParentDir => {
                    whole.pop();
                }
                std::path::Component::CurDir => {}
                part => whole.push(part),
            }
        }
        whole.to_string_lossy().into_owned()
    };
    paths.iter().map(absolute).collect()
}
