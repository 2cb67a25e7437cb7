//! A place far away with copies of some of its files near by: snapshots, index files, and packs that hold trees.
//!
//! Reading goes to the copies first, writing goes to the place and leaves a copy, and a listing of the place makes copies go whose files are gone.
//! A copy is never believed: whole files are held against the hash that is their name, and of packs, which are read in parts, those who read
//! check each blob and say so by [`Backend::drop_copy`]. Whatever fails in the folder of copies costs speed and nothing else. Commands that
//! judge a place must not be given one of these.

mod folder;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::{Condvar, Mutex};

use super::{Backend, BackendError, FileKind, Result};
use crate::id::Id;
use folder::Folder;

/// A place with copies of some of its files in a folder.
pub struct Cached {
    place: Arc<dyn Backend>,
    folder: Folder,
    /// A copy could not be written, as when the disk is full. From then on there are no new ones.
    full: AtomicBool,
    packs: Packs,
}

/// Which packs are on their way, so that threads that want the same one wait for one transfer.
#[derive(Default)]
struct Packs {
    state: Mutex<PacksState>,
    changed: Condvar,
}

#[derive(Default)]
struct PacksState {
    coming: HashSet<Id>,
    /// Those whose content does not fit their name: no copy of them is kept.
    unfit: HashSet<Id>,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Cached {
    /// Keeps copies of what lies at `place` below `base`, in a folder that is named after the repository: the layout is restic's, both programs
    /// can use one `base`. The folders are made where they are missing.
    ///
    /// # Errors
    ///
    /// Whatever the local disk says to that.
    pub fn new(place: Arc<dyn Backend>, base: &Path, repository: Id) -> std::io::Result<Self> {
        let folder = Folder::open(base, repository)?;
        Ok(Self { place, folder, full: false.into(), packs: Packs::default() })
    }

    /// Removes the copies below `base` of repositories that no program has used since `before`, by name; all but those of `keep`.
    ///
    /// # Errors
    ///
    /// `base` cannot be listed, or what is to go cannot be removed.
    pub fn remove_unused(base: &Path, keep: Id, before: SystemTime) -> std::io::Result<Vec<Id>> {
        folder::remove_unused(base, keep, before)
    }

    /// Leaves a copy, unless an earlier one found no room.
    fn keep(&self, kind: FileKind, id: Id, data: &[u8]) {
        if !self.full.load(Ordering::Relaxed) && self.folder.put(kind, id, data).is_err() {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    /// A part of a pack, of which there is a copy afterwards.
    fn read_through(&self, pack: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let whole = self.place.read(FileKind::Pack, pack)?;
        if Id::of(&whole) == pack {
            self.keep(FileKind::Pack, pack, &whole);
        } else {
            self.packs.state.lock().unfit.insert(pack);
        }
        let from = usize::try_from(offset).ok();
        let part = from.and_then(|from| whole.get(from..from.checked_add(len)?));
        let short =
            || BackendError::Short { kind: FileKind::Pack, id: pack, location: self.location() };
        part.map(<[u8]>::to_vec).ok_or_else(short)
    }
}

fn has_copies(kind: FileKind) -> bool {
    matches!(kind, FileKind::Snapshot | FileKind::Index)
}

/// The right to fetch a pack; the next may when this ends.
struct Turn<'a> {
    packs: &'a Packs,
    pack: Id,
}

impl Packs {
    fn turn(&self, pack: Id) -> Turn<'_> {
        let mut state = self.state.lock();
        while !state.coming.insert(pack) {
            self.changed.wait(&mut state);
        }
        Turn { packs: self, pack }
    }

    fn is_unfit(&self, pack: Id) -> bool {
        self.state.lock().unfit.contains(&pack)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.packs.state.lock().coming.remove(&self.pack);
        self.packs.changed.notify_all();
    }
}

impl Backend for Cached {
    fn location(&self) -> String {
        self.place.location()
    }

    fn create(&self) -> Result<()> {
        self.place.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        let found = self.place.list(kind)?;
        if has_copies(kind) || kind == FileKind::Pack {
            let there: HashSet<Id> = found.iter().map(|(id, _)| *id).collect();
            let gone = self.folder.ids(kind).into_iter().filter(|id| !there.contains(id));
            gone.for_each(|id| self.folder.remove(kind, id));
        }
        Ok(found)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        if !has_copies(kind) {
            return self.place.read(kind, id);
        }
        if let Some(copy) = self.folder.whole(kind, id) {
            if Id::of(&copy) == id {
                return Ok(copy);
            }
            self.folder.remove(kind, id);
        }
        let data = self.place.read(kind, id)?;
        if Id::of(&data) == id {
            self.keep(kind, id, &data);
        }
        Ok(data)
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.place.read_part(kind, id, offset, len)
    }

    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<()> {
        if !has_copies(kind) {
            return self.place.read_into(kind, id, into);
        }
        *into = self.read(kind, id)?;
        Ok(())
    }

    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        self.place.read_part_into(kind, id, offset, len, into)
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.place.write(kind, id, data)?;
        if has_copies(kind) {
            self.keep(kind, id, data);
        }
        Ok(())
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        if has_copies(kind) || kind == FileKind::Pack {
            self.folder.remove(kind, id);
        }
        self.place.remove(kind, id)
    }

    fn read_trees(&self, pack: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        if let Some(part) = self.folder.part(FileKind::Pack, pack, offset, len) {
            return Ok(part);
        }
        let _turn = self.packs.turn(pack);
        // It may have come while we waited.
        if let Some(part) = self.folder.part(FileKind::Pack, pack, offset, len) {
            return Ok(part);
        }
        if self.full.load(Ordering::Relaxed) || self.packs.is_unfit(pack) {
            return self.place.read_part(FileKind::Pack, pack, offset, len);
        }
        self.folder.remove(FileKind::Pack, pack);
        self.read_through(pack, offset, len)
    }

    fn write_trees(&self, pack: Id, data: &[u8]) -> Result<()> {
        self.place.write(FileKind::Pack, pack, data)?;
        self.keep(FileKind::Pack, pack, data);
        Ok(())
    }

    fn copies(&self, kind: FileKind) -> Vec<Id> {
        self.folder.ids(kind)
    }

    fn drop_copy(&self, kind: FileKind, id: Id) -> bool {
        let there = self.folder.has(kind, id);
        self.folder.remove(kind, id);
        there
    }
}
