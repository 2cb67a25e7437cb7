//! The kernel's numbers of nodes: a directory and a place in it.
//!
//! So nothing has to be remembered of files; a directory is remembered from its first lookup until the kernel forgets it. Numbers of
//! directories are never given twice in a mount, so that one which is held without its directory can never mean something else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tintype_fs::vfs::Node;
use tintype_repo::SnapshotId;

use crate::catalog::Menu;

/// Bits of a number that say which entry.
const PLACE_BITS: u32 = 28;
/// The place that stands for the directory itself; so the first directory is [`tintype_fs::vfs::ROOT`].
const ITSELF: u64 = 1;
/// The place of the first entry.
const FIRST: u64 = 2;
/// The most entries of a directory that can be shown.
pub const ENTRIES_MAX: u32 = (1 << PLACE_BITS) - FIRST as u32;

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The directory with this number.
    Dir(u64),
    /// An entry of the directory with this number that is no directory.
    Entry(u64, u32),
}

impl Spot {
    /// The node that the kernel knows.
    pub fn node(self) -> Node {
        let (dir, place) = match self {
            Self::Dir(dir) => (dir, ITSELF),
            Self::Entry(dir, entry) => (dir, FIRST + u64::from(entry.min(ENTRIES_MAX - 1))),
        };
        Node(dir << PLACE_BITS | place)
    }

    /// What the kernel's node means.
    pub fn of(node: Node) -> Self {
        let (dir, place) = (node.0 >> PLACE_BITS, node.0 & ((1 << PLACE_BITS) - 1));
        match u32::try_from(place.saturating_sub(FIRST)) {
            Ok(entry) if place >= FIRST => Self::Entry(dir, entry),
            _ => Self::Dir(dir),
        }
    }
}

/// What tells a directory from others while the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A folder above the snapshots.
    Menu(Menu),
    /// A snapshot's root in such a folder.
    Snapshot(u64, SnapshotId),
    /// An entry of a directory of a snapshot.
    Entry(u64, u32),
}

struct Slot<D> {
    dir: Arc<D>,
    key: Key,
    holds: u64,
}

struct State<D> {
    next: u64,
    slots: HashMap<u64, Slot<D>>,
    numbers: HashMap<Key, u64>,
}

/// The directories that the kernel holds.
pub struct Dirs<D>(Mutex<State<D>>);

impl<D> Dirs<D> {
    /// With the root, which is never forgotten.
    pub fn new(root: D) -> Self {
        let (dir, key) = (Arc::new(root), Key::Menu(Menu::Top));
        let numbers = HashMap::from([(key.clone(), 0)]);
        let slots = HashMap::from([(0, Slot { dir, key, holds: 1 })]);
        Self(Mutex::new(State { next: 1, slots, numbers }))
    }

    /// The directory with this number.
    pub fn get(&self, number: u64) -> Option<Arc<D>> {
        self.0.lock().slots.get(&number).map(|slot| Arc::clone(&slot.dir))
    }

    /// The kernel holds the directory once more; it is made when nobody held it.
    pub fn hold(&self, key: &Key, make: impl FnOnce() -> D) -> (u64, Arc<D>) {
        let mut state = self.0.lock();
        if let Some(number) = state.numbers.get(key).copied()
            && let Some(slot) = state.slots.get_mut(&number)
        {
            slot.holds = slot.holds.saturating_add(1);
            return (number, Arc::clone(&slot.dir));
        }
        let (number, dir) = (state.next, Arc::new(make()));
        state.next += 1;
        state.numbers.insert(key.clone(), number);
        let slot = Slot { dir: Arc::clone(&dir), key: key.clone(), holds: 1 };
        state.slots.insert(number, slot);
        (number, dir)
    }

    /// The kernel holds it `count` times less.
    pub fn forget(&self, number: u64, count: u64) {
        let mut state = self.0.lock();
        let Some(slot) = state.slots.get_mut(&number) else { return };
        slot.holds = slot.holds.saturating_sub(count);
        if number != 0
            && slot.holds == 0
            && let Some(slot) = state.slots.remove(&number)
        {
            state.numbers.remove(&slot.key);
        }
    }

    /// How many are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().slots.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tintype_fs::vfs::ROOT;

    use super::*;

    #[test]
    fn numbers_say_where_things_stand() {
        assert_eq!(Spot::Dir(0).node(), ROOT);
        for spot in [Spot::Dir(7), Spot::Entry(0, 0), Spot::Entry(1 << 35, ENTRIES_MAX - 1)] {
            assert_eq!(Spot::of(spot.node()), spot);
        }
    }

    #[test]
    fn what_the_kernel_forgets_is_forgotten() {
        let dirs = Dirs::new("root");
        let key = Key::Entry(0, 5);
        let (first, _) = dirs.hold(&key, || "a");
        let (again, dir) = dirs.hold(&key, || "b");
        assert_eq!((again, *dir), (first, "a"));
        dirs.forget(first, 1);
        assert!(dirs.get(first).is_some());
        dirs.forget(first, 1);
        assert!(dirs.get(first).is_none());
        let (later, dir) = dirs.hold(&key, || "c");
        assert!(later != first && *dir == "c");
        dirs.forget(0, 9);
        assert!(dirs.get(0).is_some() && dirs.len() == 2);
    }
}
