//! The threads that read files: cut, hash, store, and hand the node to its directory.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rustix::fs::{Mode, OFlags, openat};

use super::assemble::Assembly;
use super::state::{Change, Run};
use crate::chunker::{Chunks, Cutter};
use crate::error::Result;
use crate::id::BlobId;
use crate::local::LocalReader;
use crate::pack::BlobKind;
use crate::tree::{Node, NodeKind};
use crate::writer::Scratch;

/// A file to read.
pub(super) struct FileJob {
    /// The directory that it is in.
    pub dir: Arc<OwnedFd>,
    /// Its name there.
    pub name: CString,
    /// Its name in the tree.
    pub shown: Vec<u8>,
    /// For messages.
    pub path: PathBuf,
    /// Some parent has a file there.
    pub known: bool,
    /// Who waits for its node.
    pub assembly: Arc<Assembly>,
}

/// Takes files until there are no more.
pub(super) fn read_files(
    run: &Run,
    reader: &LocalReader,
    cutter: Cutter,
    jobs: Receiver<FileJob>,
) -> Result<()> {
    let mut scratch = Scratch::default();
    let mut chunks = Chunks::new(cutter, Source::None);
    for job in jobs {
        run.progress.check()?;
        let node = match open(reader, &job) {
            Ok((file, node)) => {
                chunks = chunks.restart(Source::File(file));
                store(run, &mut scratch, &mut chunks, node, &job)?
            }
            Err(detail) => {
                run.progress.failure(&job.path, detail);
                None
            }
        };
        job.assembly.arrived(node, run, &mut scratch)?;
    }
    Ok(())
}

/// What chunks come from.
enum Source {
    None,
    File(OwnedFd),
}

impl io::Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None => Ok(0),
            Self::File(file) => Ok(rustix::io::read(&*file, buf)?),
        }
    }
}

/// The open file with its metadata as they are now. Something else may have taken its place since it was listed.
fn open(reader: &LocalReader, job: &FileJob) -> std::result::Result<(OwnedFd, Node), String> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened =
        openat(job.dir.as_fd(), job.name.as_c_str(), flags | OFlags::NOATIME, Mode::empty());
    // Only the owner may read without leaving a trace.
    let opened =
        opened.or_else(|_| openat(job.dir.as_fd(), job.name.as_c_str(), flags, Mode::empty()));
    let file = opened.map_err(|e| format!("it cannot be opened: {e}"))?;
    let mut node = reader.read_open(file.as_fd(), &job.name).map_err(|e| e.to_string())?.node;
    if node.kind != NodeKind::File {
        return Err("it was a file when its folder was listed and is none any more".to_owned());
    }
    node.name.clone_from(&job.shown);
    Ok((file, node))
}

/// Stores the content; `None` when it cannot be read to its end.
fn store(
    run: &Run,
    scratch: &mut Scratch,
    chunks: &mut Chunks<Source>,
    mut node: Node,
    job: &FileJob,
) -> Result<Option<Node>> {
    let (mut content, mut size) = (Vec::new(), 0);
    loop {
        let chunk = match chunks.next_chunk() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                run.progress.failure(&job.path, format!("it cannot be read: {error}"));
                return Ok(None);
            }
        };
        let id = BlobId::of(chunk);
        run.writer.add(scratch, BlobKind::Data, id, chunk)?;
        content.push(id);
        size += chunk.len() as u64;
        run.progress.read(chunk.len() as u64);
        run.progress.check()?;
    }
    node.content = Some(content);
    // What was read counts, not what the directory said before.
    node.size = size;
    run.progress.file(Change::of(job.known, false), size);
    Ok(Some(node))
}
