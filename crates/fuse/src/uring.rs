//! Transport B: commands of io_uring.
//!
//! The kernel has one queue per processor and puts a request into the queue of the processor on
//! which the caller runs. Each queue has several *lanes*; a lane is one thread with a ring, one
//! registered entry (header and payload memory) and therefore at most one request. One system call
//! answers a request and waits for the next.
//!
//! One entry per thread is deliberate: the kernel never gives a request to a lane whose thread is
//! busy or blocked, because the lane's only entry is then not on offer. So a slow `fsync` delays
//! nobody, and handlers may block without any hand-over between threads. The kernel offers the
//! entry that came back last first, so a single caller is served by one warm thread.
//!
//! Unsafe code: entry memory is mapped by a lane, shared with the kernel, and touched by the lane
//! only between a completion and the next commit, when the kernel does not use it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags};
use tintype_fs::vfs::Errno;

use crate::answer::{Answer, Prepared, wire_error};
use crate::crew::Crew;
use crate::ring::{COMMAND, Ring};
use crate::seat::Seat;
use crate::serve::Service;
use crate::wire::cursor::Cursor;
use crate::wire::reply;
use crate::wire::request::Header;

/// Bytes of a page that holds an entry's headers.
const HEADERS: usize = 4096;
/// Where the fixed part of an operation starts.
const OP_AT: usize = 128;
/// Bytes of the fixed part.
const OP_LEN: usize = 128;
/// Where the commit id stands.
const COMMIT_AT: usize = 264;
/// Where the payload's length stands.
const LENGTH_AT: usize = 272;
/// A submission that a file itself understands.
const URING_CMD: u8 = 46;
/// Its file is one of the registered.
const FIXED_FILE: u8 = 1;
/// Offer an entry for the first time.
const REGISTER: u32 = 1;
/// Answer a request and offer the entry again.
const COMMIT_AND_FETCH: u32 = 2;

/// Memory that one entry shares with the kernel.
struct Entry {
    base: NonNull<u8>,
    payload: usize,
    parts: Box<[libc::iovec; 2]>,
}

impl Entry {
    fn new(payload: usize) -> io::Result<Self> {
        let len = HEADERS + payload;
        // SAFETY: a fresh private mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            let prot = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(ptr::null_mut(), len, prot, MapFlags::PRIVATE)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let data = base.as_ptr().wrapping_add(HEADERS);
        let parts = Box::new([
            libc::iovec { iov_base: base.as_ptr().cast(), iov_len: HEADERS },
            libc::iovec { iov_base: data.cast(), iov_len: payload },
        ]);
        Ok(Self { base, payload, parts })
    }

    /// Headers and payload.
    fn memory(&mut self) -> (&mut [u8], &mut [u8]) {
        // SAFETY: the mapping is `HEADERS + payload` bytes long, initialised (zero) by the kernel,
        // owned by `self`, and `&mut self` makes this its only borrow. The kernel writes to it
        // only inside a system call of this thread that offers the entry, which needs `&mut` of
        // the lane.
        let all =
            unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), HEADERS + self.payload) };
        all.split_at_mut(HEADERS)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length, and no borrow outlives `self`.
        // The lane's ring is dropped before its entry, so no command refers to it any more.
        let _cannot_fail =
            unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), HEADERS + self.payload) };
    }
}

/// A thread's share of a queue. The ring stands before the entry, so it is dropped first.
pub(crate) struct Lane {
    ring: Ring,
    entry: Entry,
    queue: u16,
}

impl Lane {
    /// A ring and an entry for the calling thread, not yet on offer.
    pub(crate) fn new(queue: u16, payload: usize) -> io::Result<Self> {
        Ok(Self { ring: Ring::new()?, entry: Entry::new(payload)?, queue })
    }

    /// Offers the entry for the first time. An error comes at once; success says nothing.
    pub(crate) fn register(&mut self, device: &OwnedFd) -> io::Result<()> {
        self.ring.register_file(device)?;
        let parts = self.entry.parts.as_ptr() as u64;
        self.push(&command(REGISTER, self.queue, 0, parts))?;
        self.ring.enter(0)?;
        match self.ring.take() {
            Some(result) if result < 0 => Err(io::Error::from_raw_os_error(-result)),
            _ => Ok(()),
        }
    }

    fn push(&mut self, command: &[u8; COMMAND]) -> io::Result<()> {
        // SAFETY: the command refers to the entry's memory and its parts, which live as long as
        // the ring (they are dropped after it), and to the registered file 0.
        unsafe { self.ring.push(command) }
    }

    /// Waits for a request; `false` when the connection has ended.
    fn wait(&mut self) -> io::Result<bool> {
        loop {
            if let Some(result) = self.ring.take() {
                return match -result {
                    ..=0 => Ok(true),
                    libc::ENOTCONN | libc::ECONNABORTED | libc::ECANCELED => Ok(false),
                    error => Err(io::Error::from_raw_os_error(error)),
                };
            }
            self.ring.enter(1)?;
        }
    }

    /// Serves requests until the connection ends.
    pub(crate) fn run(&mut self, service: &Service, crew: &Arc<Crew>) -> io::Result<()> {
        let mut seat = Seat::take(self.queue);
        while self.wait()? {
            let (headers, payload) = self.entry.memory();
            let (commit, bytes) = answer(headers, payload, service, crew);
            seat.served(bytes);
            self.push(&command(COMMIT_AND_FETCH, self.queue, commit, 0))?;
        }
        Ok(())
    }
}

/// Answers the request in the entry's memory in place; returns the id to commit and how many
/// bytes came or go.
fn answer(
    headers: &mut [u8],
    payload: &mut [u8],
    service: &Service,
    crew: &Arc<Crew>,
) -> (u64, usize) {
    let commit = field(headers, COMMIT_AT).u64().unwrap_or_default();
    let len = field(headers, LENGTH_AT).u32().unwrap_or_default() as usize;
    let result = match Header::decode(headers) {
        Ok(header) => respond(&header, headers, payload, len, service, crew),
        Err(_) => Err(Errno(libc::EIO)),
    };
    let (body, error) = result.map_or_else(|error| (0, wire_error(error)), |len| (len, 0));
    put(headers, 0, &reply::header(body, error, commit));
    put(headers, LENGTH_AT, &u32::try_from(body).unwrap_or_default().to_ne_bytes());
    (commit, len.max(body))
}

fn respond(
    header: &Header,
    headers: &[u8],
    payload: &mut [u8],
    len: usize,
    service: &Service,
    crew: &Arc<Crew>,
) -> Result<usize, Errno> {
    let _away = match Service::reenters(header.opcode).then(|| crew.step_out()) {
        Some(None) => return Err(Errno(libc::EAGAIN)),
        other => other,
    };
    let head_len = service.head_size(header.opcode).min(OP_LEN);
    let head = headers.get(OP_AT..OP_AT + head_len).unwrap_or_default();
    let rest = payload.get(..len).unwrap_or_default();
    let body = match service.prepare(header, head, rest) {
        Prepared::Fill(bulk) => return service.fill(header, bulk, payload),
        Prepared::Done(Answer::Silent) => return Ok(0),
        Prepared::Done(Answer::Fail(error)) => return Err(error),
        Prepared::Done(Answer::Short(small)) => return Ok(put(payload, 0, small.bytes())),
        Prepared::Done(Answer::Long(body)) => body,
    };
    if body.len() > payload.len() {
        return Err(Errno(libc::EIO));
    }
    Ok(put(payload, 0, &body))
}

fn field(bytes: &[u8], at: usize) -> Cursor<'_> {
    Cursor::new(bytes.get(at..).unwrap_or_default())
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    if let Some(room) = to.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
    bytes.len()
}

/// A command to the registered file 0: the kernel's 128-byte submission, of which the FUSE part is commit id and queue.
fn command(operation: u32, queue: u16, commit: u64, parts: u64) -> [u8; COMMAND] {
    let mut area = [0; COMMAND];
    put(&mut area, 0, &[URING_CMD, FIXED_FILE]);
    put(&mut area, 8, &operation.to_ne_bytes());
    put(&mut area, 16, &parts.to_ne_bytes());
    put(&mut area, 24, &if parts == 0 { 0_u32 } else { 2 }.to_ne_bytes());
    put(&mut area, 56, &commit.to_ne_bytes());
    put(&mut area, 64, &queue.to_ne_bytes());
    area
}
