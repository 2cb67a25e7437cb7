//! Bytes on their way through a task: counted for its progress, and ended when somebody wants it to end.

use std::io::{self, Read, Write};

use tintype_app::{Progress, Stop, TaskRun};
use tintype_image::Output;

/// A reader or a writer.
pub struct Watched<T> {
    inner: T,
    stop: Stop,
    progress: Progress,
}

impl<T> Watched<T> {
    /// Of this task.
    pub fn new(inner: T, run: &TaskRun) -> Self {
        Self::with(inner, run.stop().clone(), run.progress().clone())
    }

    /// Of the task with these.
    pub const fn with(inner: T, stop: Stop, progress: Progress) -> Self {
        Self { inner, stop, progress }
    }

    fn pass(&self, bytes: u64) -> io::Result<()> {
        self.progress.step(bytes);
        if self.stop.is_asked() {
            return Err(io::Error::other("its task was cancelled"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.pass(count as u64).map(|()| count)
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.pass(count as u64).map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Output> Output for Watched<W> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.inner.skip(bytes)?;
        self.pass(bytes)
    }
}
