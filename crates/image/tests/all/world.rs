//! Disks in memory, and a sink that takes what a reader tells.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use tintype_image::{Content, Format, Head, ImageError, Sink, Source};
use tintype_testkit::Rng;

/// A disk: its bytes, and which ranges are said to hold data.
#[derive(Clone, Debug)]
pub struct Disk {
    pub bytes: Vec<u8>,
    pub ranges: Vec<Range<u64>>,
}

impl Disk {
    /// A disk of `size` bytes with random ranges of random data, in units of 4 KiB.
    pub fn random(rng: &mut Rng, size: u64, ranges: u64) -> Self {
        let mut disk = Self { bytes: vec![0; size as usize], ranges: Vec::new() };
        for _ in 0..ranges {
            disk.scribble(rng);
        }
        disk
    }

    /// Writes some range; answers which.
    pub fn scribble(&mut self, rng: &mut Rng) -> Range<u64> {
        let size = self.bytes.len() as u64;
        let start = rng.below(size) / 4096 * 4096;
        let longest = if rng.once_in(4) { 3 << 20 } else { 64 << 10 };
        let end = (start + 4096 * (1 + rng.below(longest / 4096))).min(size);
        let length = (end - start) as usize;
        let data = match rng.below(3) {
            0 => vec![rng.number() as u8; length],
            1 => rng.bytes(length),
            _ => (0..length).map(|at| (at / 300) as u8).collect(),
        };
        self.bytes[start as usize..end as usize].copy_from_slice(&data);
        self.ranges = united(&self.ranges, start..end);
        start..end
    }
}

/// The list with one more range, sorted, overlaps joined.
pub fn united(list: &[Range<u64>], new: Range<u64>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = list.iter().cloned().chain([new]).collect();
    all.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in all {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl Content for Disk {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let next = self.ranges.iter().find(|range| range.end > from);
        Ok(next.map(|range| range.start.max(from)..range.end))
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(&self.bytes[offset as usize..][..into.len()]);
        Ok(())
    }
}

/// Takes an image into memory, upon what is there.
#[derive(Debug, Default)]
pub struct Taken {
    pub head: Option<Head>,
    pub bytes: Vec<u8>,
    pub size: Option<u64>,
    /// Bytes that were told.
    pub told: u64,
}

impl Taken {
    fn room(&mut self, offset: u64, length: u64) -> &mut [u8] {
        let end = (offset + length) as usize;
        if let Some(size) = self.head.as_ref().unwrap().size {
            assert!(end as u64 <= size, "{end} lies behind {size}");
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[offset as usize..end]
    }
}

impl Sink for Taken {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        assert!(self.head.is_none());
        self.head = Some(head.clone());
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.told += bytes.len() as u64;
        self.room(offset, bytes.len() as u64).copy_from_slice(bytes);
        Ok(())
    }

    fn zeroes(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.room(offset, length).fill(0);
        Ok(())
    }

    fn end(&mut self, size: u64) -> io::Result<()> {
        assert!(self.size.is_none());
        self.size = Some(size);
        self.bytes.resize(size as usize, 0);
        Ok(())
    }
}

/// Reads an image.
pub fn take(source: &mut dyn Source, asked: Option<Format>) -> Result<Taken, ImageError> {
    let mut taken = Taken::default();
    tintype_image::read(source, asked, &mut taken)?;
    assert!(taken.size.is_some());
    Ok(taken)
}

/// Reads a file, also through a pipe.
pub fn take_file(path: &Path, asked: Option<Format>) -> Taken {
    let file = std::fs::File::open(path).unwrap();
    let mut source = tintype_image::FileSource::new(file).unwrap().unwrap();
    take(&mut source, asked).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a program, which must succeed; what it says.
pub fn run(program: &str, args: &[&str]) -> String {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The bytes of a disk as `qemu-img` reads them.
pub fn qemu_reads(path: &Path, format: &str) -> Vec<u8> {
    let out = path.with_extension("qemu-raw");
    run(
        "qemu-img",
        &["convert", "-f", format, "-O", "raw", path.to_str().unwrap(), out.to_str().unwrap()],
    );
    let bytes = std::fs::read(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    bytes
}

/// Compares without printing everything.
pub fn assert_same(a: &[u8], b: &[u8], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    if a == b {
        return;
    }
    if let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) {
        panic!("{what}: byte {at} is {} and {}", a[at], b[at]);
    }
}
