//! Telling the kernel what it must forget, from a thread of its own.
//!
//! Notices may wait for requests that the kernel has open with us, so they must never be sent
//! from within one.

use crate::error::{FsError, Result};
use crate::vfs::{Invalidate, Node};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the kernel must forget.
pub(crate) enum Notice {
    /// A name.
    Name(Node, Box<[u8]>),
    /// Everything about these nodes and names; the names are not needed when all can go at once.
    All {
        /// Nodes with their pages and attributes.
        nodes: Vec<Node>,
        /// Names.
        names: Vec<(Node, Box<[u8]>)>,
    },
    /// Somebody waits until everything before this was handed over.
    Settle(Sender<()>),
}

type Target = Arc<Mutex<Option<Arc<dyn Invalidate>>>>;

/// The thread and the way to it.
pub(crate) struct Notices {
    target: Target,
    sender: Mutex<Option<Sender<Notice>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Notices {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self> {
        let (sender, receiver) = channel();
        let target = Target::default();
        let own = Arc::clone(&target);
        let thread = std::thread::Builder::new()
            .name("fs-notices".into())
            .spawn(move || run(&receiver, &own))
            .map_err(|_| FsError::Refused(libc::EAGAIN))?;
        Ok(Self { target, sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Says who tells the kernel.
    pub(crate) fn set_target(&self, target: Arc<dyn Invalidate>) {
        *self.target.lock() = Some(target);
    }

    /// Sends a notice.
    pub(crate) fn send(&self, notice: Notice) {
        if let Some(sender) = self.sender.lock().as_ref() {
            drop(sender.send(notice));
        }
    }

    /// Waits until everything that was sent has been handed over; false when that took too long.
    pub(crate) fn settle(&self, limit: Duration) -> bool {
        let (done, wait) = channel();
        let sent = match self.sender.lock().as_ref() {
            Some(sender) => sender.send(Notice::Settle(done)).is_ok(),
            // Nobody is left who could be told.
            None => return true,
        };
        sent && wait.recv_timeout(limit).is_ok()
    }

    /// Ends the thread after what was sent.
    pub(crate) fn stop(&self) {
        *self.target.lock() = None;
        drop(self.sender.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}

fn run(receiver: &Receiver<Notice>, target: &Target) {
    while let Ok(notice) = receiver.recv() {
        let known = target.lock().clone();
        match (notice, known) {
            (Notice::Settle(done), _) => drop(done.send(())),
            (notice, Some(target)) => tell(&*target, notice),
            (_, None) => {}
        }
    }
}

fn tell(target: &dyn Invalidate, notice: Notice) {
    match notice {
        Notice::Name(dir, name) => target.entry(dir, &name),
        Notice::All { nodes, names } => {
            if !target.all_names() {
                names.iter().for_each(|(dir, name)| target.entry(*dir, name));
            }
            nodes.iter().for_each(|node| target.inode(*node, 0, 0));
        }
        Notice::Settle(_) => {}
    }
}
