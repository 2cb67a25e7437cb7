//! A repository in memory, for tests: it can fail on request and be copied as it is at any moment.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Backend, BackendError, FileKind, Result};
use crate::id::Id;

/// What the next changes meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// After this many more changes every further one fails and leaves no trace: the process was killed, or the disk is full.
    FailAfter(u64),
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<(FileKind, Id), Arc<[u8]>>,
    trouble: Trouble,
    changes: u64,
}

/// Files in memory. Clones share them; [`MemoryBackend::copy`] does not.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend(Arc<Mutex<State>>);

impl MemoryBackend {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy without trouble.
    pub fn copy(&self) -> Self {
        let mut state = self.0.lock().clone();
        state.trouble = Trouble::None;
        Self(Arc::new(Mutex::new(state)))
    }

    /// Sets what the next changes meet.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.0.lock().trouble = trouble;
    }

    /// Number of changes that succeeded so far.
    pub fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// Puts any bytes at a name, to play damage.
    pub fn tamper(&self, kind: FileKind, id: Id, data: Option<Vec<u8>>) {
        let mut state = self.0.lock();
        match data {
            Some(data) => state.files.insert(name(kind, id), data.into()),
            None => state.files.remove(&name(kind, id)),
        };
    }

    fn found(&self, kind: FileKind, id: Id) -> Result<Arc<[u8]>> {
        let found = self.0.lock().files.get(&name(kind, id)).map(Arc::clone);
        found.ok_or_else(|| BackendError::NotFound { kind, id, location: self.location() })
    }

    /// Counts one change, or refuses it.
    fn change(
        &self,
        doing: &'static str,
        kind: FileKind,
        id: Id,
        with: impl FnOnce(&mut State),
    ) -> Result<()> {
        let mut state = self.0.lock();
        if let Trouble::FailAfter(left) = &mut state.trouble {
            let Some(less) = left.checked_sub(1) else {
                let source = io::Error::from(io::ErrorKind::StorageFull);
                return Err(BackendError::Io {
                    doing,
                    object: format!("{kind} {id}"),
                    location: self.location(),
                    source,
                });
            };
            *left = less;
        }
        state.changes += 1;
        with(&mut state);
        Ok(())
    }
}

/// There is one config: its id is not used.
fn name(kind: FileKind, id: Id) -> (FileKind, Id) {
    (kind, if kind == FileKind::Config { Id::default() } else { id })
}

impl Backend for MemoryBackend {
    fn location(&self) -> String {
        "memory:".to_owned()
    }

    fn create(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        let state = self.0.lock();
        let of_kind = state.files.iter().filter(|((of, _), _)| *of == kind);
        Ok(of_kind.map(|((_, id), data)| (*id, data.len() as u64)).collect())
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        Ok(self.found(kind, id)?.to_vec())
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let data = self.found(kind, id)?;
        let part =
            usize::try_from(offset).ok().and_then(|from| data.get(from..from.checked_add(len)?));
        part.map(<[u8]>::to_vec).ok_or_else(|| BackendError::Short {
            kind,
            id,
            location: self.location(),
        })
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.change("write", kind, id, |state| {
            state.files.insert(name(kind, id), data.into());
        })
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        self.change("remove", kind, id, |state| {
            state.files.remove(&name(kind, id));
        })
    }
}
