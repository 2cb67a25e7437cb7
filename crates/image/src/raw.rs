//! Raw images: the bytes of the disk. A pipe does not say how many will come.

use crate::PIECE;
use crate::content::{Content, next_data, read_padded};
use crate::error::{ImageError, Result};
use crate::format::Format;
use crate::output::Output;
use crate::sink::{Head, Sink};
use crate::source::{Source, read_exact};
use crate::vhd;

/// Sizes of disks are multiples of it.
const SECTOR: u64 = 512;

/// Reads a raw image; the last sector is filled up with zeroes. With `probed`, the end of a pipe may turn out to be that of a fixed VHD.
pub fn read(source: &mut dyn Source, probed: bool, sink: &mut dyn Sink) -> Result<()> {
    let length = source.length();
    let size = length.map(|length| length.next_multiple_of(SECTOR));
    let known = if probed && !source.is_seekable() { None } else { size };
    let head = Head { format: Format::Raw, size: known, uuid: None, parent: None };
    sink.begin(&head).map_err(ImageError::Sink)?;
    let size = match length.filter(|_| source.is_seekable()) {
        Some(length) => copy(source, length, sink)?,
        None => {
            let (bytes, footer) = stream(source, sink)?;
            if let Some(length) = length.filter(|length| bytes + footer.len() as u64 != *length) {
                return Err(cut_off(bytes, length));
            }
            let fixed = probed.then(|| vhd::fixed_size(&footer)).flatten();
            match fixed.filter(|size| *size == bytes) {
                Some(size) => size,
                None => {
                    sink.data(bytes, &footer).map_err(ImageError::Sink)?;
                    (bytes + footer.len() as u64).next_multiple_of(SECTOR)
                }
            }
        }
    };
    sink.end(size).map_err(ImageError::Sink)
}

const fn cut_off(bytes: u64, _of: u64) -> ImageError {
    ImageError::CutOff { part: "the disk", at: bytes }
}

/// Tells the first `length` bytes of a file, but for its holes.
pub fn copy(source: &mut dyn Source, length: u64, sink: &mut dyn Sink) -> Result<u64> {
    let mut buf = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let Some(range) = source.next_data(at)? else { break };
        at = range.start.max(at);
        let end = range.end.min(length);
        while at < end {
            // Pieces end where whole pieces end, so that they fit the disk's units.
            let count = (PIECE as u64 - at % PIECE as u64).min(end - at);
            let part = buf.get_mut(..count as usize).unwrap_or(&mut []);
            read_exact(source, at, part, "the disk")?;
            sink.data(at, part).map_err(ImageError::Sink)?;
            at += count;
        }
    }
    Ok(length.next_multiple_of(SECTOR))
}

/// Tells all that a pipe brings but for its last 512 bytes, which it answers, with how many bytes came before them.
pub fn stream(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<(u64, Vec<u8>)> {
    const TAIL: usize = 512;
    let mut buf = vec![0; PIECE + TAIL];
    let (mut at, mut held) = (0_u64, 0);
    loop {
        let read = source.read_at(at + held as u64, buf.get_mut(held..).unwrap_or(&mut []))?;
        let there = held + read;
        let tell = if read == 0 { 0 } else { there.saturating_sub(TAIL) };
        // Whole sectors, so that the tail is the last one.
        let (tell, rest) = buf.split_at(tell.min(PIECE));
        sink.data(at, tell).map_err(ImageError::Sink)?;
        held = there - tell.len();
        if read == 0 {
            return Ok((at, rest.get(..held).unwrap_or(&[]).to_vec()));
        }
        at += tell.len() as u64;
        let from = tell.len();
        buf.copy_within(from..from + held, 0);
    }
}

/// Writes the bytes of the disk; holes stay holes where the output can have them.
///
/// # Errors
/// The content cannot be read, or not be written.
pub fn write_raw(content: &dyn Content, out: &mut dyn Output) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut at = 0;
    while at < content.size() {
        let range = next_data(content, at)?.unwrap_or(content.size()..content.size());
        out.skip(range.start - at).map_err(ImageError::Write)?;
        at = range.start;
        while at < range.end {
            let count = (range.end - at).min(PIECE as u64);
            let part = buf.get_mut(..count as usize).unwrap_or(&mut []);
            read_padded(content, at, part)?;
            out.write_all(part).map_err(ImageError::Write)?;
            at += count;
        }
    }
    Ok(())
}
