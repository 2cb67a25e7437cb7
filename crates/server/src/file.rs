//! An image into a file, written by a thread of its own while the next piece is made.
//!
//! Holes are left out: the file must be new. What is written goes on its way to the disk at once, so that the sync at the end has little to wait for.
//! Nothing is synced here: that is the wish of whoever owns the file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::fs::Advice;
use tintype_image::{Output, PIECE};

/// Pieces under way.
const AHEAD: usize = 4;
/// Bytes after which the kernel is asked to begin with its writing.
const BEGIN: u64 = 32 << 20;

struct Piece {
    at: u64,
    bytes: Vec<u8>,
}

/// Why a file could not be written.
pub type Broken = Arc<Mutex<Option<String>>>;

/// Writes a file from its beginning.
pub struct FileWriter {
    broken: Broken,
    at: u64,
    buf: Vec<u8>,
    pieces: Option<SyncSender<Piece>>,
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<File>>>,
    /// Is told how far it is; its error ends the work.
    reached: Box<dyn FnMut(u64) -> io::Result<()> + Send>,
}

impl FileWriter {
    /// `broken` gets what the file failed with; `reached` is told the bytes so far, and when it fails, so does the work.
    pub fn new(
        file: File,
        broken: Broken,
        reached: impl FnMut(u64) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (pieces, work) = sync_channel::<Piece>(AHEAD);
        let (back, spare) = sync_channel(AHEAD + 1);
        let thread = std::thread::spawn(move || write_all(file, &work, &back));
        Self {
            broken,
            at: 0,
            buf: Vec::with_capacity(PIECE),
            pieces: Some(pieces),
            spare,
            thread: Some(thread),
            reached: Box::new(reached),
        }
    }

    /// Hands over what was collected.
    fn send(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let mut next = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        next.clear();
        let bytes = std::mem::replace(&mut self.buf, next);
        let piece = Piece { at: self.at, bytes };
        self.at += piece.bytes.len() as u64;
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        if !sent {
            return self.join();
        }
        (self.reached)(self.at)
    }

    /// Waits for the thread, and ends the file where it ends.
    fn join(&mut self) -> io::Result<()> {
        self.pieces = None;
        let Some(thread) = self.thread.take() else {
            return Err(io::Error::other("the file was ended before"));
        };
        let written = thread.join().map_err(|_| io::Error::other("a thread ended"))?;
        written.and_then(|file| file.set_len(self.at)).inspect_err(|error| {
            *self.broken.lock() = Some(error.to_string());
        })
    }
}

fn write_all(file: File, work: &Receiver<Piece>, back: &SyncSender<Vec<u8>>) -> io::Result<File> {
    let mut begun = 0;
    while let Ok(Piece { at, bytes }) = work.recv() {
        file.write_all_at(&bytes, at)?;
        let end = at + bytes.len() as u64;
        if end - begun >= BEGIN {
            // Only a wish: where it is not heard, the sync at the end does it all.
            let length = std::num::NonZeroU64::new(end - begun);
            let _ = rustix::fs::fadvise(&file, begun, length, Advice::DontNeed);
            begun = end;
        }
        // It may have enough.
        drop(back.try_send(bytes));
    }
    Ok(file)
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (part, _) = bytes.split_at(bytes.len().min(PIECE.saturating_sub(self.buf.len())));
        self.buf.extend_from_slice(part);
        if self.buf.len() >= PIECE {
            self.send()?;
        }
        Ok(part.len())
    }

    /// Ends the file: all of it is written, and nothing can follow.
    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.join()
    }
}

impl Output for FileWriter {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.send()?;
        self.at += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn bytes_and_holes_come_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut out = FileWriter::new(File::create(&path).unwrap(), Broken::default(), |_| Ok(()));
        let data: Vec<u8> = (0..3 * PIECE + 77).map(|n| (n / 5) as u8 | 1).collect();
        out.write_all(&data).unwrap();
        out.skip(64 << 20).unwrap();
        out.write_all(b"end").unwrap();
        out.skip(32 << 20).unwrap();
        out.flush().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (head, rest) = bytes.split_at(data.len());
        assert!(head == data && rest.len() == (96 << 20) + 3);
        let (hole, rest) = rest.split_at(64 << 20);
        assert!(hole.iter().chain(rest.get(3..).unwrap()).all(|byte| *byte == 0));
        assert!(rest.starts_with(b"end"));
        assert!(path.metadata().unwrap().blocks() * 512 < 8 << 20, "holes are holes");
        assert!(out.flush().is_err(), "once");
    }

    #[test]
    fn what_fails_is_told_and_ends_the_work() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let broken = Broken::default();
        let mut out = FileWriter::new(full, Arc::clone(&broken), |_| Ok(()));
        let failed = (0..100).any(|_| out.write_all(&[1; PIECE]).is_err()) || out.flush().is_err();
        assert!(failed && broken.lock().as_ref().unwrap().contains("No space"));
        let file = tempfile::tempfile().unwrap();
        let mut out = FileWriter::new(file, Broken::default(), |_| Err(io::Error::other("stop")));
        assert_eq!(out.write_all(&[1; PIECE]).unwrap_err().to_string(), "stop");
    }
}
