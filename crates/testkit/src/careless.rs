//! Planted mistakes: a place that behaves as if the program that uses it did things in a wrong order. Tests of faults must notice each of them,
//! or they prove nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tintype_repo::{Backend, BackendError, FileKind, Id};

/// What is done wrong. All of it comes out right as long as nothing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Packs are written after the index that names them.
    IndexBeforePacks,
    /// Everything is written after the next file was removed.
    RemovalBeforeWrites,
    /// Snapshots are written before what they need.
    SnapshotFirst,
}

/// A place around another one. What it holds back is written when its time has come, and before anything is read.
pub struct Careless<B: Backend> {
    inner: Arc<B>,
    mistake: Mistake,
    held: Mutex<BTreeMap<(FileKind, Id), Vec<u8>>>,
}

impl<B: Backend> Careless<B> {
    /// Makes this mistake.
    pub fn new(inner: Arc<B>, mistake: Mistake) -> Self {
        Self { inner, mistake, held: Mutex::default() }
    }

    fn holds_back(&self, kind: FileKind) -> bool {
        match self.mistake {
            Mistake::IndexBeforePacks => kind == FileKind::Pack,
            Mistake::RemovalBeforeWrites | Mistake::SnapshotFirst => {
                matches!(kind, FileKind::Pack | FileKind::Index)
            }
        }
    }

    /// Writes what was held back.
    fn write_held(&self) -> Result<(), BackendError> {
        let held = std::mem::take(&mut *self.held.lock());
        held.iter().try_for_each(|((kind, id), data)| self.inner.write(*kind, *id, data))
    }
}

impl<B: Backend> std::fmt::Debug for Careless<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.mistake, self.inner.location())
    }
}

impl<B: Backend> Backend for Careless<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<(), BackendError> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, BackendError> {
        if self.holds_back(kind) {
            self.write_held()?;
        }
        self.inner.list(kind)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, BackendError> {
        if self.holds_back(kind) {
            self.write_held()?;
        }
        self.inner.read(kind, id)
    }

    fn read_part(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, BackendError> {
        if self.holds_back(kind) {
            self.write_held()?;
        }
        self.inner.read_part(kind, id, offset, len)
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<(), BackendError> {
        if self.holds_back(kind) {
            self.held.lock().insert((kind, id), data.to_vec());
            return Ok(());
        }
        self.inner.write(kind, id, data)?;
        // Locks are written whenever their time comes.
        if kind == FileKind::Lock { Ok(()) } else { self.write_held() }
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<(), BackendError> {
        self.inner.remove(kind, id)?;
        if kind == FileKind::Lock { Ok(()) } else { self.write_held() }
    }
}
