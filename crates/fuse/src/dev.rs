//! Transport A: reads and writes of `/dev/fuse`.
//!
//! Each thread has a descriptor and a queue of its own, takes one request, answers it, and takes
//! the next. Written data is used where it was read; read data is written behind the reply's
//! header, so that one write sends both.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno as Os;
use tintype_fs::vfs::Errno;

use crate::answer::{Answer, Prepared, wire_error};
use crate::crew::{Crew, Life};
use crate::serve::Service;
use crate::sys;
use crate::wire::abi::{IN_HEADER, OUT_HEADER};
use crate::wire::reply;
use crate::wire::request::Header;

/// Room for headers and names around the largest write.
const SLACK: usize = 8192;

/// A crew of `threads` on `device`; no thread runs before [`Crew::fill`].
pub(crate) fn crew(
    service: Service,
    device: Arc<OwnedFd>,
    life: Arc<Life>,
    max_write: u32,
    threads: usize,
) -> Arc<Crew> {
    let hire = move |crew: &Arc<Crew>| -> io::Result<()> {
        let own = sys::clone_device(&device).ok();
        let (service, device, crew) = (service.clone(), Arc::clone(&device), Arc::clone(crew));
        let alive = life.enter();
        std::thread::Builder::new().name("fuse-dev".to_owned()).spawn(move || {
            let _alive = alive;
            let fd = own.as_ref().map_or(device.as_fd(), AsFd::as_fd);
            let size = max_write as usize + SLACK;
            Worker { fd, service, crew, reply: vec![0; size] }.run(&mut vec![0; size]);
        })?;
        Ok(())
    };
    Crew::new(threads, Box::new(hire))
}

struct Worker<'a> {
    fd: BorrowedFd<'a>,
    service: Service,
    crew: Arc<Crew>,
    reply: Vec<u8>,
}

impl Worker<'_> {
    fn run(&mut self, buffer: &mut [u8]) {
        loop {
            match rustix::io::read(self.fd, &mut *buffer) {
                Ok(len) => self.handle(buffer.get(..len).unwrap_or_default()),
                // Interrupted, or the request was withdrawn while being read.
                Err(Os::INTR | Os::AGAIN | Os::NOENT) => (),
                Err(Os::NODEV | Os::CONNABORTED) => return, // unmounted; aborted
                Err(error) => return tracing::error!(%error, "reading /dev/fuse failed"),
            }
        }
    }

    fn handle(&mut self, request: &[u8]) {
        let Ok(header) = Header::decode(request) else {
            return tracing::error!(len = request.len(), "a request without a header");
        };
        let body = request.get(IN_HEADER..).unwrap_or_default();
        let split = self.service.head_size(header.opcode).min(body.len());
        let (head, rest) = body.split_at(split);
        let _away = match Service::reenters(header.opcode).then(|| self.crew.step_out()) {
            Some(None) => return self.send(&header, &[], wire_error(Errno(libc::EAGAIN))),
            other => other,
        };
        match self.service.prepare(&header, head, rest) {
            Prepared::Fill(bulk) => {
                let room = self.reply.get_mut(OUT_HEADER..).unwrap_or_default();
                match self.service.fill(&header, bulk, room) {
                    Ok(len) => self.send_filled(&header, len),
                    Err(error) => self.send(&header, &[], wire_error(error)),
                }
            }
            Prepared::Done(Answer::Silent) => (),
            Prepared::Done(Answer::Fail(error)) => self.send(&header, &[], wire_error(error)),
            Prepared::Done(Answer::Short(body)) => self.send(&header, body.bytes(), 0),
            Prepared::Done(Answer::Long(body)) => self.send(&header, &body, 0),
        }
    }

    fn send(&self, header: &Header, body: &[u8], error: i32) {
        let head = reply::header(body.len(), error, header.unique);
        let parts = [IoSlice::new(&head), IoSlice::new(body)];
        report(header, rustix::io::writev(self.fd, &parts));
    }

    fn send_filled(&mut self, header: &Header, len: usize) {
        let head = reply::header(len, 0, header.unique);
        if let Some(room) = self.reply.get_mut(..OUT_HEADER) {
            room.copy_from_slice(&head);
        }
        let all = self.reply.get(..OUT_HEADER + len).unwrap_or_default();
        report(header, rustix::io::write(self.fd, all));
    }
}

fn report(header: &Header, sent: rustix::io::Result<usize>) {
    match sent {
        // The request was interrupted, or the mount is gone: nobody waits for this reply.
        Ok(_) | Err(Os::NOENT | Os::NODEV | Os::CONNABORTED) => (),
        Err(error) => tracing::error!(%error, opcode = header.opcode, "the kernel refused a reply"),
    }
}
