//! How far the engine's tables reach, asked before the engine is opened.
//!
//! Batches go to the tables in order and whole, so the newest link in them says that they hold everything up to its number.
//! Journals may then end earlier, or miss some of these batches, without a loss. The question is asked only when the journals
//! leave one open: a table is read for it.
//!
//! It writes nothing. Opening a tree removes the files that no version of it names, which the engine does at each opening.
//! Safe because the pointer files were checked before (see `pointers`), and every block that is read has a checksum.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use lsm_tree::{AbstractTree, Config, SequenceNumberCounter};

use super::link::{LINK_KEY, Link, StoreId};
use super::pointers::TREES;
use super::sound::damage;

/// The tree of the records.
const RECORDS: &str = "1";

/// The last batch in the tables; found out at the first question.
pub(super) struct Tables {
    tree: PathBuf,
    store: StoreId,
    last: Option<u64>,
}

impl Tables {
    /// For a store whose engine is not open.
    pub(super) fn of(dir: &Path, store: StoreId) -> Self {
        Self { tree: dir.join(TREES).join(RECORDS), store, last: None }
    }

    /// Whether the tables hold the batch of this number, and so all before it.
    pub(super) fn hold(&mut self, number: u64) -> io::Result<bool> {
        let last = match self.last {
            Some(last) => last,
            None => *self.last.insert(last_batch(&self.tree, &self.store)?),
        };
        Ok(number <= last)
    }

    /// Tables whose last batch is known.
    #[cfg(test)]
    pub(super) fn known(last: u64) -> Self {
        Self { tree: PathBuf::new(), store: [0; 16], last: Some(last) }
    }
}

/// The number in the newest link of a tree; 0 without one. The engine asserts where it should complain about damage.
fn last_batch(tree: &Path, store: &StoreId) -> io::Result<u64> {
    let bad = |what: &str| damage(tree, &format!("(in {TREES}) cannot be read: {what}"));
    match catch_unwind(AssertUnwindSafe(|| newest_link(tree, store))) {
        Ok(Ok(link)) => Ok(link.map_or(0, |link| link.number)),
        Ok(Err(lsm_tree::Error::Io(source))) => Err(source),
        Ok(Err(other)) => Err(bad(&other.to_string())),
        Err(_) => Err(bad("the engine stopped while reading it")),
    }
}

fn newest_link(tree: &Path, store: &StoreId) -> lsm_tree::Result<Option<Link>> {
    let (next, visible) = <(SequenceNumberCounter, SequenceNumberCounter)>::default();
    let tree = Config::new(tree, next, visible).open()?;
    let Some(sequence) = tree.get_highest_persisted_seqno() else { return Ok(None) };
    let value = tree.get(LINK_KEY, sequence.saturating_add(1))?;
    Ok(value.and_then(|value| Link::decode(&value, store)))
}
