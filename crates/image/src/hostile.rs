//! One function for each decoder of this crate: takes any bytes, and panics when the decoder does not hold what it must.
//!
//! What it must: no panic, bounded memory, nothing told behind the disk's end, and what a header says is written and read again as the same.
//! `tests/hostile.rs` calls them with bent real files, `fuzz/` with what a fuzzer finds. Only tests and fuzzers have this module.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io;

use crate::error::{ImageError, Result};
use crate::format::Format;
use crate::sink::{Head, Sink};
use crate::source::{Source, Stream};
use crate::{qcow2, vhd};

/// A file in memory.
struct Bytes<'b>(&'b [u8]);

impl Source for Bytes<'_> {
    fn length(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = into.len().min(self.0.len() - from);
        into[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }
}

/// Checks what a reader tells, and stops it when that is much: small images can name large disks.
#[derive(Default)]
struct Strict {
    size: Option<u64>,
    begun: bool,
    told: u64,
    ended: bool,
}

const TOLD_MAX: u64 = 64 << 20;

impl Strict {
    fn check(&mut self, offset: u64, length: u64) -> io::Result<()> {
        assert!(self.begun && !self.ended);
        let end = offset.checked_add(length).expect("a range without an end");
        if let Some(size) = self.size {
            assert!(end <= size, "{end} lies behind {size}");
        }
        Ok(())
    }
}

impl Sink for Strict {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        assert!(!self.begun);
        (self.begun, self.size) = (true, head.size);
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.told += bytes.len() as u64;
        self.check(offset, bytes.len() as u64)?;
        if self.told > TOLD_MAX { Err(io::Error::other("enough")) } else { Ok(()) }
    }

    fn zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.check(offset, length)
    }

    fn end(&mut self, size: u64) -> io::Result<()> {
        assert!(self.begun && !self.ended);
        assert!(self.size.is_none_or(|told| told == size));
        self.ended = true;
        Ok(())
    }
}

/// Reads an image as a file and as a pipe. A pipe that is read to its end tells as much as the file.
fn both(data: &[u8], format: Option<Format>) {
    let (mut file, mut pipe) = (Strict::default(), Strict::default());
    let from_file = crate::read(&mut Bytes(data), format, &mut file);
    let from_pipe = crate::read(&mut Stream::new(data, None), format, &mut pipe);
    assert_eq!(from_file.is_ok(), file.ended);
    assert_eq!(from_pipe.is_ok(), pipe.ended);
    for error in [from_file.err(), from_pipe.err()].into_iter().flatten() {
        assert!(!error.to_string().is_empty() && !error.remedy().is_empty());
        assert!(!matches!(error, ImageError::Write(_) | ImageError::Content(_)));
    }
    if file.ended && pipe.ended {
        assert_eq!(file.told, pipe.told);
    }
}

/// The bytes with the sums of footer and header made right, so that what lies behind these checks is reached.
fn summed(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for (from, to, at) in [(0, 512, 64), (512, 1536, 36)] {
        if let Some(part) = bytes.get_mut(from..to) {
            let sum = vhd::checksum(part, at).to_be_bytes();
            part[at..at + 4].copy_from_slice(&sum);
        }
    }
    bytes
}

/// A VHD of any kind.
pub fn vhd(data: &[u8]) {
    both(data, Some(Format::Vhd));
    both(&summed(data), Some(Format::Vhd));
    if let Some(bytes) = data.first_chunk::<512>()
        && let Ok(footer) = vhd::Footer::decode(bytes)
    {
        assert_eq!(vhd::Footer::decode(&footer.encode()).unwrap(), footer);
    }
    if let Some(bytes) = data.first_chunk::<{ vhd::HEADER_BYTES }>()
        && let Ok(header) = vhd::Header::decode(bytes, false)
    {
        assert_eq!(vhd::Header::decode(&header.encode(0, &[]), false).unwrap(), header);
    }
}

/// A qcow2.
pub fn qcow2(data: &[u8]) {
    both(data, Some(Format::Qcow2));
    if let Some(bytes) = data.first_chunk::<{ qcow2::HEADER_BYTES }>()
        && let Ok(header) = qcow2::Header::decode(bytes)
        && header.version == 3
        && !header.subclusters
    {
        assert_eq!(qcow2::Header::decode(&header.encode()).unwrap(), header);
    }
}

/// Our own form.
pub fn runs(data: &[u8]) {
    both(data, Some(Format::Runs));
}

/// Whatever it looks like.
pub fn any(data: &[u8]) {
    both(data, None);
}
