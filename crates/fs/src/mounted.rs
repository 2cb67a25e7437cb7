//! A filesystem volume as a tree that can be shown: the live files and, under `.snapshots`, its moments.
//!
//! Joins the parts: the live tree, the moments that were entered, what the kernel holds, and the
//! threads that keep house. The operations themselves are in the `Vfs` implementation.

use crate::error::{FsError, Result, refuse};
use crate::inode::Inode;
use crate::keeper::Keeper;
use crate::limits::Limits;
use crate::limits::SpaceProbe;
use crate::moments::Moments;
use crate::negatives::Negatives;
use crate::nodes::{LIVE, Nodes, SNAPSHOTS, unpack};
use crate::notices::{Notice, Notices};
use crate::place::Place;
use crate::reading;
use crate::snapdir;
use crate::tree::Tree;
use crate::vfs::{Entry, Invalidate, Node, ROOT};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tintype_model::{SnapshotId, VolumeId};
use tintype_store::{LineRef, MomentRef, Store};

/// How long the house is kept in one go.
const HOUSE: std::time::Duration = std::time::Duration::from_millis(700);

/// Blocks and inodes that a filesystem uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeUsage {
    /// Blocks of 4 KiB in files, reserved ones included. Of a mounted filesystem without those of files that are being removed.
    pub blocks: u64,
    /// Inodes, those without a name included.
    pub inodes: u64,
}

/// What a moment uses, as of the last commit; none for a volume that was never opened. For a mounted
/// filesystem [`Mounted::usage`] is newer.
///
/// # Errors
/// The moment does not exist, the store failed, or the record is damaged.
pub fn usage(store: &Store, moment: MomentRef) -> Result<TreeUsage> {
    let sup = reading::superblock(&mut store.view_of(moment)?)?;
    let none = TreeUsage { blocks: 0, inodes: 0 };
    Ok(sup.map_or(none, |sup| TreeUsage { blocks: sup.blocks, inodes: sup.inodes }))
}

/// A mounted filesystem volume.
pub struct Mounted {
    pub(crate) store: Arc<Store>,
    pub(crate) volume: VolumeId,
    pub(crate) live: Arc<Tree>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) moments: Moments,
    pub(crate) negatives: Negatives,
    pub(crate) dead: AtomicBool,
    notices: Notices,
    keeper: Keeper,
}

impl Mounted {
    /// Opens a volume; makes the root directory of a fresh one.
    ///
    /// # Errors
    /// The volume does not exist, is in use, or the store failed.
    pub fn open(store: Arc<Store>, volume: VolumeId) -> Result<Arc<Self>> {
        let nodes = Arc::new(Nodes::default());
        let limits = Limits::new(Some(volume));
        let live = Tree::open(&store, LineRef::Volume(volume), LIVE, &nodes, limits)?;
        let mounted = Arc::new(Self {
            moments: Moments::new(&store, volume, &nodes, &live.limits),
            store,
            volume,
            live,
            nodes,
            negatives: Negatives::default(),
            dead: AtomicBool::new(false),
            notices: Notices::start()?,
            keeper: Keeper::default(),
        });
        mounted.refresh_limits();
        mounted.connect()?;
        Ok(mounted)
    }

    fn connect(self: &Arc<Self>) -> Result<()> {
        let own: Weak<Self> = Arc::downgrade(self);
        self.live.set_on_replaced(Box::new(move || {
            if let Some(mounted) = own.upgrade() {
                mounted.forget_everything();
            }
        }));
        let own: Weak<Self> = Arc::downgrade(self);
        self.keeper.start(move || match own.upgrade() {
            Some(mounted) => {
                mounted.keep_house();
                true
            }
            None => false,
        })
    }

    /// Says who tells the kernel what to forget; call it after mounting.
    pub fn set_invalidator(&self, target: Arc<dyn Invalidate>) {
        self.nodes.set_kernel(Some(Arc::clone(&target)));
        self.notices.set_target(target);
    }

    /// Says how to ask for the room (total, free) that the store has.
    pub fn set_space_probe(&self, probe: SpaceProbe) {
        self.live.limits.set_probe(probe);
    }

    /// Reads quota and capacity from the volume's metadata; call it after they changed.
    pub fn refresh_limits(&self) {
        if let Some(volume) = self.store.volume_by_id(self.volume) {
            self.live.limits.set(volume.meta.quota, volume.meta.capacity);
        }
    }

    /// Snapshots were created, deleted, renamed or made writable: the kernel forgets their names.
    pub fn snapshots_changed(&self) {
        for name in self.moments.refresh() {
            self.notices.send(Notice::Name(snapdir::NODE, name));
        }
    }

    /// Lets a snapshot go, so that it can be deleted; programs inside it get `ESTALE`.
    pub fn leave_snapshot(&self, snapshot: SnapshotId) {
        for name in self.moments.leave(snapshot) {
            self.notices.send(Notice::Name(snapdir::NODE, name));
        }
    }

    /// Waits until everything that the kernel has to forget has been handed to the invalidator; false
    /// when that took longer than `limit`. Never call it from within a request.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> bool {
        self.notices.settle(limit)
    }

    /// What the live filesystem uses.
    #[must_use]
    pub fn usage(&self) -> TreeUsage {
        let state = self.live.state.lock();
        TreeUsage { blocks: state.live().blocks, inodes: state.sup.inodes }
    }

    /// One bounded step of removing files without a name; true when work is left. A thread of
    /// the mount calls it every second.
    ///
    /// # Errors
    /// The store failed.
    pub fn step_orphans(&self) -> Result<bool> {
        let mut left = self.live.step_orphans()?;
        for tree in self.moments.trees() {
            left |= tree.step_orphans()?;
        }
        Ok(left)
    }

    /// One bounded step of counting what quotas of directories have not counted yet; true when work is left. A thread of the
    /// mount calls it every second until nothing is.
    ///
    /// # Errors
    /// The store failed, or a record is damaged.
    pub fn step_quotas(&self) -> Result<bool> {
        let mut left = self.live.step_quotas()?;
        for tree in self.moments.trees() {
            left |= tree.step_quotas()?;
        }
        Ok(left)
    }

    /// Removes what has no name and is not open any more, for as long as `limit`: before a snapshot, so that it
    /// does not hold what no name shows.
    pub fn settle_orphans(&self, limit: std::time::Duration) {
        let start = std::time::Instant::now();
        while start.elapsed() < limit && matches!(self.step_orphans(), Ok(true)) {}
    }

    fn keep_house(&self) {
        if self.dead.load(Ordering::Acquire) {
            return;
        }
        let start = std::time::Instant::now();
        while start.elapsed() < HOUSE {
            match self.step_orphans().and_then(|left| Ok(left | self.step_quotas()?)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "files without a name and quotas wait");
                    break;
                }
            }
        }
        self.snapshots_changed();
    }

    /// After a restore: nothing that the kernel knows of the live files is right any more.
    fn forget_everything(&self) {
        let held = self.nodes.of_slot(LIVE);
        let mut nodes = vec![ROOT];
        let mut names = self.negatives.take();
        for (node, known) in held {
            nodes.push(node);
            names.extend(known.into_iter().filter(|(_, name)| !name.is_empty()));
        }
        self.notices.send(Notice::All { nodes, names });
    }

    /// Ends the mount: removes files without a name, commits, stops the threads. The lines are let go in any case.
    ///
    /// # Errors
    /// The store failed.
    pub fn close(&self) -> Result<()> {
        self.keeper.stop();
        self.notices.stop();
        self.nodes.set_kernel(None);
        self.nodes.clear();
        let orphans = if self.dead.load(Ordering::Acquire) { Ok(()) } else { self.end_orphans() };
        let (moments, live) = (self.moments.close(), self.live.close());
        live.and(moments).and(orphans)
    }

    fn end_orphans(&self) -> Result<()> {
        while self.step_orphans()? {}
        Ok(())
    }

    /// Whether a program shut it down: then it answers nothing until it is opened again.
    pub fn is_shut_down(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Where a node lies, and its inode number there.
    pub(crate) fn at(&self, node: Node) -> Result<(Place, u64)> {
        if self.is_shut_down() {
            return Err(FsError::ShutDown);
        }
        match unpack(node) {
            (LIVE, ino) => Ok((Place::Live(Arc::clone(&self.live)), ino)),
            (SNAPSHOTS, _) => refuse(libc::EROFS),
            (slot, ino) => Ok((self.moments.place(slot)?, ino)),
        }
    }

    /// The tree and inode to change.
    pub(crate) fn target(&self, node: Node) -> Result<(Arc<Tree>, u64)> {
        let (place, ino) = self.at(node)?;
        Ok((Arc::clone(place.writable()?), ino))
    }

    /// The tree and directory in which `name` is to be made.
    pub(crate) fn maker(&self, dir: Node, name: &[u8]) -> Result<(Arc<Tree>, u64)> {
        let target = self.target(dir)?;
        if snapdir::is_here(dir, name) { refuse(libc::EEXIST) } else { Ok(target) }
    }

    /// The entry for an inode of any place.
    pub(crate) fn entry(place: &Place, parent: u64, name: &[u8], ino: u64, inode: &Inode) -> Entry {
        match place {
            Place::Live(tree) => tree.entry(parent, name, ino, inode),
            Place::Frozen(_) => {
                let node = place.node(ino);
                let ttl = crate::tree::FOREVER;
                Entry { node, attr: inode.attr(node.0), entry_ttl: ttl, attr_ttl: ttl }
            }
        }
    }
}
