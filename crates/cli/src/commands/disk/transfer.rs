//! What imports and exports share: how far they are, and the wish to stop.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tintype_image::Source;
use tintype_model::ByteSize;

use crate::commands::repo::interrupt;
use crate::commands::repo::progress::Watched;

/// Bytes that have passed, of how many.
#[derive(Debug, Default)]
pub struct Passed {
    done: AtomicU64,
    /// 0: not known.
    total: AtomicU64,
}

impl Passed {
    /// How many there will be.
    pub fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// More have passed; fails when somebody wants the work to stop.
    pub fn add(&self, bytes: usize) -> io::Result<()> {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
        interrupt::stop().check().map_err(io::Error::other)
    }

    /// How far a file has been read or written.
    pub fn reach(&self, at: u64) -> io::Result<()> {
        self.done.fetch_max(at, Ordering::Relaxed);
        self.add(0)
    }

    /// Bytes so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Shows it.
pub struct Watch(pub Arc<Passed>);

impl Watched for Watch {
    fn line(&self, seconds: f64) -> String {
        let (done, total) = (self.0.done(), self.0.total.load(Ordering::Relaxed));
        let rate = done as f64 / seconds.max(0.001);
        let rate_text = ByteSize(rate as u64);
        if total == 0 {
            return format!("{} at {rate_text}/s", ByteSize(done));
        }
        let share = done.saturating_mul(100) / total;
        let left = total.saturating_sub(done) as f64 / rate.max(1.0);
        format!("{share} % of {}, {rate_text}/s, {left:.0} s left", ByteSize(total))
    }

    fn event(&self) -> Value {
        json!({ "bytes": self.0.done(), "total_bytes": self.0.total.load(Ordering::Relaxed) })
    }

    fn failures(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// A reader or writer whose bytes are counted.
pub struct Counted<T> {
    pub inner: T,
    pub passed: Arc<Passed>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.passed.add(read)?;
        Ok(read)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.passed.add(written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// An image's file of which is told how far it has been read.
impl<S: Source> Source for Counted<S> {
    fn length(&self) -> Option<u64> {
        self.inner.length()
    }

    fn is_seekable(&self) -> bool {
        self.inner.is_seekable()
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> tintype_image::Result<usize> {
        let read = self.inner.read_at(offset, into)?;
        let reached = self.passed.reach(offset + read as u64);
        reached.map_err(tintype_image::ImageError::Read)?;
        Ok(read)
    }

    fn keep_last(&mut self, bytes: usize) {
        self.inner.keep_last(bytes);
    }

    fn next_data(&mut self, from: u64) -> tintype_image::Result<Option<Range<u64>>> {
        self.inner.next_data(from)
    }
}
