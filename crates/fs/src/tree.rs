//! A writable tree: the live filesystem of a volume, or a writable snapshot.
//!
//! One lock orders all operations. Data moves outside of it. The store takes the same lock for the
//! instant in which it cuts a commit.

use crate::edit::Edit;
use crate::error::{FsError, Result, refuse};
use crate::inode::Inode;
use crate::limits::{Limits, Need};
use crate::nodes::{Nodes, pack};
use crate::state::State;
use crate::vfs::{Attr, Entry, Node};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tintype_store::{LineOwner, LineRef, LiveLine, Store};

/// For ever, as far as the kernel is concerned: we are the only writer.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is done after a tree's line was replaced.
pub(crate) type OnReplaced = Box<dyn Fn() + Send + Sync>;

/// The tree.
pub(crate) struct Tree {
    /// Its slot in node numbers.
    pub(crate) slot: u32,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The line that it serves.
    pub(crate) line: LineRef,
    /// Everything behind the lock.
    pub(crate) state: Mutex<State>,
    /// Which nodes the kernel holds, of all trees of the mount.
    pub(crate) nodes: Arc<Nodes>,
    /// Quota and capacity.
    pub(crate) limits: Limits,
    /// There may be nameless inodes.
    pub(crate) has_orphans: AtomicBool,
    on_replaced: Mutex<Option<OnReplaced>>,
    gone: AtomicBool,
}

impl Tree {
    /// Opens a line and serves it.
    pub(crate) fn open(
        store: &Arc<Store>,
        line: LineRef,
        slot: u32,
        nodes: &Arc<Nodes>,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        store.serve(line, |fresh| {
            let mut state = State::load(fresh)?;
            state.find_leaving(|ino| nodes.is_held(pack(slot, ino)));
            state.records = limits.records_at_opening(store, state.sup.blocks, state.sup.inodes);
            Ok(Arc::new(Self {
                slot,
                store: Arc::clone(store),
                line,
                has_orphans: AtomicBool::new(!state.orphans.is_empty()),
                state: Mutex::new(state),
                nodes: Arc::clone(nodes),
                limits,
                on_replaced: Mutex::new(None),
                gone: AtomicBool::new(false),
            }))
        })
    }

    /// Says what to do after a restore.
    pub(crate) fn set_on_replaced(&self, f: OnReplaced) {
        *self.on_replaced.lock() = Some(f);
    }

    /// The node of one of its inodes.
    pub(crate) const fn node(&self, ino: u64) -> Node {
        pack(self.slot, ino)
    }

    /// The attributes of one of its inodes.
    pub(crate) const fn attr(&self, ino: u64, inode: &Inode) -> Attr {
        inode.attr(pack(self.slot, ino).0)
    }

    /// The entry that tells the kernel of an inode; counts as a reference.
    pub(crate) fn entry(&self, parent: u64, name: &[u8], ino: u64, inode: &Inode) -> Entry {
        self.nodes.add(self.node(ino), self.node(parent), name);
        Entry {
            node: self.node(ino),
            attr: self.attr(ino, inode),
            entry_ttl: FOREVER,
            attr_ttl: FOREVER,
        }
    }

    /// Refuses changes of a line that was deleted.
    pub(crate) fn check(&self) -> Result<()> {
        if self.gone.load(Ordering::Acquire) { refuse(libc::ESTALE) } else { Ok(()) }
    }

    /// The state, to change it; refused when no commit would take the change.
    pub(crate) fn state_to_change(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.line.has_ended() { refuse(libc::ESTALE) } else { Ok(state) }
    }

    /// Runs one operation that changes the tree: all or nothing.
    pub(crate) fn edit<T>(&self, f: impl FnOnce(&mut Edit<'_>) -> Result<T>) -> Result<T> {
        self.check()?;
        self.store.admit(false)?;
        let (result, fallen) = {
            let mut state = self.state_to_change()?;
            let mut edit = Edit::new(&mut state);
            let value = f(&mut edit)?;
            (value, edit.commit())
        };
        self.tell(&fallen);
        self.store.throttle();
        Ok(result)
    }

    /// Has the kernel forget what it knows of the mode of these inodes, before the call that changed it is answered.
    pub(crate) fn tell(&self, fallen: &[u64]) {
        fallen.iter().for_each(|ino| self.nodes.attributes_changed(self.node(*ino)));
    }

    /// Refuses what the edit adds when there is no room for its records.
    pub(crate) fn check_room(&self, edit: &mut Edit<'_>) -> Result<()> {
        let records = u64::try_from(edit.record_growth()).unwrap_or(0);
        Ok(self.limits.check(edit.state.live(), Need { records, ..Need::default() })?)
    }

    /// Finds a name; the kernel gets a reference if it exists.
    pub(crate) fn find(&self, dir: u64, name: &[u8]) -> Result<Option<Entry>> {
        let mut state = self.state.lock();
        let mut edit = Edit::new(&mut state);
        edit.directory(dir)?;
        match edit.entry(dir, name)? {
            Some(found) => Ok(Some(self.entry(dir, name, found.ino, edit.inode(found.ino)?))),
            None => Ok(None),
        }
    }

    /// Commits and lets the line go.
    pub(crate) fn close(&self) -> Result<()> {
        self.store.detach(self).map_err(FsError::from)
    }
}

impl LineOwner for Tree {
    fn with_line(&self, f: &mut dyn FnMut(&mut LiveLine)) {
        let mut state = self.state.lock();
        state.flush_counters();
        let before = state.line.space();
        f(&mut state.line);
        if state.line.space() != before {
            // Nobody may see the new line with what was known of the old one.
            if let Err(error) = state.reload() {
                tracing::error!(%error, "the restored tree cannot be read");
            }
            state.find_leaving(|ino| self.nodes.is_held(self.node(ino)));
            let (blocks, inodes) = (state.sup.blocks, state.sup.inodes);
            state.records = self.limits.records_at_opening(&self.store, blocks, inodes);
            self.has_orphans.store(!state.orphans.is_empty(), Ordering::Release);
        }
    }

    fn replaced(&self) {
        if let Some(f) = self.on_replaced.lock().as_ref() {
            f();
        }
    }

    fn gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}
