//! Saving what a program writes, or standard input, as a snapshot of one file, in folders if its path has some.

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
use crate::tree::{GoMode, Node, NodeKind};
use crate::writer::{BlobOptions, BlobWriter, Scratch};

/// The file that a stream becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFile {
    /// Its path in the snapshot: the folders that it is in, and its name, with a slash between two of them.
    pub path: Vec<u8>,
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
    let (name, folders) = parts(&file.path)?;
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
    let of = |name: &[u8], mode| Node {
        name: name.to_vec(),
        mode: GoMode::from_st_mode(mode),
        mtime: time,
        atime: time,
        ctime: time,
        uid: file.uid,
        gid: file.gid,
        ..Node::default()
    };
    let node = Node { size, links: 1, content: Some(content), ..of(name, 0o100_644) };
    let mut open = vec![Assembly::root(vec![])];
    for folder in folders {
        let node = Node { kind: NodeKind::Dir, ..of(folder, 0o040_755) };
        open.extend(open.last().map(|above| Assembly::below(above, node, vec![])));
    }
    open.iter().rev().take(1).for_each(|dir| dir.push(node.clone()));
    // The deepest first: each is complete when the one in it is.
    while let Some(dir) = open.pop() {
        dir.arrived(None, &run, &mut scratch)?;
    }
    let tree = run.root.lock().take();
    tree.ok_or(RepoError::Stopped)
}

/// The name and the folders of a path.
fn parts(path: &[u8]) -> Result<(&[u8], Vec<&[u8]>)> {
    let mut parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let refused = |detail: &str| RepoError::Refused {
        detail: format!("`{}` names no file in a snapshot: {detail}", path.escape_ascii()),
    };
    if parts.iter().any(|part| matches!(*part, b"." | b"..")) {
        return Err(refused("leave out `.` and `..`"));
    }
    let name = parts.pop().ok_or_else(|| refused("it is empty"))?;
    Ok((name, parts))
}
