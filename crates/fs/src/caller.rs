//! Four bytes from the memory of a program that waits in a call to us.
//!
//! The shutdown ioctl carries its flag only as a pointer. The kernel offers a process's memory as a
//! file, so no unsafe code is needed; access needs the rights of a debugger, which a server for
//! several users has.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The number at `address` in process `pid`, if it can be read.
pub(crate) fn read_u32(pid: u32, address: u64) -> Option<u32> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 4];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_can_be_read() {
        let value = Box::new(0x1234_5678_u32);
        let address = std::ptr::from_ref(&*value) as u64;
        assert_eq!(read_u32(std::process::id(), address), Some(*value));
        assert_eq!(read_u32(std::process::id(), 8), None);
    }
}
