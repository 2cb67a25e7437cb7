//! What a writer makes an image of.

use std::io;
use std::ops::Range;

use crate::error::{ImageError, Result};

/// A moment of a disk, which does not change while it is written: writers ask for the same ranges several times.
pub trait Content: Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// The first range that holds data (of a delta: that differs) and ends behind `from`; it begins at `from` at the earliest, and ends at
    /// the disk's end at the latest. `None` when there is none.
    ///
    /// # Errors
    /// The moment cannot be read.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;

    /// Fills `into` with the bytes at `offset`, whether or not they are data.
    ///
    /// # Errors
    /// The moment cannot be read.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// The units of a fixed length that hold any data, as runs of neighbours, ascending, each unit once.
pub struct Units<'c> {
    content: &'c dyn Content,
    unit: u64,
    next: u64,
}

impl<'c> Units<'c> {
    /// From the beginning, in units of `unit` bytes.
    pub fn new(content: &'c dyn Content, unit: u64) -> Self {
        Self { content, unit: unit.max(1), next: 0 }
    }

    /// The next run: numbers of units.
    ///
    /// # Errors
    /// The moment cannot be read.
    pub fn next_run(&mut self) -> Result<Option<Range<u64>>> {
        let from = self.next.saturating_mul(self.unit);
        if from >= self.content.size() {
            return Ok(None);
        }
        let Some(data) = next_data(self.content, from)? else { return Ok(None) };
        let first = data.start / self.unit;
        self.next = data.end.div_ceil(self.unit).max(first + 1);
        Ok(Some(first..self.next))
    }
}

/// The next range of data, held to what was promised.
pub fn next_data(content: &dyn Content, from: u64) -> Result<Option<Range<u64>>> {
    let found = content.next_data(from).map_err(ImageError::Content)?;
    let cut = |range: Range<u64>| range.start.max(from)..range.end.min(content.size());
    Ok(found.map(cut).filter(|range| range.start < range.end))
}

/// Fills `into`; what lies behind the disk's end is zero.
pub fn read_padded(content: &dyn Content, offset: u64, into: &mut [u8]) -> Result<()> {
    let there = content.size().saturating_sub(offset).min(into.len() as u64) as usize;
    let (data, rest) = into.split_at_mut(there);
    rest.fill(0);
    if data.is_empty() { Ok(()) } else { content.read(offset, data).map_err(ImageError::Content) }
}
