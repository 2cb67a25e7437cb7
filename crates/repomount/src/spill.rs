//! Pieces of bytes that are kept in memory while they are few, and in a file without a name when they are many.
//!
//! What goes into the file is sealed with a key that nobody keeps: names of a backup never lie open on a disk. Where no file can be
//! made, everything stays in memory.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileExt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use tintype_repo::MasterKey;

/// Bytes that stay in memory.
const IN_MEMORY: usize = 4 << 20;

/// Pieces in the order in which they came.
#[derive(Default)]
pub struct Pieces {
    memory: Vec<Box<[u8]>>,
    bytes: usize,
    file: Option<Sealed>,
    no_file: bool,
}

/// The file: where each piece ends in it.
struct Sealed {
    file: File,
    key: MasterKey,
    ends: Vec<u64>,
}

impl Pieces {
    /// One more.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(sealed) = &mut self.file {
            match sealed.push(piece) {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "a large directory stays in memory"),
            }
            // What is in the file can be read from it; later pieces stay in memory behind it.
            self.no_file = true;
        }
        self.bytes += piece.len();
        self.memory.push(piece.into());
        if self.file.is_none() && !self.no_file && self.bytes > IN_MEMORY {
            self.spill();
        }
    }

    fn spill(&mut self) {
        let pieces = &self.memory;
        let all = Sealed::new().and_then(|mut sealed| {
            pieces.iter().try_for_each(|piece| sealed.push(piece))?;
            Ok(sealed)
        });
        match all {
            Ok(sealed) => {
                self.file = Some(sealed);
                (self.memory, self.bytes) = (Vec::new(), 0);
            }
            Err(error) => {
                tracing::warn!(%error, "no temporary file: a large directory stays in memory");
                self.no_file = true;
            }
        }
    }

    /// A piece by its number.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn get(&self, number: usize) -> io::Result<Vec<u8>> {
        let in_file = self.file.as_ref().map_or(0, |sealed| sealed.ends.len());
        if let Some(sealed) = self.file.as_ref().filter(|_| number < in_file) {
            return sealed.get(number);
        }
        let piece = self.memory.get(number - in_file);
        piece.map(|piece| piece.to_vec()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        self.bytes + self.file.as_ref().map_or(0, |sealed| sealed.ends.len() * 8)
    }
}

impl Sealed {
    fn new() -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = openat(CWD, std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
        let key = MasterKey::random().map_err(Error::other)?;
        Ok(Self { file: File::from(file), key, ends: Vec::new() })
    }

    fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let sealed = self.key.seal(piece).map_err(Error::other)?;
        let at = self.ends.last().copied().unwrap_or(0);
        self.file.write_all_at(&sealed, at)?;
        self.ends.push(at + sealed.len() as u64);
        Ok(())
    }

    fn get(&self, number: usize) -> io::Result<Vec<u8>> {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let (start, end) = (start.unwrap_or(0), self.ends.get(number).copied().unwrap_or(0));
        let mut sealed = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        self.file.read_exact_at(&mut sealed, start)?;
        self.key.open(&mut sealed).map_err(Error::other)?;
        Ok(sealed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn many_pieces_come_back_from_a_file() {
        let mut pieces = Pieces::default();
        let piece = |number: u32| number.to_le_bytes().repeat(2500);
        let count = 3 * IN_MEMORY as u32 / 10_000;
        (0..count).for_each(|number| pieces.push(&piece(number)));
        assert!(pieces.file.is_some() && pieces.weight() < 1 << 16);
        for number in [0, 1, count / 2, count - 1] {
            assert_eq!(pieces.get(number as usize).unwrap(), piece(number));
        }
        assert!(pieces.get(count as usize).is_err());
        // Nobody who finds the file can read it.
        let sealed = pieces.file.as_ref().unwrap();
        let mut start = vec![0; 10_000];
        sealed.file.read_exact_at(&mut start, 0).unwrap();
        assert!(!start.windows(8).any(|bytes| bytes == [0; 8]));
    }

    #[test]
    fn a_file_that_fills_up_loses_nothing() {
        let mut pieces = Pieces { no_file: true, ..Pieces::default() };
        (0..600u32).for_each(|number| pieces.push(&[number as u8; 10_000]));
        assert!(pieces.file.is_none());
        assert_eq!(pieces.get(599).unwrap(), [87; 10_000]);
        let closed = File::open("/dev/null").unwrap();
        let mut sealed = Sealed::new().unwrap();
        sealed.push(b"in the file").unwrap();
        let written = std::mem::replace(&mut sealed.file, closed);
        let mut pieces = Pieces { file: Some(sealed), ..Pieces::default() };
        pieces.push(b"in memory");
        pieces.file.as_mut().unwrap().file = written;
        assert_eq!(pieces.get(0).unwrap(), b"in the file");
        assert_eq!(pieces.get(1).unwrap(), b"in memory");
    }
}
