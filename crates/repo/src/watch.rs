//! What long work shares with whoever watches it: the failures of single entries, and the wish to stop.
//!
//! Failures are counted without end and kept as text up to a bound, so that a tree in which everything fails costs no memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::backend::{Backend, BackendError, FileKind};
use crate::error::{RepoError, Result};
use crate::id::Id;

/// The most failures that are kept as text; all are counted.
const FAILURES_KEPT: usize = 10_000;

/// An entry that could not be saved or restored as it is. The work goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFailure {
    /// Which entry; of a restore relative to the target.
    pub path: PathBuf,
    /// What happened.
    pub detail: String,
}

/// Failures so far.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    kept: Mutex<Vec<EntryFailure>>,
    count: AtomicU64,
}

impl Failures {
    /// One more.
    pub(crate) fn add(&self, path: &Path, detail: impl ToString) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        if kept.len() < FAILURES_KEPT {
            kept.push(EntryFailure { path: path.to_owned(), detail: detail.to_string() });
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Those since the last call.
    pub(crate) fn take(&self) -> Vec<EntryFailure> {
        std::mem::take(&mut *self.kept.lock())
    }
}

/// The wish that work ends soon. Clones are one wish; it cannot be taken back.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked: AtomicBool,
    gate: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        // Who has looked and does not wait yet holds the gate.
        drop(self.0.gate.lock());
        self.0.changed.notify_all();
    }

    /// Was it asked for?
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// For loops that can end here.
    ///
    /// # Errors
    /// [`RepoError::Stopped`] when it was asked for.
    pub fn check(&self) -> Result<()> {
        if self.is_asked() { Err(RepoError::Stopped) } else { Ok(()) }
    }

    /// Waits.
    ///
    /// # Errors
    /// [`RepoError::Stopped`] as soon as it is asked for.
    pub fn wait(&self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        let mut gate = self.0.gate.lock();
        loop {
            self.check()?;
            if self.0.changed.wait_until(&mut gate, until).timed_out() {
                return self.check();
            }
        }
    }
}

/// A place of which nothing is read any more once a stop was asked for, so that work without a check of its own ends too. What is in memory
/// can still be written: packs get their index, locks go.
pub struct Stoppable {
    place: Arc<dyn Backend>,
    stop: Stop,
}

impl Stoppable {
    /// In front of a place.
    pub fn new(place: Arc<dyn Backend>, stop: Stop) -> Self {
        Self { place, stop }
    }

    fn check(&self, kind: FileKind, id: Id) -> Result<(), BackendError> {
        self.stop.check().map_err(|stopped| BackendError::Io {
            doing: "read",
            object: format!("{kind} {id}"),
            location: self.place.location(),
            source: std::io::Error::new(std::io::ErrorKind::Interrupted, stopped.to_string()),
        })
    }
}

impl Backend for Stoppable {
    fn location(&self) -> String {
        self.place.location()
    }

    fn create(&self) -> Result<(), BackendError> {
        self.place.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, BackendError> {
        self.place.list(kind)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, BackendError> {
        self.check(kind, id)?;
        self.place.read(kind, id)
    }

    fn read_part(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, BackendError> {
        self.check(kind, id)?;
        self.place.read_part(kind, id, offset, len)
    }

    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<(), BackendError> {
        self.check(kind, id)?;
        self.place.read_into(kind, id, into)
    }

    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), BackendError> {
        self.check(kind, id)?;
        self.place.read_part_into(kind, id, offset, len, into)
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<(), BackendError> {
        self.place.write(kind, id, data)
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<(), BackendError> {
        self.place.remove(kind, id)
    }

    fn read_trees(&self, pack: Id, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        self.check(FileKind::Pack, pack)?;
        self.place.read_trees(pack, offset, len)
    }

    fn write_trees(&self, pack: Id, data: &[u8]) -> Result<(), BackendError> {
        self.place.write_trees(pack, data)
    }

    fn copies(&self, kind: FileKind) -> Vec<Id> {
        self.place.copies(kind)
    }

    fn drop_copy(&self, kind: FileKind, id: Id) -> bool {
        self.place.drop_copy(kind, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;

    #[test]
    fn all_failures_count_and_some_are_kept() {
        let failures = Failures::default();
        for _ in 0..FAILURES_KEPT + 5 {
            failures.add(Path::new("a"), "x");
        }
        assert_eq!(failures.take().len(), FAILURES_KEPT);
        assert_eq!((failures.count(), failures.take().len()), (FAILURES_KEPT as u64 + 5, 0));
    }

    #[test]
    fn who_waits_is_woken() {
        let stop = Stop::default();
        assert!(stop.wait(Duration::ZERO).is_ok() && stop.check().is_ok());
        let other = stop.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(3600)));
        stop.ask();
        assert!(matches!(waiting.join().unwrap(), Err(RepoError::Stopped)));
        assert!(matches!(stop.wait(Duration::from_secs(3600)), Err(RepoError::Stopped)));
    }

    #[test]
    fn a_stopped_place_gives_nothing_and_takes_what_there_is() {
        let (place, stop) = (MemoryBackend::new(), Stop::default());
        let stoppable = Stoppable::new(Arc::new(place.clone()), stop.clone());
        let id = Id::of(b"x");
        stoppable.write(FileKind::Lock, id, b"x").unwrap();
        assert_eq!(stoppable.read(FileKind::Lock, id).unwrap(), b"x");
        stop.ask();
        assert!(stoppable.read(FileKind::Lock, id).is_err());
        assert!(stoppable.read_part(FileKind::Lock, id, 0, 1).is_err());
        stoppable.remove(FileKind::Lock, id).unwrap();
        assert_eq!(place.list(FileKind::Lock).unwrap(), []);
    }
}
