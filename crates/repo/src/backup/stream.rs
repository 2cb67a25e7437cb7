//! Saving what a program writes, or standard input, as a snapshot of one file.

use std::io::Read;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::assemble::Assembly;
use super::state::{BackupProgress, Change, Run};
use super::{Saved, finished};
use crate::chunker::{Chunks, Cutter};
use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::index::Index;
use crate::json::LocalZone;
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::tree::{GoMode, Node};
use crate::writer::{BlobOptions, BlobWriter, Scratch};

/// The file that a stream becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFile {
    /// Its name in the snapshot; no path.
    pub name: Vec<u8>,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Saves everything that `from` gives. `ended` is asked when it has ended: a program that failed makes no snapshot.
///
/// # Errors
/// A failure of the stream or of the repository, and what `ended` says.
pub fn backup_stream(
    repo: &Repository,
    index: Arc<Index>,
    from: impl Read,
    file: &StreamFile,
    options: BlobOptions,
    progress: &BackupProgress,
    ended: impl FnOnce() -> Result<()>,
) -> Result<Saved> {
    finished(BlobWriter::new(repo.clone(), index, options), progress, |writer| {
        let tree = store(repo, writer, from, file, progress)?;
        ended().map(|()| tree)
    })
}

fn store(
    repo: &Repository,
    writer: &BlobWriter,
    from: impl Read,
    file: &StreamFile,
    progress: &BackupProgress,
) -> Result<BlobId> {
    let start = Timestamp::now();
    let run = Run { writer, progress, root: Mutex::new(None) };
    let mut scratch = Scratch::default();
    let mut chunks = Chunks::new(Cutter::new(repo.config().chunker_polynomial), from);
    let (mut content, mut size) = (Vec::new(), 0);
    let failed = |source| RepoError::Local { doing: "read", path: "the stream".to_owned(), source };
    while let Some(chunk) = chunks.next_chunk().map_err(failed)? {
        progress.check()?;
        let id = BlobId::of(chunk);
        writer.add(&mut scratch, BlobKind::Data, id, chunk)?;
        content.push(id);
        size += chunk.len() as u64;
        progress.read(chunk.len() as u64);
    }
    progress.file(Change::New, size);
    let nanos = u32::try_from(start.subsec_nanosecond()).unwrap_or_default();
    let time = LocalZone::system().time(start.as_second(), nanos);
    let node = Node {
        name: file.name.clone(),
        mode: GoMode::from_st_mode(0o100_644),
        mtime: time,
        atime: time,
        ctime: time,
        uid: file.uid,
        gid: file.gid,
        size,
        links: 1,
        content: Some(content),
        ..Node::default()
    };
    let root = Assembly::root(vec![]);
    root.push(node);
    root.arrived(None, &run, &mut scratch)?;
    let tree = run.root.lock().take();
    tree.ok_or(RepoError::Stopped)
}
