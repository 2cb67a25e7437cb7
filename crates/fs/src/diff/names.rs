//! Names that came, went or moved, of one inode.
//!
//! A name that went and a name that came of the same object are one renaming; with several of each,
//! they are paired in the order of their paths.

use super::side::Found;
use super::{Change, Diff, DiffEntry, object, same_object};
use crate::error::Result;

impl Diff {
    /// Compares the names of an inode.
    pub(super) fn names(
        &mut self,
        ino: u64,
        old: Option<&Found>,
        new: Option<&Found>,
    ) -> Result<()> {
        let same = matches!((old, new), (Some(a), Some(b)) if same_object(&a.0, &b.0));
        let mut lost = match old {
            Some(found) => self.a.names_of(ino, &found.0)?,
            None => Vec::new(),
        };
        let mut got = match new {
            Some(found) => self.b.names_of(ino, &found.0)?,
            None => Vec::new(),
        };
        if same && lost == got {
            return Ok(());
        }
        if same {
            let (before, now) = (lost.clone(), got.clone());
            lost.retain(|name| !now.contains(name));
            got.retain(|name| !before.contains(name));
        }
        let lost = self.a.paths_at(lost)?;
        let got = self.b.paths_at(got)?;
        let pairs = if same { lost.len().min(got.len()) } else { 0 };
        for (at, path) in got.into_iter().enumerate() {
            let before = lost.get(at).filter(|_| at < pairs).cloned();
            let change = if before.is_some() { Change::Renamed } else { Change::Added };
            self.tell(path, new, change, before);
        }
        for path in lost.into_iter().skip(pairs) {
            self.tell(path, old, Change::Deleted, None);
        }
        Ok(())
    }

    fn tell(
        &mut self,
        path: Vec<u8>,
        found: Option<&Found>,
        change: Change,
        old_path: Option<Vec<u8>>,
    ) {
        let Some((inode, _)) = found else { return };
        let whole = self.ranges && change == Change::Added && inode.is_file() && inode.size > 0;
        self.found.push(DiffEntry {
            path,
            change,
            old_path,
            object: object(inode),
            size: inode.size,
            ranges: if whole { vec![(0, inode.size)] } else { Vec::new() },
        });
    }
}
