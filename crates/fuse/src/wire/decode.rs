//! From request bytes to an [`Op`].
//!
//! A request is a header, a fixed part that depends on the operation, and the rest (names, data).
//! `/dev/fuse` delivers the three in one piece, io_uring in three places; [`decode`] takes the two
//! latter separately, so one decoder serves both. It is a pure function of bytes and borrows from
//! them: no copy of written data, no panic on any input.

use tintype_fs::vfs::{Handle, Node, SetAttr, SetTime, Time, WriteFlags};

use super::abi::{self, fattr, op};
use super::cursor::{Cursor, Malformed};
use super::request::{Bulk, Dialect, Op};

/// Bytes of the fixed part of an operation; 0 for those that have none or are unknown.
#[must_use]
pub fn head_size(opcode: u32, dialect: Dialect) -> usize {
    match opcode {
        op::FORGET
        | op::BATCH_FORGET
        | op::OPEN
        | op::OPENDIR
        | op::MKDIR
        | op::RENAME
        | op::LINK
        | op::GETXATTR
        | op::LISTXATTR
        | op::INTERRUPT
        | op::ACCESS
        | op::SYNCFS => 8,
        op::SETXATTR if !dialect.setxattr_ext => 8,
        op::SETXATTR
        | op::GETATTR
        | op::MKNOD
        | op::CREATE
        | op::TMPFILE
        | op::RENAME2
        | op::FSYNC
        | op::FSYNCDIR => 16,
        op::STATX | op::RELEASE | op::RELEASEDIR | op::FLUSH | op::LSEEK => 24,
        op::FALLOCATE | op::IOCTL => 32,
        op::READ | op::READDIR | op::READDIRPLUS | op::WRITE => 40,
        op::COPY_FILE_RANGE | op::COPY_FILE_RANGE_64 => 56,
        op::SETATTR => 88,
        _ => 0,
    }
}

/// Decodes one operation from its fixed part (`head`, which may be longer than needed) and the
/// rest.
///
/// # Errors
/// [`Malformed`] when either is too short for the operation.
pub fn decode<'a>(
    opcode: u32,
    head: &'a [u8],
    rest: &'a [u8],
    dialect: Dialect,
) -> Result<Op<'a>, Malformed> {
    let head = Cursor::new(head);
    let rest = Cursor::new(rest);
    match opcode {
        op::LOOKUP
        | op::UNLINK
        | op::RMDIR
        | op::REMOVEXATTR
        | op::SYMLINK
        | op::LINK
        | op::MKNOD
        | op::MKDIR
        | op::RENAME
        | op::RENAME2
        | op::CREATE
        | op::TMPFILE => names(opcode, head, rest),
        op::READ
        | op::READDIR
        | op::READDIRPLUS
        | op::WRITE
        | op::FALLOCATE
        | op::LSEEK
        | op::COPY_FILE_RANGE
        | op::COPY_FILE_RANGE_64
        | op::IOCTL => content(opcode, head, rest),
        op::SETXATTR | op::GETXATTR | op::LISTXATTR => xattr(opcode, head, rest, dialect),
        op::OPEN
        | op::OPENDIR
        | op::RELEASE
        | op::RELEASEDIR
        | op::FLUSH
        | op::FSYNC
        | op::FSYNCDIR => handles(opcode, head),
        _ => plain(opcode, head, rest),
    }
}

fn names<'a>(opcode: u32, mut head: Cursor<'a>, mut rest: Cursor<'a>) -> Result<Op<'a>, Malformed> {
    Ok(match opcode {
        op::LOOKUP => Op::Lookup { name: rest.name()? },
        op::UNLINK => Op::Unlink { name: rest.name()? },
        op::RMDIR => Op::Rmdir { name: rest.name()? },
        op::REMOVEXATTR => Op::Removexattr { name: rest.name()? },
        op::SYMLINK => Op::Symlink { name: rest.name()?, target: rest.name()? },
        op::LINK => Op::Link { node: Node(head.u64()?), name: rest.name()? },
        op::MKNOD => {
            let (mode, rdev, umask) = (head.u32()?, head.u32()?, head.u32()?);
            Op::Mknod { name: rest.name()?, mode, umask, rdev }
        }
        op::MKDIR => {
            let (mode, umask) = (head.u32()?, head.u32()?);
            Op::Mkdir { name: rest.name()?, mode, umask }
        }
        op::RENAME | op::RENAME2 => {
            let new_dir = Node(head.u64()?);
            let flags = if opcode == op::RENAME2 { head.u32()? } else { 0 };
            Op::Rename { name: rest.name()?, new_dir, new_name: rest.name()?, flags }
        }
        _ => create(opcode, head, rest)?,
    })
}

fn create<'a>(
    opcode: u32,
    mut head: Cursor<'a>,
    mut rest: Cursor<'a>,
) -> Result<Op<'a>, Malformed> {
    // The wish to clear set-id bits is for a file that is truncated; one that is made keeps what it was made with.
    let (flags, mode, umask) = (head.i32()?, head.u32()?, head.u32()?);
    if opcode == op::TMPFILE {
        return Ok(Op::Tmpfile { mode, umask, flags });
    }
    Ok(Op::Create { name: rest.name()?, mode, umask, flags })
}

fn content<'a>(
    opcode: u32,
    mut head: Cursor<'a>,
    mut rest: Cursor<'a>,
) -> Result<Op<'a>, Malformed> {
    let handle = Handle(head.u64()?);
    if opcode == op::IOCTL {
        let (flags, command, argument) = (head.u32()?, head.u32()?, head.u64()?);
        let (in_size, out_size) = (head.u32()?, head.u32()?);
        let input = rest.take(in_size as usize)?;
        let on_directory = flags & abi::IOCTL_DIR != 0;
        return Ok(Op::Ioctl { command, argument, input, out_size, on_directory });
    }
    let offset = head.u64()?;
    Ok(match opcode {
        op::WRITE => write(handle, offset, head, rest)?,
        op::FALLOCATE => Op::Fallocate { handle, offset, length: head.u64()?, mode: head.i32()? },
        op::LSEEK => Op::Lseek { handle, offset, whence: head.i32()? },
        op::READ => Op::Bulk(Bulk::Read { handle, offset, size: head.u32()? }),
        op::READDIR | op::READDIRPLUS => {
            let plus = opcode == op::READDIRPLUS;
            Op::Bulk(Bulk::Readdir { handle, offset, size: head.u32()?, plus })
        }
        _ => Op::CopyRange {
            from: handle,
            from_offset: offset,
            to: Node(head.u64()?),
            to_handle: Handle(head.u64()?),
            to_offset: head.u64()?,
            length: head.u64()?,
            wide: opcode == op::COPY_FILE_RANGE_64,
        },
    })
}

fn write<'a>(
    handle: Handle,
    offset: u64,
    mut head: Cursor<'a>,
    mut rest: Cursor<'a>,
) -> Result<Op<'a>, Malformed> {
    let (size, bits) = (head.u32()?, head.u32()?);
    head.u64()?; // lock owner
    let flags = WriteFlags {
        from_cache: bits & abi::WRITE_CACHE != 0,
        kill_suid: bits & abi::WRITE_KILL_SUIDGID != 0,
        open_flags: head.i32()?,
    };
    Ok(Op::Write { handle, offset, data: rest.take(size as usize)?, flags })
}

fn xattr<'a>(
    opcode: u32,
    mut head: Cursor<'a>,
    mut rest: Cursor<'a>,
    dialect: Dialect,
) -> Result<Op<'a>, Malformed> {
    let size = head.u32()?;
    Ok(match opcode {
        op::LISTXATTR => Op::Listxattr { size },
        op::GETXATTR => Op::Getxattr { name: rest.name()?, size },
        _ => {
            let flags = head.u32()?;
            let more = if dialect.setxattr_ext { head.u32()? } else { 0 };
            let kill_sgid = more & abi::SETXATTR_ACL_KILL_SGID != 0;
            let name = rest.name()?;
            Op::Setxattr { name, value: rest.take(size as usize)?, flags, kill_sgid }
        }
    })
}

fn handles<'a>(opcode: u32, mut head: Cursor<'a>) -> Result<Op<'a>, Malformed> {
    if opcode == op::OPEN || opcode == op::OPENDIR {
        let (flags, open) = (head.i32()?, head.u32()?);
        let kill_suid = open & abi::OPEN_KILL_SUIDGID != 0;
        let file = opcode == op::OPEN;
        return Ok(if file { Op::Open { flags, kill_suid } } else { Op::Opendir { flags } });
    }
    let handle = Handle(head.u64()?);
    let flags = head.u32()?;
    let data_only = flags & abi::FSYNC_FDATASYNC != 0;
    Ok(match opcode {
        op::RELEASE => Op::Release { handle, flags: flags.cast_signed() },
        op::RELEASEDIR => Op::Releasedir { handle },
        op::FLUSH => Op::Flush { handle },
        op::FSYNC => Op::Fsync { handle, data_only },
        _ => Op::Fsyncdir { handle, data_only },
    })
}

fn plain<'a>(opcode: u32, mut head: Cursor<'a>, mut rest: Cursor<'a>) -> Result<Op<'a>, Malformed> {
    Ok(match opcode {
        op::FORGET => Op::Forget { count: head.u64()? },
        op::BATCH_FORGET => {
            let bytes = (head.u32()? as usize).checked_mul(16).ok_or(Malformed)?;
            Op::BatchForget { pairs: rest.take(bytes)? }
        }
        op::GETATTR | op::STATX => {
            let flags = head.u32()?;
            head.u32()?;
            let handle = head.u64()?;
            let handle = (flags & abi::GETATTR_FH != 0).then_some(Handle(handle));
            if opcode == op::STATX { Op::Statx { handle } } else { Op::Getattr { handle } }
        }
        op::SETATTR => setattr(head)?,
        op::READLINK => Op::Readlink,
        op::STATFS => Op::Statfs,
        op::SYNCFS => Op::Syncfs,
        op::INTERRUPT => Op::Interrupt,
        op::DESTROY => Op::Destroy,
        _ => Op::Unknown,
    })
}

fn setattr<'a>(mut head: Cursor<'a>) -> Result<Op<'a>, Malformed> {
    let valid = head.u32()?;
    head.u32()?;
    let (handle, size) = (head.u64()?, head.u64()?);
    head.u64()?; // lock owner
    let secs = [head.u64()?, head.u64()?, head.u64()?];
    let nanos = [head.u32()?, head.u32()?, head.u32()?];
    let mode = head.u32()?;
    head.u32()?;
    let (uid, gid) = (head.u32()?, head.u32()?);
    let has = |bit: u32| valid & bit != 0;
    let [atime, mtime, ctime] = times(secs, nanos);
    let at = |is: u32, now: u32, time: Time| {
        let given = SetTime::At(time);
        has(is).then_some(if has(now) { SetTime::Now } else { given })
    };
    let set = SetAttr {
        mode: has(fattr::MODE).then_some(mode),
        uid: has(fattr::UID).then_some(uid),
        gid: has(fattr::GID).then_some(gid),
        size: has(fattr::SIZE).then_some(size),
        atime: at(fattr::ATIME, fattr::ATIME_NOW, atime),
        mtime: at(fattr::MTIME, fattr::MTIME_NOW, mtime),
        ctime: has(fattr::CTIME).then_some(ctime),
        kill_suid: has(fattr::KILL_SUIDGID),
    };
    Ok(Op::Setattr { handle: has(fattr::FH).then_some(Handle(handle)), set })
}

/// Seconds travel as unsigned numbers but mean signed ones; nanoseconds are kept below a second.
fn times(secs: [u64; 3], nanos: [u32; 3]) -> [Time; 3] {
    let time =
        |secs: u64, nanos: u32| Time { secs: secs.cast_signed(), nanos: nanos.min(999_999_999) };
    let ([a, m, c], [an, mn, cn]) = (secs, nanos);
    [time(a, an), time(m, mn), time(c, cn)]
}
