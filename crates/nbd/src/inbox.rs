//! What has arrived and is not decoded yet: many requests per read.

use std::io;

use crate::stream::Stream;

/// Bytes that are read at once. Holds the longest data of an option.
const CAPACITY: usize = 256 << 10;

pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub fn new() -> Self {
        Self { bytes: vec![0; CAPACITY], start: 0, end: 0 }
    }

    /// What is there.
    pub fn available(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once. False at the end of the connection.
    pub fn more(&mut self, stream: &Stream) -> io::Result<bool> {
        if self.start != 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let count = stream.recv(room)?;
        self.end = self.end.saturating_add(count).min(self.bytes.len());
        Ok(count != 0)
    }

    /// Reads until `count` bytes are there, at most [`CAPACITY`], and returns them without consuming.
    pub fn peek(&mut self, stream: &Stream, count: usize) -> io::Result<&[u8]> {
        if count > self.bytes.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        while self.available().len() < count {
            if !self.more(stream)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.available().get(..count).unwrap_or_default())
    }

    /// Fills `into`: first with what is there, then straight from the connection.
    pub fn take(&mut self, stream: &Stream, into: &mut [u8]) -> io::Result<()> {
        let here = self.available().len().min(into.len());
        let (head, mut rest) = into.split_at_mut(here);
        head.copy_from_slice(self.available().get(..here).unwrap_or_default());
        self.consume(here);
        while !rest.is_empty() {
            let count = stream.recv(rest)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Throws `count` bytes away.
    pub fn skip(&mut self, stream: &Stream, mut count: u64) -> io::Result<()> {
        while count > 0 {
            if self.available().is_empty() && !self.more(stream)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let here = usize::try_from(count).unwrap_or(usize::MAX).min(self.available().len());
            self.consume(here);
            count = count.saturating_sub(here as u64);
        }
        Ok(())
    }
}
