//! What the server tells the kernel on its own: forget these pages, this name, all names.
//!
//! Pages and single names may wait in the kernel for requests that are in service, so making them inside a
//! request handler, or with a lock that handlers take, could wait for itself. Therefore they are
//! queued here and made by one thread; callers never wait, except in [`Notifier::settle`]. Forgetting
//! all names only raises a number in the kernel, and forgetting attributes only marks them: both are told at once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::io::Errno;
use tintype_fs::vfs::{Invalidate, Node};

use crate::wire::abi;
use crate::wire::reply;

enum Note {
    Inode { node: Node, offset: u64, len: u64 },
    Entry { dir: Node, name: Vec<u8> },
    Settle(mpsc::Sender<()>),
}

/// Tells the kernel what it should forget. Cheap to call from anywhere.
#[derive(Debug)]
pub struct Notifier {
    queue: mpsc::Sender<Note>,
    device: Arc<OwnedFd>,
}

impl Notifier {
    /// Starts the thread that writes to `device`; it ends with the last handle on the notifier.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(device: Arc<OwnedFd>) -> io::Result<Arc<Self>> {
        let (queue, notes) = mpsc::channel();
        let own = Arc::clone(&device);
        std::thread::Builder::new()
            .name("fuse-notify".to_owned())
            .spawn(move || notes.iter().for_each(|note| tell(&own, note)))?;
        Ok(Arc::new(Self { queue, device }))
    }

    /// Waits until everything queued so far has been told, at most for `limit`; returns whether
    /// that came true. Never call it from a request handler.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> bool {
        let (done, wait) = mpsc::channel();
        self.queue.send(Note::Settle(done)).is_ok() && wait.recv_timeout(limit).is_ok()
    }
}

impl Invalidate for Notifier {
    fn inode(&self, node: Node, offset: u64, len: u64) {
        drop(self.queue.send(Note::Inode { node, offset, len }));
    }

    fn attributes(&self, node: Node) {
        // An offset below zero leaves pages alone, so the kernel waits for nothing.
        match send(&self.device, abi::NOTIFY_INVAL_INODE, &inode(node, u64::MAX, 0)) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => (),
            Err(error) => tracing::warn!(%error, "the kernel keeps attributes that changed"),
        }
    }

    fn entry(&self, dir: Node, name: &[u8]) {
        drop(self.queue.send(Note::Entry { dir, name: name.to_vec() }));
    }

    fn all_names(&self) -> bool {
        match send(&self.device, abi::NOTIFY_INC_EPOCH, &[]) {
            // A kernel whose mount is gone knows no names.
            Ok(()) | Err(Errno::NODEV) => true,
            Err(error) => {
                tracing::debug!(%error, "the kernel cannot forget all names at once");
                false
            }
        }
    }
}

fn tell(device: &OwnedFd, note: Note) {
    let (code, body) = match note {
        Note::Inode { node, offset, len } => (abi::NOTIFY_INVAL_INODE, inode(node, offset, len)),
        Note::Entry { dir, name } => (abi::NOTIFY_INVAL_ENTRY, entry(dir, &name)),
        Note::Settle(done) => return done.send(()).unwrap_or_default(),
    };
    match send(device, code, &body) {
        // The kernel does not know the node or name, or the mount is gone: nothing to forget.
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => (),
        Err(error) => tracing::warn!(%error, code, "the kernel refused a notification"),
    }
}

fn send(device: &OwnedFd, code: i32, body: &[u8]) -> rustix::io::Result<()> {
    let mut message = reply::header(body.len(), code, 0).to_vec();
    message.extend_from_slice(body);
    rustix::io::write(device, &message).map(drop)
}

fn inode(node: Node, offset: u64, len: u64) -> Vec<u8> {
    let [node, offset, len] = [node.0, offset, len].map(u64::to_ne_bytes);
    [node, offset, len].concat()
}

fn entry(dir: Node, name: &[u8]) -> Vec<u8> {
    let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let mut body = dir.0.to_ne_bytes().to_vec();
    body.extend_from_slice(&len.to_ne_bytes());
    body.extend_from_slice(&0u32.to_ne_bytes());
    body.extend_from_slice(name);
    body.push(0);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_kernel_is_told() {
        let refusing = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let notifier = Notifier::start(Arc::new(refusing)).unwrap();
        assert!(!notifier.all_names());
        notifier.entry(Node(1), b"a");
        assert!(notifier.settle(Duration::from_secs(10)));
    }
}
