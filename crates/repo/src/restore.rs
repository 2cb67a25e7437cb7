//! Restores: from a tree of the repository into a local folder.
//!
//! One thread walks through trees, makes directories and notes what each file needs (`walk`, `plan`). A batch of files is then looked at
//! where something stands already (`existing`), its chunks are sorted by where they lie, and several threads read packs in order
//! and write each chunk to all places that need it (`fetch`, `file`). Hard links (`links`) and the metadata of directories come last.
//! Batches bound the memory, whatever the size of the snapshot.
//!
//! Everything below the target is done by single names in open directories and never through a symlink (`dirs`, `remove`), so that
//! neither a hostile tree nor somebody who swaps entries meanwhile leads outside. What is missing or damaged in the repository costs
//! only what it held: the rest is restored, and the report names the gap.

mod dirs;
mod existing;
mod fetch;
mod file;
mod links;
mod plan;
mod remove;
mod state;
mod walk;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

pub(crate) use links::Inode;
pub use state::{DamagedDir, IncompleteFile, MissingPart, RestoreProgress, RestoreReport};

use crate::error::{RepoError, Result};
use crate::exclude::Excludes;
use crate::id::BlobId;
use crate::index::Index;
use crate::local::{LocalWriter, WriteOptions};
use crate::lookup::{Place, look_up};
use crate::repository::Repository;
use crate::tree::NodeKind;

use dirs::Dirs;
use state::Run;
use walk::Walker;

/// When something that stands in the target gives way to the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Always; of files only what differs is written (see [`RestoreOptions::verify_existing`]).
    #[default]
    Always,
    /// As always, but a file of the same size and time of change is taken for the same without being read.
    IfChanged,
    /// When the snapshot's entry was changed later.
    IfNewer,
    /// Never: only what is not there is restored. Directories that are there keep their metadata.
    Never,
}

/// What is restored, and how.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Where in the tree to begin; empty: its root. The entries of a directory go into the target, anything else becomes an entry there.
    pub path: PathBuf,
    /// Only what one of these fits, with all that is in it; empty: everything. Paths begin with `/` where the restore begins.
    pub include: Excludes,
    /// Without what these fit.
    pub exclude: Excludes,
    /// Removes what is in the target's directories and not in the snapshot, if the patterns would let it be restored.
    pub delete: bool,
    /// Changes nothing and counts what would be done.
    pub dry_run: bool,
    /// Leaves holes where new files have chunks of zeroes only.
    pub sparse: bool,
    /// What happens to existing entries.
    pub overwrite: Overwrite,
    /// Hashes existing files, and writes only the chunks that differ. Otherwise they are written whole.
    pub verify_existing: bool,
    /// Owners and extended attributes.
    pub metadata: WriteOptions,
    /// Threads that read packs and write files; 0: chosen by the number of processors.
    pub threads: usize,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            include: Excludes::default(),
            exclude: Excludes::default(),
            delete: false,
            dry_run: false,
            sparse: false,
            overwrite: Overwrite::default(),
            verify_existing: true,
            metadata: WriteOptions::default(),
            threads: 0,
        }
    }
}

/// Restores a tree, or a path in it, into the folder `target`, which is made if it is not there.
///
/// Single entries that cannot be restored are told to `progress` and counted; the report names every gap. Whether a restore is complete is
/// told by [`RestoreReport::is_complete`].
///
/// # Errors
/// The root cannot be read, the target cannot be made, or no space is left. [`RepoError::Stopped`] when `progress` was told to stop.
pub fn restore(
    repo: &Repository,
    index: &Index,
    tree: BlobId,
    target: &Path,
    options: &RestoreOptions,
    progress: &RestoreProgress,
) -> Result<RestoreReport> {
    let path = options.path.as_os_str().as_encoded_bytes();
    let start = look_up(repo, index, tree, path)?;
    let dirs = Dirs::open(target, options.dry_run)?;
    let run = Run::new(repo, index, options, progress, LocalWriter::new(options.metadata));
    let mut walker = Walker::new(&run, dirs);
    match (start.tree(), start) {
        (Some(tree), _) => walker.begin(tree),
        (None, Place::Node(node)) => walker.begin_entry(*node)?,
        (None, Place::Root(_)) => {}
    }
    walker.walk()?;
    let (dirs, links) = walker.finish()?;
    links::make(&run, &dirs, links)?;
    dirs_metadata(&run, &dirs)?;
    Ok(run.into_report())
}

/// Directories get their metadata when nothing in them changes any more: the deepest first, so that no parent is closed before.
fn dirs_metadata(run: &Run, dirs: &Dirs) -> Result<()> {
    if run.options.dry_run {
        return Ok(());
    }
    for id in dirs.made().rev() {
        run.check()?;
        let Some(node) = dirs.node(id).filter(|node| node.kind == NodeKind::Dir) else { continue };
        if dirs.existed(id) && run.options.overwrite == Overwrite::Never {
            continue;
        }
        let applied = dirs.handle(id).and_then(|fd| run.writer.apply_open(fd.as_fd(), node));
        run.applied(applied, || dirs.path(id));
    }
    Ok(())
}

fn local(doing: &'static str, path: &Path, source: impl Into<std::io::Error>) -> RepoError {
    RepoError::Local { doing, path: path.display().to_string(), source: source.into() }
}
