//! An image into a file, written by threads of its own while the next pieces are made.
//!
//! Holes are left out: the file must be new. How pieces get to the disk: [`direct`]. Nothing is synced here: that is the wish of whoever owns the file.

mod direct;

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tintype_image::{Output, PIECE};

use direct::{Buffer, Direct};

/// Pieces that wait.
const AHEAD: usize = 4;
/// Threads that write: a disk does more when it has several to do.
const WRITERS: usize = 3;

struct Piece {
    at: u64,
    bytes: Buffer,
}

/// Why a file could not be written.
pub type Broken = Arc<Mutex<Option<String>>>;

/// Writes a file from its beginning.
pub struct FileWriter {
    file: Arc<Direct>,
    broken: Broken,
    at: u64,
    buf: Buffer,
    pieces: Option<Sender<Piece>>,
    spare: Receiver<Buffer>,
    threads: Vec<JoinHandle<()>>,
    /// Is told how far it is; its error ends the work.
    reached: Box<dyn FnMut(u64) -> io::Result<()> + Send>,
}

impl FileWriter {
    /// `length`: how long the file will be, when that is known; `broken` gets what the file failed with; `reached` is told the bytes so far, and
    /// when it fails, so does the work.
    pub fn new(
        file: File,
        length: Option<u64>,
        broken: Broken,
        reached: impl FnMut(u64) -> io::Result<()> + Send + 'static,
    ) -> Self {
        // What does not make a file longer can be written at the same time. Where it is not allowed, the writes say why.
        let _ = length.map(|length| file.set_len(length));
        let file = Arc::new(Direct::new(file));
        let (pieces, work) = bounded::<Piece>(AHEAD);
        let (back, spare) = bounded(AHEAD + WRITERS + 1);
        let writer = |_| {
            let (file, broken) = (Arc::clone(&file), Arc::clone(&broken));
            let (work, back) = (work.clone(), back.clone());
            std::thread::spawn(move || write_all(&file, &work, &back, &broken))
        };
        let threads = (0..WRITERS).map(writer).collect();
        Self {
            file,
            broken,
            at: 0,
            buf: Buffer::new(PIECE),
            pieces: Some(pieces),
            spare,
            threads,
            reached: Box::new(reached),
        }
    }

    /// Hands over what was collected.
    fn send(&mut self) -> io::Result<()> {
        if self.buf.len() == 0 {
            return Ok(());
        }
        let mut next = self.spare.try_recv().unwrap_or_else(|_| Buffer::new(PIECE));
        next.clear();
        let piece = Piece { at: self.at, bytes: std::mem::replace(&mut self.buf, next) };
        self.at += piece.bytes.len() as u64;
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        if !sent {
            return self.join();
        }
        (self.reached)(self.at)
    }

    /// Waits for the threads.
    fn join(&mut self) -> io::Result<()> {
        if self.pieces.take().is_none() {
            return Err(io::Error::other("the file was ended before"));
        }
        let fell = self.threads.drain(..).filter_map(|thread| thread.join().err()).count();
        match self.broken.lock().clone() {
            Some(why) => Err(io::Error::other(why)),
            None if fell > 0 => Err(io::Error::other("a thread ended")),
            None => Ok(()),
        }
    }
}

/// Writes what comes, until somebody has failed.
fn write_all(file: &Direct, work: &Receiver<Piece>, back: &Sender<Buffer>, broken: &Broken) {
    while let Ok(Piece { at, bytes }) = work.recv() {
        if broken.lock().is_some() {
            return;
        }
        if let Err(error) = file.write(at, &bytes) {
            broken.lock().get_or_insert(error.to_string());
            return;
        }
        // It may have enough.
        drop(back.try_send(bytes));
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.buf.push(bytes);
        if self.buf.is_full() {
            self.send()?;
        }
        Ok(taken)
    }

    /// Ends the file: all of it is written, and nothing can follow.
    fn flush(&mut self) -> io::Result<()> {
        let length = self.at + self.buf.len() as u64;
        self.buf.fill_up();
        self.send()?;
        self.join()?;
        self.file.end(length).inspect_err(|error| *self.broken.lock() = Some(error.to_string()))
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
        let mut out =
            FileWriter::new(File::create(&path).unwrap(), None, Broken::default(), |_| Ok(()));
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
        let mut out = FileWriter::new(full, None, Arc::clone(&broken), |_| Ok(()));
        let failed = (0..100).any(|_| out.write_all(&[1; PIECE]).is_err()) || out.flush().is_err();
        assert!(failed && broken.lock().as_ref().unwrap().contains("No space"));
        let file = tempfile::tempfile().unwrap();
        let mut out =
            FileWriter::new(file, None, Broken::default(), |_| Err(io::Error::other("stop")));
        assert_eq!(out.write_all(&[1; PIECE]).unwrap_err().to_string(), "stop");
    }
}
