//! Inodes: what a file is, and the record that keeps it.
//!
//! The record's body is this structure; its pieces are the block map of the file's first span.
//! Small extended attributes and symlink targets lie in the body. Decoding is bounded and never panics.

use crate::error::Result;
use crate::vfs::{Attr, Time};
use crate::wire::{Reader, Writer};
use std::time::{SystemTime, UNIX_EPOCH};

/// Outside of all quotas: what older programs understand.
const PLAIN: u8 = 1;
/// With the directory whose quota counts it.
const COUNTED: u8 = 2;
/// `FS_IMMUTABLE_FL`.
pub(crate) const IMMUTABLE: u32 = 0x10;
/// `FS_APPEND_FL`.
pub(crate) const APPEND: u32 = 0x20;
/// `FS_NODUMP_FL`.
pub(crate) const NODUMP: u32 = 0x40;
/// `FS_NOATIME_FL`.
pub(crate) const NOATIME: u32 = 0x80;
/// Set-user-id, set-group-id and group-execute bits.
pub(crate) const SUID: u32 = libc::S_ISUID;
/// Set-group-id.
pub(crate) const SGID: u32 = libc::S_ISGID;

/// An extended attribute: name and value.
pub(crate) type Xattr = (Box<[u8]>, Box<[u8]>);

/// Everything about an inode except its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inode {
    /// Type and permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Names; for a directory 2 and its subdirectories.
    pub(crate) nlink: u32,
    /// Bytes.
    pub(crate) size: u64,
    /// Blocks of 4 KiB that are mapped or reserved.
    pub(crate) blocks: u64,
    /// Last access.
    pub(crate) atime: Time,
    /// Last change of content.
    pub(crate) mtime: Time,
    /// Last change of anything.
    pub(crate) ctime: Time,
    /// Birth.
    pub(crate) btime: Time,
    /// `FS_*_FL` bits.
    pub(crate) flags: u32,
    /// The directory of the first name.
    pub(crate) parent: u64,
    /// The hash of the first name.
    pub(crate) name: u64,
    /// Device number.
    pub(crate) rdev: u32,
    /// Entries of a directory.
    pub(crate) entries: u64,
    /// Number of extended attributes in records of their own.
    pub(crate) far_xattrs: u32,
    /// The nearest directory with a quota that counts this inode, itself included; 0 for none.
    pub(crate) quota: u64,
    /// Extended attributes kept here.
    pub(crate) xattrs: Vec<Xattr>,
    /// Target of a symlink.
    pub(crate) target: Box<[u8]>,
}

/// The present time.
pub(crate) fn now() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(d) => Time { secs: d.as_secs() as i64, nanos: d.subsec_nanos() },
        Err(_) => Time::default(),
    }
}

impl Inode {
    /// The file type bits.
    pub(crate) const fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// Whether it is a directory.
    pub(crate) const fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }

    /// Whether it is a regular file.
    pub(crate) const fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }

    /// Marks a change of content.
    pub(crate) const fn touch(&mut self, at: Time) {
        self.mtime = at;
        self.ctime = at;
    }

    /// Whether the flag (`IMMUTABLE`, `APPEND`) is set.
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Clears set-id bits as a write by someone without privilege does. Without group execute, set-group-id stays when
    /// `keeps` says that the caller may keep it for a file of this group; it is asked in this rare case only.
    pub(crate) fn kill_set_id(&mut self, keeps: impl FnOnce(u32) -> bool) {
        if self.is_dir() {
            return;
        }
        self.mode &= !SUID;
        let executes = self.mode & libc::S_IXGRP != 0;
        if self.mode & SGID != 0 && (executes || !keeps(self.gid)) {
            self.mode &= !SGID;
        }
    }

    /// Attributes as programs see them, under the number `ino`.
    pub(crate) const fn attr(&self, ino: u64) -> Attr {
        Attr {
            ino,
            size: if self.is_dir() { 4096 } else { self.size },
            blocks: self.blocks.saturating_mul(8),
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            // STATX_ATTR_IMMUTABLE, _APPEND and _NODUMP have the values of the flags.
            flags: (self.flags & (IMMUTABLE | APPEND | NODUMP)) as u64,
        }
    }

    /// The body of the record.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut w = Writer::new(96);
        let version = if self.quota == 0 { PLAIN } else { COUNTED };
        w.byte(version).num(self.mode.into()).num(self.uid.into()).num(self.gid.into());
        w.num(self.nlink.into()).num(self.size).num(self.blocks);
        for time in [self.atime, self.mtime, self.ctime, self.btime] {
            w.signed(time.secs).num(time.nanos.into());
        }
        w.num(self.flags.into()).num(self.parent).num(self.name).num(self.rdev.into());
        w.num(self.entries).num(self.far_xattrs.into());
        if self.quota != 0 {
            w.num(self.quota);
        }
        w.bytes(&self.target);
        for (name, value) in &self.xattrs {
            w.bytes(name).bytes(value);
        }
        w.done()
    }

    /// Reads a body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        let mut r = Reader::new(body, "inode");
        let counted = match r.byte()? {
            PLAIN => false,
            COUNTED => true,
            _ => return Err(r.damaged()),
        };
        let mut inode = Self {
            mode: r.small()?,
            uid: r.small()?,
            gid: r.small()?,
            nlink: r.small()?,
            size: r.num()?,
            blocks: r.num()?,
            atime: time(&mut r)?,
            mtime: time(&mut r)?,
            ctime: time(&mut r)?,
            btime: time(&mut r)?,
            flags: r.small()?,
            parent: r.num()?,
            name: r.num()?,
            rdev: r.small()?,
            entries: r.num()?,
            far_xattrs: r.small()?,
            quota: if counted { r.num()? } else { 0 },
            xattrs: Vec::new(),
            target: r.bytes()?.into(),
        };
        while !r.is_empty() {
            inode.xattrs.push((r.bytes()?.into(), r.bytes()?.into()));
        }
        Ok(inode)
    }
}

fn time(r: &mut Reader<'_>) -> Result<Time> {
    let time = Time { secs: r.signed()?, nanos: r.small()? };
    if time.nanos < 1_000_000_000 { Ok(time) } else { Err(r.damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Inode {
        Inode {
            mode: libc::S_IFREG | 0o644,
            nlink: 1,
            size: 200,
            mtime: Time { secs: -1, nanos: 7 },
            xattrs: vec![(b"user.a".as_slice().into(), b"b".as_slice().into())],
            ..Inode::default()
        }
    }

    #[test]
    fn golden() {
        let bytes: &[u8] = &[
            1, 0xa4, 0x83, 2, 0, 0, 1, 0xc8, 1, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6,
            b'u', b's', b'e', b'r', b'.', b'a', 1, b'b',
        ];
        assert_eq!(&*sample().encode(), bytes);
        assert_eq!(Inode::decode(bytes).unwrap(), sample());
        let counted = Inode { quota: 300, ..sample() };
        let mut bytes = bytes.to_vec();
        bytes[0] = 2;
        bytes.splice(24..24, [0xac, 2]);
        assert_eq!(*counted.encode(), *bytes);
        assert_eq!(Inode::decode(&bytes).unwrap(), counted);
        bytes[0] = 3;
        assert!(Inode::decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>, cut in 0_usize..40) {
            let _ = Inode::decode(&body);
            let good = sample().encode();
            let _ = Inode::decode(&good[..cut.min(good.len())]);
        }
    }

    #[test]
    fn set_id_bits_fall_as_on_a_write() {
        let mut inode = Inode { mode: libc::S_IFREG | 0o6755, ..Inode::default() };
        inode.kill_set_id(|_| true);
        assert_eq!(inode.mode & 0o7777, 0o755);
        let mut inode = Inode { mode: libc::S_IFREG | 0o6745, gid: 7, ..Inode::default() };
        inode.kill_set_id(|gid| gid == 7);
        assert_eq!(inode.mode & 0o7777, 0o2745);
        inode.kill_set_id(|_| false);
        assert_eq!(inode.mode & 0o7777, 0o745);
    }
}
