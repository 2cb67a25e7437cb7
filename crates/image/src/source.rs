//! Where an image comes from: a file, any part of which can be read at any time, or a pipe, which gives every byte once.
//!
//! A pipe keeps its first bytes and its last ones, so that a look at the start and small steps back are possible.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::error::{ImageError, Result};

/// First bytes that a pipe keeps.
const KEPT_FIRST: usize = 64 << 10;

/// Bytes of an image.
pub trait Source {
    /// How many there are, when that is known.
    fn length(&self) -> Option<u64>;

    /// Whether every byte can be read at any time.
    fn is_seekable(&self) -> bool;

    /// Fills `into` from `offset` on as far as there are bytes; answers how many.
    ///
    /// # Errors
    /// Reading failed, or a pipe would have to go back: [`ImageError::NeedsFile`].
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<usize>;

    /// Steps back of up to so many bytes are to come; a pipe keeps them from now on.
    fn keep_last(&mut self, _bytes: usize) {}

    /// The first range at or behind `from` that is no hole of the file; `None` when only a hole follows.
    ///
    /// # Errors
    /// Reading failed.
    fn next_data(&mut self, from: u64) -> Result<Option<Range<u64>>> {
        Ok(Some(from..u64::MAX))
    }
}

/// Fills all of `into` from `offset` on; `part` says what that is.
pub fn read_exact(
    source: &mut dyn Source,
    offset: u64,
    into: &mut [u8],
    part: &'static str,
) -> Result<()> {
    let read = source.read_at(offset, into).map_err(|error| match error {
        ImageError::NeedsFile { .. } => ImageError::NeedsFile { part },
        other => other,
    })?;
    if read < into.len() {
        // What should be read may lie far behind the end.
        let there = offset.saturating_add(read as u64);
        let at = source.length().map_or(there, |length| length.min(there));
        return Err(ImageError::CutOff { part, at });
    }
    Ok(())
}

/// A file or a block device.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    length: u64,
    /// The filesystem tells holes.
    holes: bool,
}

impl FileSource {
    /// `None` when it is no file that can be read anywhere: take it as a [`Stream`].
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn new(file: File) -> io::Result<std::result::Result<Self, File>> {
        let kind = file.metadata()?.file_type();
        let length = if kind.is_file() {
            file.metadata()?.len()
        } else if std::os::unix::fs::FileTypeExt::is_block_device(&kind) {
            rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?
        } else {
            return Ok(Err(file));
        };
        Ok(Ok(Self { file, length, holes: kind.is_file() }))
    }
}

impl Source for FileSource {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ImageError::Read(error)),
            }
        }
        Ok(done)
    }

    fn next_data(&mut self, from: u64) -> Result<Option<Range<u64>>> {
        use rustix::fs::SeekFrom;
        if !self.holes {
            return Ok(Some(from..self.length));
        }
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(_) => {
                self.holes = false;
                return Ok(Some(from..self.length));
            }
        };
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.length);
        Ok(Some(start..end.max(start + 1)))
    }
}

/// A pipe, or the body of a request.
pub struct Stream<R> {
    inner: R,
    length: Option<u64>,
    /// Bytes that were taken.
    at: u64,
    first: Vec<u8>,
    last: Vec<u8>,
    /// As many of them, at least.
    keep_last: usize,
}

impl<R: Read> Stream<R> {
    /// `length`: how many bytes will come, when that is known.
    pub const fn new(inner: R, length: Option<u64>) -> Self {
        Self { inner, length, at: 0, first: Vec::new(), last: Vec::new(), keep_last: 512 }
    }

    /// Takes bytes from the pipe; fewer only at its end.
    fn take(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ImageError::Read(error)),
            }
        }
        self.keep(into.get(..done).unwrap_or(&[]));
        Ok(done)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let wanted = KEPT_FIRST.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend(bytes.iter().take(wanted));
        let tail = bytes.get(bytes.len().saturating_sub(self.keep_last)..).unwrap_or(&[]);
        self.last.extend_from_slice(tail);
        // Rarely, so that small steps do not move it each time.
        if self.last.len() > 2 * self.keep_last {
            self.last.drain(..self.last.len() - self.keep_last);
        }
        self.at += bytes.len() as u64;
    }

    /// Bytes at `offset` that were taken already.
    fn kept(&self, offset: u64) -> &[u8] {
        let last_from = self.at - self.last.len() as u64;
        let (bytes, from) =
            if offset >= last_from { (&self.last, last_from) } else { (&self.first, 0) };
        usize::try_from(offset - from).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[])
    }

    fn skip_to(&mut self, offset: u64) -> Result<()> {
        let mut scrap = vec![0; 64 << 10];
        while self.at < offset {
            let count = (offset - self.at).min(scrap.len() as u64) as usize;
            let part = scrap.get_mut(..count).unwrap_or(&mut []);
            if self.take(part)? < count {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<R: Read> Source for Stream<R> {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn keep_last(&mut self, bytes: usize) {
        self.keep_last = bytes;
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<usize> {
        if offset > self.at {
            self.skip_to(offset)?;
        }
        let mut done = 0;
        while done < into.len() {
            let at = offset.saturating_add(done as u64);
            let rest = into.get_mut(done..).unwrap_or(&mut []);
            if at > self.at {
                break;
            }
            if at == self.at {
                return Ok(done + self.take(rest)?);
            }
            let kept = self.kept(at);
            let count = kept.len().min(rest.len());
            if count == 0 {
                return Err(ImageError::NeedsFile { part: "a part of the image" });
            }
            rest.iter_mut().zip(kept).for_each(|(to, from)| *to = *from);
            done += count;
        }
        Ok(done)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_keeps_its_start_and_its_last_bytes() {
        let bytes: Vec<u8> = (0..900_000_u32).map(|n| (n / 7) as u8).collect();
        let kept = 100_000;
        let mut pipe = Stream::new(&bytes[..], None);
        pipe.keep_last(kept);
        let mut get = |offset: usize, length: usize| {
            let mut into = vec![0; length];
            let read = pipe.read_at(offset as u64, &mut into)?;
            assert_eq!(into[..read], bytes[offset..offset + read], "{offset}");
            Ok::<_, ImageError>(read)
        };
        assert_eq!(get(100, 512).unwrap(), 512);
        assert_eq!(get(0, 70_000).unwrap(), 70_000);
        assert_eq!(get(200_000, 10).unwrap(), 10);
        assert_eq!(get(200_010 - 4096, 5000).unwrap(), 5000);
        assert_eq!(get(0, 60_000).unwrap(), 60_000);
        assert_eq!(get(110_000, 10).unwrap(), 10);
        assert_eq!(get(800_000, 10).unwrap(), 10);
        assert_eq!(get(800_010 - kept, 150_000).unwrap(), 150_000);
        assert!(matches!(get(100_000, 10), Err(ImageError::NeedsFile { .. })));
        assert_eq!(get(899_990, 100).unwrap(), 10);
        assert_eq!(get(899_999, 100).unwrap(), 1);
    }

    #[test]
    fn what_lies_far_behind_the_end_is_told_by_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[1; 700]).unwrap();
        let mut source = FileSource::new(file).unwrap().unwrap();
        for offset in [600, 700, 1 << 50] {
            let read = read_exact(&mut source, offset, &mut [0; 512], "a cluster");
            assert!(matches!(read, Err(ImageError::CutOff { at: 700, .. })), "{offset}: {read:?}");
        }
    }
}
