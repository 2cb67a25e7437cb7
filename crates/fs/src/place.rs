//! Where a node lies: in a writable tree or in a snapshot that is only read.

use crate::error::{Result, refuse};
use crate::nodes::pack;
use crate::reading;
use crate::tree::Tree;
use crate::vfs::Node;
use std::sync::Arc;
use tintype_model::SnapshotId;
use tintype_store::{LineRef, Moment, MomentRef, Store, View};

/// A read-only moment under a slot.
pub(crate) struct Frozen {
    /// Its slot in node numbers.
    pub(crate) slot: u32,
    id: SnapshotId,
    seed: u64,
    view: View,
}

impl Frozen {
    /// Opens a snapshot's moment.
    pub(crate) fn open(store: &Store, snapshot: SnapshotId, slot: u32) -> Result<Self> {
        let mut view = store.view(snapshot)?;
        match reading::superblock(&mut view)? {
            Some(sup) => Ok(Self { slot, id: snapshot, seed: sup.seed, view }),
            None => refuse(libc::ENOENT),
        }
    }
}

/// A writable tree or a read-only moment.
#[derive(Clone)]
pub(crate) enum Place {
    /// The live filesystem or a writable snapshot.
    Live(Arc<Tree>),
    /// A read-only snapshot.
    Frozen(Arc<Frozen>),
}

impl Place {
    /// Reads under the tree's lock (a snapshot needs none); `f` also gets the key of name hashes.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut dyn Moment, u64) -> Result<T>) -> Result<T> {
        match self {
            Self::Live(tree) => {
                let mut state = tree.state.lock();
                let seed = state.sup.seed;
                f(&mut state.line, seed)
            }
            Self::Frozen(frozen) => f(&mut frozen.view.clone(), frozen.seed),
        }
    }

    /// The slot in node numbers.
    pub(crate) fn slot(&self) -> u32 {
        match self {
            Self::Live(tree) => tree.slot,
            Self::Frozen(frozen) => frozen.slot,
        }
    }

    /// The node of an inode here.
    pub(crate) fn node(&self, ino: u64) -> Node {
        pack(self.slot(), ino)
    }

    /// Which moment of the store it is.
    pub(crate) fn moment(&self) -> MomentRef {
        match self {
            Self::Live(tree) => match tree.line {
                LineRef::Volume(id) => MomentRef::Live(id),
                LineRef::Snapshot(id) => MomentRef::Snapshot(id),
            },
            Self::Frozen(frozen) => MomentRef::Snapshot(frozen.id),
        }
    }

    /// The tree to change, or `EROFS`.
    pub(crate) fn writable(&self) -> Result<&Arc<Tree>> {
        match self {
            Self::Live(tree) => Ok(tree),
            Self::Frozen(_) => refuse(libc::EROFS),
        }
    }
}
