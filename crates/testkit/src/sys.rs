//! The few calls for which neither the standard library nor `rustix` has a safe form: maps, and ioctls with numbers of our own.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A shared, writable map of a whole file.
#[derive(Debug)]
pub struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// Maps the first `len` bytes of a file that is open for reading and writing.
    pub fn new(file: &File, len: usize) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new map at a place of the kernel's choice aliases nothing.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { start: start.cast(), len })
        }
    }

    /// The byte at this place.
    #[must_use]
    pub fn get(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: inside the map; volatile, because others change the file.
        unsafe { self.start.add(at).read_volatile() }
    }

    /// Copies these bytes to this place.
    pub fn put(&self, at: usize, data: &[u8]) {
        assert!(at + data.len() <= self.len);
        // SAFETY: inside the map, and `data` cannot lie in it: nobody gets a slice of it.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.start.add(at), data.len()) }
    }

    /// Writes the map back and waits.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: exactly the map.
        let result = unsafe { libc::msync(self.start.cast(), self.len, libc::MS_SYNC) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the map, which nobody uses after this.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// `FS_IOC_SHUTDOWN` on the root of a mount. Answers what is in the caller's flag afterwards.
pub fn shutdown(root: &File, flag: u32) -> io::Result<u32> {
    let mut value = flag;
    // SAFETY: the kernel reads and perhaps writes four bytes at a place that is ours.
    let result = unsafe { libc::ioctl(root.as_raw_fd(), 0x8004_587d_u64 as _, &raw mut value) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
