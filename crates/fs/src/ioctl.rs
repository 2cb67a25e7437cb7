//! Ioctls: inode flags as `chattr` sets them, the label, trimming, shutdown.

use crate::caller;
use crate::error::{Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, NOATIME, NODUMP, now};
use crate::mounted::Mounted;
use crate::reading;
use crate::vfs::{Caller, Ioctl, Node, ROOT};
use std::sync::atomic::Ordering;

const GET_FLAGS: u32 = 0x8008_6601;
const SET_FLAGS: u32 = 0x4008_6602;
const GET_XFLAGS: u32 = 0x801c_581f;
const SET_XFLAGS: u32 = 0x401c_5820;
const GET_LABEL: u32 = 0x8100_9431;
const GET_VERSION: u32 = 0x8008_7601;
/// `FITRIM`.
const TRIM: u32 = 0xc018_5879;
const SHUTDOWN: u32 = 0x8004_587d;
/// Stop without making anything durable.
const DROP: u32 = 2;
/// `FS_SYNC_FL`, which is only remembered.
const SYNC: u32 = 0x8;
/// `FS_DIRSYNC_FL`, which is only remembered.
const DIRSYNC: u32 = 0x1_0000;
const SETTABLE: u32 = SYNC | IMMUTABLE | APPEND | NODUMP | NOATIME | DIRSYNC;
/// Pairs of a flag and its bit in `struct fsxattr`.
const XFLAGS: [(u32, u32); 5] =
    [(IMMUTABLE, 0x8), (APPEND, 0x10), (SYNC, 0x20), (NOATIME, 0x40), (NODUMP, 0x80)];
const FSXATTR: usize = 28;

/// An answer: result and output.
type Answer = Result<(i32, Vec<u8>)>;

fn cut(mut bytes: Vec<u8>, request: &Ioctl<'_>) -> Answer {
    bytes.truncate(request.out_size as usize);
    Ok((0, bytes))
}

fn word(input: &[u8]) -> Result<u32> {
    match input.first_chunk::<4>() {
        Some(bytes) => Ok(u32::from_ne_bytes(*bytes)),
        None => refuse(libc::EINVAL),
    }
}

impl Mounted {
    /// Answers an ioctl.
    pub(crate) fn control(&self, who: &Caller, node: Node, request: &Ioctl<'_>) -> Answer {
        match request.command {
            GET_FLAGS => {
                let flags = u64::from(self.flags(node)?);
                cut(flags.to_ne_bytes().to_vec(), request)
            }
            SET_FLAGS => self.set_flags(who, node, word(request.input)?, SETTABLE),
            GET_XFLAGS => {
                let flags = self.flags(node)?;
                let bits = XFLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, bit)| bit);
                let mut out = bits.sum::<u32>().to_ne_bytes().to_vec();
                out.resize(FSXATTR, 0);
                cut(out, request)
            }
            SET_XFLAGS => {
                let bits = word(request.input)?;
                let known = XFLAGS.iter().map(|(_, bit)| bit).sum::<u32>();
                if bits & !known != 0 {
                    return refuse(libc::EOPNOTSUPP);
                }
                let flags = XFLAGS.iter().filter(|(_, bit)| bits & bit != 0).map(|(flag, _)| flag);
                self.set_flags(who, node, flags.sum(), SETTABLE & !DIRSYNC)
            }
            GET_LABEL => {
                let own = self.store.volume_by_id(self.volume);
                let name = own.map(|volume| volume.meta.name.to_string()).unwrap_or_default();
                let mut out: Vec<u8> = name.bytes().take(255).collect();
                out.resize(256, 0);
                cut(out, request)
            }
            GET_VERSION => cut(vec![0; 8], request),
            TRIM => self.trim(who, request),
            SHUTDOWN => self.shut_down(who, node, request),
            _ => refuse(libc::ENOTTY),
        }
    }

    fn flags(&self, node: Node) -> Result<u32> {
        let (place, ino) = self.at(node)?;
        place.with(|m, _| reading::inode(m, ino)).map(|(inode, _)| inode.flags)
    }

    fn set_flags(&self, who: &Caller, node: Node, flags: u32, mask: u32) -> Answer {
        let (tree, ino) = self.target(node)?;
        if flags & !SETTABLE != 0 {
            return refuse(libc::EOPNOTSUPP);
        }
        tree.edit(|edit| {
            let inode = edit.change(ino)?;
            let new = (inode.flags & !mask) | (flags & mask);
            if (new ^ inode.flags) & (IMMUTABLE | APPEND) != 0 && who.uid != 0 {
                return refuse(libc::EPERM);
            }
            inode.flags = new;
            inode.ctime = now();
            Ok(())
        })?;
        Ok((0, Vec::new()))
    }

    /// Has dead data cleaned in the background; answers the range with the bytes that are dead now.
    fn trim(&self, who: &Caller, request: &Ioctl<'_>) -> Answer {
        if who.uid != 0 {
            return refuse(libc::EPERM);
        }
        let Some((start, rest)) = request.input.split_first_chunk::<8>() else {
            return refuse(libc::EINVAL);
        };
        let smallest = rest.get(8..16).unwrap_or(&[0; 8]);
        let status = self.store.status()?;
        let dead = status.segment_bytes.saturating_sub(status.segment_live_bytes);
        self.store.clean_soon();
        cut([start.as_slice(), &dead.to_ne_bytes(), smallest].concat(), request)
    }

    /// Stops the filesystem until the next mount. The answer must carry no output: the kernel
    /// would write it over the caller's flag.
    fn shut_down(&self, who: &Caller, node: Node, request: &Ioctl<'_>) -> Answer {
        if node != ROOT {
            return refuse(libc::ENOTTY);
        }
        if who.uid != 0 {
            return refuse(libc::EPERM);
        }
        let flag = caller::read_u32(who.pid, request.argument);
        if flag.is_some_and(|flag| flag > DROP) {
            return refuse(libc::EINVAL);
        }
        if flag == Some(DROP) {
            self.dead.store(true, Ordering::Release);
            self.store.drop_unsynced();
        } else {
            let synced = self.store.sync();
            self.dead.store(true, Ordering::Release);
            synced?;
        }
        Ok((0, Vec::new()))
    }
}
