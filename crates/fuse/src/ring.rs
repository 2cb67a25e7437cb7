//! A small ring of io_uring that lies in memory of our own.
//!
//! The usual way maps the ring's file. Such a map holds the ring, and with it the connection, until the last thread of the
//! process has ended. When the process is killed while one of its threads waits for an answer of this very connection, that
//! thread never ends: only the end of the connection would wake it. A ring in our own memory (Linux 6.5; FUSE over io_uring
//! needs 6.14) is held by its descriptor alone.
//!
//! It knows nothing of FUSE: whoever pushes a command answers for the memory that the command names.
//!
//! Unsafe code: the two pages belong to the ring; what the kernel changes in them is read and written through atomics, and
//! the offsets are those that the kernel gave, checked once against the pages.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, IoringSetupFlags, io_uring_enter, io_uring_params,
    io_uring_ptr, io_uring_register, io_uring_setup,
};
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes of a command.
pub(crate) const COMMAND: usize = 128;
/// Bytes of a completion.
const DONE: usize = 16;
/// Where the result stands in a completion.
const RESULT_AT: usize = 8;
/// Commands that fit.
const ENTRIES: u32 = 2;
/// One page for the rings, one for the commands.
const PAGE: usize = 4096;

/// The memory of a ring.
struct Pages(NonNull<u8>);

impl Pages {
    fn new() -> io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            let prot = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(ptr::null_mut(), 2 * PAGE, prot, MapFlags::PRIVATE)?
        };
        NonNull::new(base.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.0.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length; the kernel has pages of a ring pinned by itself.
        let _cannot_fail = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), 2 * PAGE) };
    }
}

/// A ring for the thread that made it. The descriptor stands before the pages, so it is closed first.
pub(crate) struct Ring {
    descriptor: OwnedFd,
    pages: Pages,
    params: io_uring_params,
}

impl Ring {
    /// A ring of a few large commands.
    pub(crate) fn new() -> io::Result<Self> {
        let pages = Pages::new()?;
        let mut params = io_uring_params::default();
        params.flags = IoringSetupFlags::SINGLE_ISSUER
            | IoringSetupFlags::DEFER_TASKRUN
            | IoringSetupFlags::SQE128
            | IoringSetupFlags::NO_MMAP;
        params.cq_off.user_addr = io_uring_ptr::from(pages.at(0).cast::<libc::c_void>());
        params.sq_off.user_addr = io_uring_ptr::from(pages.at(PAGE).cast::<libc::c_void>());
        // SAFETY: both addresses are pages of our own that live as long as the descriptor.
        let descriptor = unsafe { io_uring_setup(ENTRIES, &mut params)? };
        let ring = Self { descriptor, pages, params };
        if !ring.fits() {
            return Err(io::Error::other("the ring does not fit into its memory"));
        }
        // Each place in the queue names the command at the same place, for ever.
        for slot in 0..ring.params.sq_entries {
            ring.word(ring.params.sq_off.array + 4 * slot).store(slot, Ordering::Relaxed);
        }
        Ok(ring)
    }

    /// Whether everything that is used lies inside the pages, as the kernel laid it out.
    fn fits(&self) -> bool {
        let (sq, cq, p) = (&self.params.sq_off, &self.params.cq_off, &self.params);
        let ends = [
            u64::from(sq.head) + 4,
            u64::from(sq.tail) + 4,
            u64::from(cq.head) + 4,
            u64::from(cq.tail) + 4,
            u64::from(sq.array) + 4 * u64::from(p.sq_entries),
            u64::from(cq.cqes) + DONE as u64 * u64::from(p.cq_entries),
            COMMAND as u64 * u64::from(p.sq_entries),
        ];
        let powers = p.sq_entries.is_power_of_two() && p.cq_entries.is_power_of_two();
        powers && ends.iter().all(|end| *end <= PAGE as u64)
    }

    /// A number that the kernel shares with us.
    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: inside the first page (`fits`), aligned by the kernel's layout, and never accessed otherwise.
        unsafe { AtomicU32::from_ptr(self.pages.at(offset as usize).cast()) }
    }

    /// Makes `file` number 0 of the files that commands can name.
    pub(crate) fn register_file(&self, file: &OwnedFd) -> io::Result<()> {
        let list = [file.as_raw_fd()];
        // SAFETY: the kernel reads one descriptor at the pointer during the call.
        let done = unsafe {
            let op = IoringRegisterOp::RegisterFiles;
            io_uring_register(&self.descriptor, op, list.as_ptr().cast(), 1)
        };
        done.map(drop).map_err(io::Error::from)
    }

    /// Puts a command into the queue; the next call of [`Ring::enter`] hands it over.
    ///
    /// # Safety
    /// Memory that the command names must stay valid until its completion, or until the ring is dropped.
    pub(crate) unsafe fn push(&mut self, command: &[u8; COMMAND]) -> io::Result<()> {
        let tail = self.word(self.params.sq_off.tail).load(Ordering::Relaxed);
        if self.waiting() >= self.params.sq_entries {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let slot = (tail & (self.params.sq_entries - 1)) as usize;
        // SAFETY: the place lies inside the second page (`fits`), and the kernel does not look at it before the tail moves.
        unsafe { self.pages.at(PAGE + slot * COMMAND).cast::<[u8; COMMAND]>().write(*command) };
        self.word(self.params.sq_off.tail).store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Commands that were pushed and not handed over.
    fn waiting(&self) -> u32 {
        let head = self.word(self.params.sq_off.head).load(Ordering::Acquire);
        self.word(self.params.sq_off.tail).load(Ordering::Relaxed).wrapping_sub(head)
    }

    /// Hands over what was pushed and waits for that many completions.
    pub(crate) fn enter(&mut self, wanted: u32) -> io::Result<()> {
        let flags =
            if wanted > 0 { IoringEnterFlags::GETEVENTS } else { IoringEnterFlags::empty() };
        // SAFETY: what the commands name is answered for by whoever pushed them.
        match unsafe { io_uring_enter(&self.descriptor, self.waiting(), wanted, flags) } {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The result of the oldest completion that nobody took yet.
    pub(crate) fn take(&mut self) -> Option<i32> {
        let cq = &self.params.cq_off;
        let head = self.word(cq.head).load(Ordering::Relaxed);
        if head == self.word(cq.tail).load(Ordering::Acquire) {
            return None;
        }
        let slot = head & (self.params.cq_entries - 1);
        let at = cq.cqes as usize + slot as usize * DONE + RESULT_AT;
        // SAFETY: inside the first page (`fits`), aligned by the kernel's layout; it is ours until the head moves.
        let result = unsafe { self.pages.at(at).cast::<i32>().read() };
        self.word(cq.head).store(head.wrapping_add(1), Ordering::Release);
        Some(result)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_in_order() {
        // A machine may forbid rings altogether.
        let Ok(mut ring) = Ring::new() else { return };
        for round in 0..20_u8 {
            let mut nothing = [0; COMMAND];
            // SAFETY: a command that does nothing names no memory.
            unsafe { ring.push(&nothing).unwrap() };
            // An operation that no kernel knows.
            nothing[0] = 250;
            // SAFETY: as above.
            unsafe { ring.push(&nothing).unwrap() };
            // SAFETY: as above.
            assert!(unsafe { ring.push(&nothing) }.is_err(), "round {round}: more than fits");
            ring.enter(2).unwrap();
            assert_eq!(ring.take(), Some(0));
            assert_eq!(ring.take(), Some(-libc::EINVAL));
            assert_eq!(ring.take(), None);
        }
    }

    #[test]
    fn no_map_holds_the_ring() {
        let Ok(_ring) = Ring::new() else { return };
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains("io_uring"), "{maps}");
    }
}
