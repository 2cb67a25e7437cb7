//! The chunks of whatever can be read, one after the other in one buffer.
//!
//! Bytes are read straight to where chunks are lent from. The beginning of a chunk is moved to the front when the buffer ends there, or when
//! that costs little and keeps the buffer short.

use std::io::{self, ErrorKind, Read};

use super::{Cutter, Limits};

/// The most bytes asked of a reader at once.
const PIECE: usize = 1 << 20;
/// What a buffer may take, in bytes, without a long chunk that needs more.
const USUAL: usize = 4 << 20;

/// Reads and cuts. Holds one buffer of up to 9 MiB, of which memory is used as far as data has reached; [`restart`](Chunks::restart)
/// keeps one of the usual size for the next file.
#[derive(Debug)]
pub struct Chunks<R> {
    cutter: Cutter,
    reader: R,
    /// As long as data has ever reached.
    buffer: Vec<u8>,
    /// Where the next chunk starts.
    start: usize,
    /// Where read bytes end.
    end: usize,
    /// The reader has told that nothing more comes.
    ended: bool,
}

impl<R: Read> Chunks<R> {
    /// The chunks of all that `reader` gives.
    pub fn new(cutter: Cutter, reader: R) -> Self {
        let buffer = Vec::with_capacity(room(&cutter));
        Self { cutter, reader, buffer, start: 0, end: 0, ended: false }
    }

    /// Begins anew with another reader and drops what is left of this one.
    pub fn restart<S: Read>(self, reader: S) -> Chunks<S> {
        let mut buffer = self.buffer;
        if buffer.len() > USUAL {
            buffer = Vec::with_capacity(room(&self.cutter));
        }
        Chunks { cutter: self.cutter, reader, buffer, start: 0, end: 0, ended: false }
    }

    /// The next chunk; none at the end. Its bytes are valid until the next call. Nothing read makes no chunk.
    ///
    /// # Errors
    /// What the reader says; interruptions are tried again. Nothing is lost: a later call goes on where the reader does.
    pub fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        let length = loop {
            let ready = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(length) = self.cutter.cut_beyond(ready, searched, self.ended) {
                break length;
            }
            searched = ready.len();
            self.read()?;
        };
        let chunk = self.start..self.start + length;
        self.start = chunk.end;
        Ok(self.buffer.get(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Reads once, behind what is there. There is room, since an unfinished chunk is shorter than the longest one.
    fn read(&mut self) -> io::Result<()> {
        let room = room(&self.cutter);
        let begun = self.end - self.start;
        // No more bytes are moved in all than chunks had.
        let cheap = begun <= self.start && self.end + PIECE > USUAL;
        if cheap || self.end + PIECE > room {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, begun);
        }
        let until = room.min(self.end + PIECE);
        if self.buffer.len() < until {
            self.buffer.resize(until, 0);
        }
        let room = self.buffer.get_mut(self.end..until).unwrap_or_default();
        let count = loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?.min(room.len()),
            }
        };
        self.end += count;
        self.ended = count == 0;
        Ok(())
    }
}

/// The longest buffer that is ever needed: an unfinished chunk, and what is read behind it.
fn room(cutter: &Cutter) -> usize {
    let Limits { max, .. } = cutter.0.limits;
    max + PIECE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::Polynomial;

    /// Noise without an end.
    struct Noise(u64);

    impl Read for Noise {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            for eight in into.chunks_mut(8) {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                eight.copy_from_slice(&mixed.to_le_bytes()[..eight.len()]);
            }
            Ok(into.len())
        }
    }

    #[test]
    fn the_buffer_is_as_long_as_chunks_need_and_goes_back_to_the_usual_length() {
        let cutter = Cutter::new(Polynomial::new(0x2f_ad7a_b11e_fe19).unwrap());
        let mut chunks = Chunks::new(cutter, Noise(1).take(40 << 20));
        let (mut longest, mut all) = (0, 0);
        while let Some(length) = chunks.next_chunk().unwrap().map(<[u8]>::len) {
            (longest, all) = (longest.max(length), all + length);
            assert!(chunks.buffer.len() <= USUAL.max(2 * longest + PIECE));
        }
        assert_eq!(all, 40 << 20);
        // Nothing to cut at: each chunk is as long as it may be.
        let mut chunks = chunks.restart(io::repeat(7).take(20 << 20));
        let mut lengths = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            lengths.push(chunk.len());
        }
        assert_eq!(lengths, [8 << 20, 8 << 20, 4 << 20]);
        assert_eq!(chunks.buffer.len(), 8 << 20);
        let mut chunks = chunks.restart(&[1; 1000][..]);
        assert_eq!(chunks.buffer.len(), 0);
        assert_eq!(chunks.next_chunk().unwrap(), Some(&[1; 1000][..]));
        assert!(chunks.buffer.len() <= 2 * PIECE);
    }
}
