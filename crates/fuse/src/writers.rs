//! Which files programs can be writing to, and a private door to them for the server itself.
//!
//! The kernel keeps dirty pages of a file only while someone has it open for writing (closing the
//! last descriptor, or unmapping, writes them back first). So these files are all that has to be
//! flushed before a snapshot; see `flush.rs` for why `syncfs` is not enough.
//!
//! The server has no path for such a file: it may be renamed or without a name. Therefore a thread
//! that flushes is announced here, and for it alone a look-up of `.tintype-node-N` in the root
//! finds node N. No other program can see these names.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tintype_fs::vfs::{Caller, Node, ROOT};

const PREFIX: &str = ".tintype-node-";

#[derive(Debug, Default)]
pub(crate) struct Writers {
    open: Mutex<HashMap<Node, usize>>,
    flushing: Mutex<HashSet<u32>>,
    /// References that the kernel got through the door and the tree does not know of.
    lent: Mutex<HashMap<Node, u64>>,
}

fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

impl Writers {
    /// A file was opened with these flags.
    pub(crate) fn opened(&self, node: Node, flags: i32) {
        if writes(flags) {
            *self.open.lock().entry(node).or_default() += 1;
        }
    }

    /// A file that was opened with these flags is closed for good.
    pub(crate) fn released(&self, node: Node, flags: i32) {
        if writes(flags) {
            let mut open = self.open.lock();
            if let Some(count) = open.get_mut(&node) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&node);
                }
            }
        }
    }

    /// The files that may have dirty pages.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.open.lock().keys().copied().collect()
    }

    /// Opens or closes the door for a thread of this process.
    pub(crate) fn let_in(&self, thread: u32, open: bool) {
        let mut flushing = self.flushing.lock();
        if open {
            flushing.insert(thread)
        } else {
            flushing.remove(&thread)
        };
    }

    /// The name of a node behind the door.
    pub(crate) fn name(node: Node) -> String {
        format!("{PREFIX}{}", node.0)
    }

    /// The node that a flushing thread asks for.
    pub(crate) fn behind_door(&self, who: &Caller, dir: Node, name: &[u8]) -> Option<Node> {
        let number = name.strip_prefix(PREFIX.as_bytes()).filter(|_| dir == ROOT)?;
        let node = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.flushing.lock().contains(&who.pid).then_some(Node(node))
    }

    /// The kernel got a reference through the door.
    pub(crate) fn lend(&self, node: Node) {
        *self.lent.lock().entry(node).or_default() += 1;
    }

    /// The kernel gives references back; the result is how many of them are the tree's.
    pub(crate) fn forgotten(&self, node: Node, count: u64) -> u64 {
        let mut lent = self.lent.lock();
        let Some(owed) = lent.get_mut(&node) else { return count };
        let ours = count.min(*owed);
        *owed -= ours;
        if *owed == 0 {
            lent.remove(&node);
        }
        count - ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_writers_are_listed() {
        let writers = Writers::default();
        writers.opened(Node(2), libc::O_RDONLY);
        writers.opened(Node(3), libc::O_RDWR);
        writers.opened(Node(3), libc::O_WRONLY);
        writers.released(Node(3), libc::O_RDWR);
        assert_eq!(writers.nodes(), [Node(3)]);
        writers.released(Node(3), libc::O_WRONLY);
        assert_eq!(writers.nodes(), []);
    }

    #[test]
    fn the_door_is_for_flushing_threads_only() {
        let writers = Writers::default();
        let (who, name) = (Caller { pid: 7, ..Caller::default() }, Writers::name(Node(42)));
        let ask = |dir| writers.behind_door(&who, dir, name.as_bytes());
        assert_eq!(ask(ROOT), None);
        writers.let_in(7, true);
        assert_eq!((ask(ROOT), ask(Node(2))), (Some(Node(42)), None));
        assert_eq!(writers.behind_door(&who, ROOT, b".tintype-node-x"), None);
        writers.let_in(7, false);
        assert_eq!(ask(ROOT), None);
    }

    #[test]
    fn lent_references_are_not_given_back_to_the_tree() {
        let writers = Writers::default();
        writers.lend(Node(5));
        writers.lend(Node(5));
        assert_eq!(writers.forgotten(Node(5), 1), 0);
        assert_eq!(writers.forgotten(Node(5), 3), 2);
        assert_eq!(writers.forgotten(Node(5), 3), 3);
    }
}
