//! Names that came, went or moved.
//!
//! A name that went and a name that came of the same object are one renaming; with several of each,
//! they are paired in the order of their paths.

use super::side::Found;
use super::{CHUNK, Change, Diff, DiffEntry, object, same_object};
use crate::dirent::Dirent;
use crate::error::Result;
use crate::keys;
use std::collections::BTreeMap;
use tintype_store::Key;

/// A name in a directory, and what it stands for.
struct Name {
    path: Vec<u8>,
    found: Found,
}

/// The names that one inode lost and got.
#[derive(Default)]
struct Moves {
    lost: Vec<Name>,
    got: Vec<Name>,
}

impl Diff {
    /// Compares the touched records of names.
    pub(super) fn names(&mut self, touched: &[Key]) -> Result<()> {
        let mut moves: BTreeMap<u64, Moves> = BTreeMap::new();
        for chunk in touched.chunks(CHUNK) {
            self.a.prefetch(chunk)?;
            self.b.prefetch(chunk)?;
            for key in chunk {
                self.compare(*key, &mut moves)?;
            }
        }
        for (_, all) in moves {
            self.settle(all);
        }
        Ok(())
    }

    fn compare(&mut self, key: Key, moves: &mut BTreeMap<u64, Moves>) -> Result<()> {
        let (old, new) = (self.a.names(key)?, self.b.names(key)?);
        for entry in &old {
            if !self.stays(entry, &new)?
                && let Some(found) = self.a.inode(entry.ino)?
                && let Some(path) = self.a.path(key.a, &entry.name)?
            {
                moves.entry(entry.ino).or_default().lost.push(Name { path, found });
            }
        }
        for entry in &new {
            if !self.stays(entry, &old)?
                && let Some(found) = self.b.inode(entry.ino)?
                && let Some(path) = self.b.path(key.a, &entry.name)?
            {
                moves.entry(entry.ino).or_default().got.push(Name { path, found });
            }
        }
        Ok(())
    }

    /// Whether the other moment has the same name for the same object.
    fn stays(&mut self, entry: &Dirent, other: &[Dirent]) -> Result<bool> {
        if !other.iter().any(|o| o.name == entry.name && o.ino == entry.ino) {
            return Ok(false);
        }
        let both = (self.a.record(keys::inode(entry.ino))?, self.b.record(keys::inode(entry.ino))?);
        if let (Some(a), Some(b)) = &both
            && a.birth == b.birth
        {
            return Ok(true);
        }
        match (self.a.inode(entry.ino)?, self.b.inode(entry.ino)?) {
            (Some(a), Some(b)) => Ok(same_object(&a.0, &b.0)),
            _ => Ok(false),
        }
    }

    fn settle(&mut self, mut all: Moves) {
        all.lost.sort_by(|x, y| x.path.cmp(&y.path));
        all.got.sort_by(|x, y| x.path.cmp(&y.path));
        let one = match (all.lost.first(), all.got.first()) {
            (Some(old), Some(new)) => same_object(&old.found.0, &new.found.0),
            _ => false,
        };
        let pairs = if one { all.lost.len().min(all.got.len()) } else { 0 };
        let later_lost = all.lost.split_off(pairs);
        let later_got = all.got.split_off(pairs);
        for (old, new) in all.lost.into_iter().zip(all.got) {
            self.tell(new, Change::Renamed, Some(old.path));
        }
        for name in later_lost {
            self.tell(name, Change::Deleted, None);
        }
        for name in later_got {
            self.tell(name, Change::Added, None);
        }
    }

    fn tell(&mut self, name: Name, change: Change, old_path: Option<Vec<u8>>) {
        let inode = &name.found.0;
        let whole = self.ranges && change == Change::Added && inode.is_file() && inode.size > 0;
        if change == Change::Added {
            self.added.insert(name.path.clone());
        }
        self.found.push(DiffEntry {
            path: name.path,
            change,
            old_path,
            object: object(inode),
            size: inode.size,
            ranges: if whole { vec![(0, inode.size)] } else { Vec::new() },
        });
    }
}
