//! The part of the service that moves content: reads, writes, listings, attribute values, ioctls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tintype_fs::vfs::{Errno, Ioctl, Reply};

use crate::answer::{Answer, sized};
use crate::serve::{Service, panicked};
use crate::wire::reply::{Listing, Small};
use crate::wire::request::{Bulk, Header, Op};

impl Service {
    /// Answers a bulk request into `room`; returns the bytes written.
    ///
    /// # Errors
    /// The error number of the tree.
    pub fn fill(&self, header: &Header, bulk: Bulk, room: &mut [u8]) -> Reply<usize> {
        let call = AssertUnwindSafe(|| self.fill_unguarded(header, bulk, room));
        catch_unwind(call).unwrap_or_else(|_| panicked(header))
    }

    fn fill_unguarded(&self, header: &Header, bulk: Bulk, room: &mut [u8]) -> Reply<usize> {
        let (who, node) = (&header.who, header.node);
        match bulk {
            Bulk::Read { handle, offset, size } => {
                let room = shorten(room, size);
                let limit = room.len();
                Ok(self.vfs.read(who, node, handle, offset, room)?.min(limit))
            }
            Bulk::Readdir { handle, offset, size, plus } => {
                let mut listing = Listing::new(shorten(room, size), plus);
                let done = self.vfs.readdir(who, node, handle, offset, plus, &mut listing);
                // Entries that were taken count as looked up, so they must reach the kernel even
                // when a later one failed; the error comes back at the next offset.
                if listing.used() == 0 { done.map(|()| 0) } else { Ok(listing.used()) }
            }
        }
    }

    pub(crate) fn ranges(&self, header: &Header, op: &Op<'_>) -> Reply<Small> {
        let (vfs, who, node) = (&self.vfs, &header.who, header.node);
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let small = Small::default();
        Ok(match *op {
            Op::Write { handle, offset, data, flags } => {
                small.u32(count(vfs.write(who, node, handle, offset, data, flags)?)).u32(0)
            }
            Op::Lseek { handle, offset, whence } => {
                small.u64(vfs.lseek(node, handle, offset, whence)?)
            }
            Op::CopyRange { from, from_offset, to, to_handle, to_offset, length, wide } => {
                let copied = vfs.copy_file_range(
                    who,
                    node,
                    from,
                    from_offset,
                    to,
                    to_handle,
                    to_offset,
                    length,
                )?;
                // As with fallocate the kernel leaves this to us.
                self.kill_suid(header, to, who.uid != 0 && copied > 0)?;
                if wide { small.u64(copied as u64) } else { small.u32(count(copied)).u32(0) }
            }
            _ => return Err(Errno(libc::ENOSYS)),
        })
    }

    pub(crate) fn long(&self, header: &Header, op: &Op<'_>) -> Reply<Answer> {
        let (vfs, who, node) = (&self.vfs, &header.who, header.node);
        match *op {
            Op::Readlink => Ok(Answer::Long(vfs.readlink(who, node)?)),
            Op::Getxattr { name, size } => sized(vfs.getxattr(who, node, name)?, size),
            Op::Listxattr { size } => sized(vfs.listxattr(who, node)?, size),
            Op::Ioctl { command, argument, input, out_size, on_directory } => {
                let request = Ioctl { command, argument, input, out_size, on_directory };
                let (result, output) = vfs.ioctl(who, node, &request)?;
                let mut body = Vec::with_capacity(16 + output.len());
                body.extend_from_slice(&result.to_ne_bytes());
                body.extend_from_slice(&[0; 12]);
                body.extend(output.into_iter().take(out_size as usize));
                Ok(Answer::Long(body))
            }
            _ => Err(Errno(libc::ENOSYS)),
        }
    }
}

fn shorten(room: &mut [u8], size: u32) -> &mut [u8] {
    let len = room.len().min(size as usize);
    room.split_at_mut(len).0
}
