//! Directories whose entries arrive in any order from several threads; whoever brings the last one writes the tree.
//!
//! Each directory knows how many entries are still to come and where it stands itself. Finishing one may finish those above it; that is a
//! loop, so depth costs no stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::state::{Change, Run};
use crate::error::{RepoError, Result};
use crate::id::BlobId;
use crate::pack::BlobKind;
use crate::tree::{Node, TreeEncoder};
use crate::writer::Scratch;

/// A directory whose tree is being made.
pub(super) struct Assembly {
    entries: Mutex<Vec<Node>>,
    /// Entries to come, and one for the walker while it still adds some.
    pending: AtomicUsize,
    /// Taken when the tree is written.
    place: Mutex<Option<Place>>,
    given_up: AtomicBool,
}

/// Where a directory stands.
struct Place {
    /// Its own node, and the directory that it is in; none for the root.
    within: Option<(Node, Arc<Assembly>)>,
    /// Its tree in the parent snapshots.
    before: Vec<BlobId>,
}

impl Assembly {
    /// The root.
    pub(super) fn root(before: Vec<BlobId>) -> Arc<Self> {
        Self::new(Place { within: None, before })
    }

    /// A directory with this node in `above`, which waits for it.
    pub(super) fn below(above: &Arc<Self>, node: Node, before: Vec<BlobId>) -> Arc<Self> {
        above.expect_one();
        Self::new(Place { within: Some((node, Arc::clone(above))), before })
    }

    fn new(place: Place) -> Arc<Self> {
        let place = Mutex::new(Some(place));
        let (entries, pending) = (Mutex::default(), AtomicUsize::new(1));
        Arc::new(Self { entries, pending, place, given_up: AtomicBool::new(false) })
    }

    /// One more entry is to come.
    pub(super) fn expect_one(&self) {
        self.pending.fetch_add(1, Ordering::SeqCst);
    }

    /// Adds an entry that nobody waits for.
    pub(super) fn push(&self, node: Node) {
        self.entries.lock().push(node);
    }

    /// The directory cannot be saved or is not wanted: no tree is written, and the one above gets no entry.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// An entry has come, or will not come (`None`), or the walker has seen all.
    ///
    /// # Errors
    /// A tree could not be stored.
    pub(super) fn arrived(
        self: &Arc<Self>,
        node: Option<Node>,
        run: &Run,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (mut at, mut node) = (Arc::clone(self), node);
        loop {
            if let Some(node) = node.take() {
                at.push(node);
            }
            if at.pending.fetch_sub(1, Ordering::SeqCst) > 1 {
                return Ok(());
            }
            let Some(place) = at.place.lock().take() else { return Ok(()) };
            let given_up = at.given_up.load(Ordering::SeqCst);
            let tree = if given_up { None } else { Some(at.write(&place, run, scratch)?) };
            match place.within {
                Some((own, above)) => {
                    node = tree.map(|tree| Node { subtree: Some(tree), ..own });
                    at = above;
                }
                None => {
                    *run.root.lock() = tree;
                    return Ok(());
                }
            }
        }
    }

    /// Stores the tree of all entries.
    fn write(&self, place: &Place, run: &Run, scratch: &mut Scratch) -> Result<BlobId> {
        let mut entries = std::mem::take(&mut *self.entries.lock());
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut tree = TreeEncoder::new();
        for node in &entries {
            let wrong = |source| RepoError::Tree { id: BlobId::default(), source };
            tree.push(node).map_err(wrong)?;
        }
        let bytes = tree.finish();
        let id = BlobId::of(&bytes);
        run.writer.add(scratch, BlobKind::Tree, id, &bytes)?;
        if place.within.is_some() {
            run.progress
                .dir(Change::of(!place.before.is_empty(), place.before.contains(&id)), bytes.len());
        }
        Ok(id)
    }
}
