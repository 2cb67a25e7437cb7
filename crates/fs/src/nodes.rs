//! Node numbers, and which of them the kernel holds.
//!
//! A node is a slot (24 bits) and an inode number (40 bits). Slot 0 is the live filesystem, the
//! highest slot is the `.snapshots` directory itself, the others are moments that were entered.
//! For writable trees the kernel's references are counted: a nameless inode lives until the last goes,
//! and after a restore each held name and page is withdrawn.

use crate::dircache::Same;
use crate::keys::INO_LIMIT;
use crate::vfs::{Invalidate, Node};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// Slot of the live filesystem.
pub(crate) const LIVE: u32 = 0;
/// Slot of the `.snapshots` directory.
pub(crate) const SNAPSHOTS: u32 = 0xff_ffff;
const SHARDS: usize = 16;

/// The node of an inode in a slot.
pub(crate) const fn pack(slot: u32, ino: u64) -> Node {
    Node((slot as u64) << 40 | ino)
}

/// Slot and inode of a node.
pub(crate) const fn unpack(node: Node) -> (u32, u64) {
    ((node.0 >> 40) as u32, node.0 & (INO_LIMIT - 1))
}

/// Names under which a node is known: directory and last part.
pub(crate) type Names = Vec<(Node, Box<[u8]>)>;

/// What is remembered about a node that the kernel holds.
struct Held {
    count: u64,
    names: Names,
}

impl Held {
    fn know(&mut self, parent: Node, name: &[u8]) {
        if !self.names.iter().any(|(dir, own)| *dir == parent && **own == *name) {
            // Nearly all nodes have one name, and there may be a million of them.
            self.names.reserve_exact(1);
            self.names.push((parent, name.into()));
        }
    }
}

type Shard = HashMap<u64, Held, BuildHasherDefault<Same>>;

/// The table of held nodes.
#[derive(Default)]
pub(crate) struct Nodes {
    shards: [Mutex<Shard>; SHARDS],
    kernel: RwLock<Option<Arc<dyn Invalidate>>>,
}

impl Nodes {
    /// Says who tells the kernel; nobody does until then, and after `None`.
    pub(crate) fn set_kernel(&self, kernel: Option<Arc<dyn Invalidate>>) {
        *self.kernel.write() = kernel;
    }

    /// Attributes of a node changed in a way that no answer tells the kernel.
    pub(crate) fn attributes_changed(&self, node: Node) {
        if let Some(kernel) = self.kernel.read().as_ref() {
            kernel.attributes(node);
        }
    }

    fn shard(&self, node: Node) -> Option<&Mutex<Shard>> {
        self.shards.get(node.0 as usize % SHARDS)
    }

    /// The kernel gets one more reference, under this name.
    pub(crate) fn add(&self, node: Node, parent: Node, name: &[u8]) {
        let Some(shard) = self.shard(node) else { return };
        let mut shard = shard.lock();
        let held = shard.entry(node.0).or_insert_with(|| Held { count: 0, names: Vec::new() });
        held.count += 1;
        held.know(parent, name);
    }

    /// A name of a held node moved, and the kernel's knowledge of it too.
    pub(crate) fn renamed(&self, node: Node, from: (Node, &[u8]), to: (Node, &[u8])) {
        let Some(shard) = self.shard(node) else { return };
        if let Some(held) = shard.lock().get_mut(&node.0) {
            held.names.retain(|(dir, name)| *dir != from.0 || **name != *from.1);
            held.know(to.0, to.1);
        }
    }

    /// The kernel drops references; true when none is left.
    pub(crate) fn forget(&self, node: Node, count: u64) -> bool {
        let Some(shard) = self.shard(node) else { return false };
        let mut shard = shard.lock();
        let Some(held) = shard.get_mut(&node.0) else { return true };
        held.count = held.count.saturating_sub(count);
        let last = held.count == 0;
        if last {
            shard.remove(&node.0);
        }
        last
    }

    /// Whether the kernel holds a node.
    pub(crate) fn is_held(&self, node: Node) -> bool {
        self.shard(node).is_some_and(|shard| shard.lock().contains_key(&node.0))
    }

    /// The kernel is gone and holds nothing.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().clear();
        }
    }

    /// All held nodes of a slot with the names under which they are known.
    pub(crate) fn of_slot(&self, slot: u32) -> Vec<(Node, Names)> {
        let mut list = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let mine = shard.iter().filter(|(node, _)| unpack(Node(**node)).0 == slot);
            list.extend(mine.map(|(node, held)| (Node(*node), held.names.clone())));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_counted() {
        let nodes = Nodes::default();
        let node = pack(3, 77);
        assert_eq!(unpack(node), (3, 77));
        nodes.add(node, pack(3, 1), b"a");
        nodes.add(node, pack(3, 1), b"b");
        assert!(!nodes.forget(node, 1));
        nodes.renamed(node, (pack(3, 1), b"a"), (pack(3, 2), b"c"));
        let known = nodes.of_slot(3);
        let names: Vec<_> = known[0].1.iter().map(|(dir, name)| (dir.0 & 7, &**name)).collect();
        assert_eq!(names, [(1, b"b".as_slice()), (2, b"c".as_slice())]);
        assert!(nodes.of_slot(0).is_empty());
        assert!(nodes.forget(node, 1));
        assert!(!nodes.is_held(node));
    }
}
