//! The few system calls that have no safe wrapper.
//!
//! Unsafe code stands here, in `ring.rs` and in `uring.rs` only. Each block says why it is sound.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fd::AsRawFd;
use rustix::ioctl;

/// `_IOR(229, 0, u32)`: attach a freshly opened device to an existing connection.
const DEV_IOC_CLONE: ioctl::Opcode = ioctl::opcode::read::<u32>(229, 0);

/// Opens the kernel's device.
///
/// # Errors
/// When there is none or the caller may not open it.
pub fn open_device() -> io::Result<OwnedFd> {
    let flags = libc::O_CLOEXEC;
    Ok(File::options().read(true).write(true).custom_flags(flags).open("/dev/fuse")?.into())
}

/// A second descriptor for the connection of `device`, with a queue of its own.
///
/// # Errors
/// When the device cannot be opened or the kernel does not know the call.
pub fn clone_device(device: &OwnedFd) -> io::Result<OwnedFd> {
    let own = open_device()?;
    let source = u32::try_from(device.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads one u32 at the pointer, which `Setter` keeps alive for the call;
    // the opcode belongs to the fuse device, which `own` is.
    unsafe {
        let set = ioctl::Setter::<DEV_IOC_CLONE, u32>::new(source);
        ioctl::ioctl(own.as_fd(), set)?;
    }
    Ok(own)
}

/// Closes a descriptor and says whether that went well: here FUSE reports lost pages.
///
/// # Errors
/// What the kernel says; the descriptor is closed all the same.
pub fn close(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: `into_raw_fd` gives up ownership, so nobody closes or uses the number again.
    match unsafe { libc::close(fd.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the calling thread a table of descriptors of its own, with nothing but the three standard ones. For threads that use
/// no descriptor which others made.
///
/// # Errors
/// What the kernel says; the table is still shared then, and nothing is closed.
pub fn leave_descriptors() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: the table becomes this thread's own before anything in it is closed, so the numbers of other threads stay; this
    // thread owns none of them.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the child of `command` inherit `fd` (all our descriptors are close-on-exec).
pub fn inherit(command: &mut Command, fd: &OwnedFd) {
    let raw = fd.as_raw_fd();
    // SAFETY: the closure runs between fork and exec and makes one async-signal-safe system call
    // on a descriptor number; it touches no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            if libc::fcntl(raw, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}
