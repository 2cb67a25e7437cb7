//! Random operations on a folder: the same ones can be run on two filesystems, and every answer compared.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps,
    Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::rng::Rng;
use crate::users::as_user;

/// Users that act: root, and two without privileges, of whom the first is in the group of the second.
pub const USERS: [u32; 3] = [0, 61_001, 61_002];

/// An operation by a user.
#[derive(Clone, Debug)]
pub struct Op {
    user: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Create { path: PathBuf, mode: u32, exclusive: bool },
    Write { path: PathBuf, offset: u64, data: Vec<u8>, append: bool },
    Read { path: PathBuf, offset: u64, len: usize },
    Truncate { path: PathBuf, size: u64 },
    Allocate { path: PathBuf, mode: FallocateFlags, offset: u64, len: u64 },
    Copy { from: PathBuf, to: PathBuf, source: u64, target: u64, len: usize },
    MakeDir { path: PathBuf, mode: u32 },
    RemoveDir { path: PathBuf },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, flags: RenameFlags },
    Link { from: PathBuf, to: PathBuf },
    Symlink { target: PathBuf, path: PathBuf },
    ReadLink { path: PathBuf },
    MakeNode { path: PathBuf, kind: u32, mode: u32 },
    Chmod { path: PathBuf, mode: u32 },
    Chown { path: PathBuf, uid: Option<u32>, gid: Option<u32> },
    SetXattr { path: PathBuf, name: &'static str, value: Vec<u8>, flags: XattrFlags },
    GetXattr { path: PathBuf, name: &'static str },
    RemoveXattr { path: PathBuf, name: &'static str },
    SetTimes { path: PathBuf, secs: i64, nanos: i64 },
    List { path: PathBuf },
    Stat { path: PathBuf },
}

const XATTRS: [&str; 5] = ["user.a", "user.b", "trusted.t", "security.x", "user.empty"];
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];
const MODES: [u32; 12] =
    [0o644, 0o600, 0o777, 0o755, 0o000, 0o4755, 0o2755, 0o1777, 0o6777, 0o070, 0o2666, 0o6767];

fn path(rng: &mut Rng) -> PathBuf {
    let mut path = PathBuf::new();
    for _ in 0..rng.below(3) {
        path.push(*rng.pick(&["d0", "d1", "d2"]));
    }
    path.push(*rng.pick(&["d0", "d1", "d2", "f0", "f1", "f2", "f3", "l0", "l1", "n0"]));
    path
}

fn acl(rng: &mut Rng) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    let mut entry = |tag: u16, perm: u64, id: u32| {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&(perm as u16).to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    };
    entry(0x01, rng.below(8), u32::MAX);
    let named = rng.below(2) == 0;
    if named {
        entry(0x02, rng.below(8), *rng.pick(&USERS[1..]));
    }
    entry(0x04, rng.below(8), u32::MAX);
    if named {
        entry(0x10, rng.below(8), u32::MAX);
    }
    entry(0x20, rng.below(8), u32::MAX);
    out
}

impl Op {
    /// The next operation.
    pub fn random(rng: &mut Rng) -> Self {
        let user = if rng.once_in(2) { 0 } else { *rng.pick(&USERS) };
        Self { user, what: What::random(rng) }
    }

    /// Runs it below `root`; what it answers, or the error number.
    pub fn run(&self, root: &Path) -> Result<String, i32> {
        as_user(self.user, || self.what.run(root)).map_err(Errno::raw_os_error)
    }

    /// What is at the operation's paths now: type, mode, owner, size, attributes.
    pub fn look(&self, root: &Path) -> Vec<Result<String, i32>> {
        let look = |path: &PathBuf| stat(&root.join(path)).map_err(Errno::raw_os_error);
        self.what.paths().into_iter().map(look).collect()
    }
}

impl What {
    fn paths(&self) -> Vec<&PathBuf> {
        match self {
            Self::Copy { from, to, .. }
            | Self::Rename { from, to, .. }
            | Self::Link { from, to } => {
                vec![from, to]
            }
            Self::Create { path, .. }
            | Self::Write { path, .. }
            | Self::Read { path, .. }
            | Self::Truncate { path, .. }
            | Self::Allocate { path, .. }
            | Self::MakeDir { path, .. }
            | Self::RemoveDir { path }
            | Self::Unlink { path }
            | Self::Symlink { path, .. }
            | Self::ReadLink { path }
            | Self::MakeNode { path, .. }
            | Self::Chmod { path, .. }
            | Self::Chown { path, .. }
            | Self::SetXattr { path, .. }
            | Self::GetXattr { path, .. }
            | Self::RemoveXattr { path, .. }
            | Self::SetTimes { path, .. }
            | Self::List { path }
            | Self::Stat { path } => vec![path],
        }
    }

    fn random(rng: &mut Rng) -> Self {
        let path = path(rng);
        match rng.below(26) {
            0 | 1 => Self::Create { path, mode: *rng.pick(&MODES), exclusive: rng.once_in(2) },
            2..=4 => {
                let len = rng.below(20_000) as usize;
                let (offset, append) = (rng.below(200_000), rng.once_in(4));
                Self::Write { path, offset, data: rng.bytes(len), append }
            }
            5 => Self::Read { path, offset: rng.below(200_000), len: rng.below(60_000) as usize },
            6 => Self::Truncate { path, size: rng.below(250_000) },
            7 => Self::allocate(rng, path),
            8 => Self::copy(rng, path),
            9..=11 => Self::MakeDir { path, mode: *rng.pick(&MODES) | 0o700 },
            12 => Self::RemoveDir { path },
            13 => Self::Unlink { path },
            14 | 15 => Self::rename(rng, path),
            16 => Self::Link { from: path, to: self::path(rng) },
            17 => Self::Symlink { target: self::path(rng), path },
            18 => Self::ReadLink { path },
            19 => {
                let kinds = [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFREG];
                Self::MakeNode { path, kind: *rng.pick(&kinds), mode: *rng.pick(&MODES) }
            }
            20 => Self::Chmod { path, mode: *rng.pick(&MODES) },
            21 => {
                let mut id = || (!rng.once_in(3)).then(|| *rng.pick(&USERS));
                let (uid, gid) = (id(), id());
                // FUSE does not send a chown that changes nothing, so set-id bits stay (docs/posix.md).
                let uid = if gid.is_none() { uid.or(Some(0)) } else { uid };
                Self::Chown { path, uid, gid }
            }
            22 => Self::set_xattr(rng, path),
            23 if rng.once_in(2) => Self::GetXattr { path, name: rng.pick::<&str>(&XATTRS) },
            23 => {
                let name = if rng.once_in(2) { rng.pick(&XATTRS) } else { rng.pick(&ACLS) };
                Self::RemoveXattr { path, name }
            }
            24 if rng.once_in(2) => {
                let (secs, nanos) = (rng.below(1 << 31) as i64, rng.below(1_000_000_000) as i64);
                Self::SetTimes { path, secs, nanos }
            }
            24 => Self::List { path },
            _ => Self::Stat { path },
        }
    }

    fn allocate(rng: &mut Rng, path: PathBuf) -> Self {
        let modes = [
            FallocateFlags::empty(),
            FallocateFlags::KEEP_SIZE,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            FallocateFlags::ZERO_RANGE,
            FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        ];
        let (offset, len) = (rng.below(200_000), rng.below(100_000));
        Self::Allocate { path, mode: *rng.pick(&modes), offset, len }
    }

    fn copy(rng: &mut Rng, from: PathBuf) -> Self {
        let align = if rng.once_in(2) { 4096 } else { 1 };
        let (source, target) = (rng.below(150_000), rng.below(150_000));
        let (source, target) = (source / align * align, target / align * align);
        let len = rng.below(100_000) as usize;
        Self::Copy { from, to: path(rng), source, target, len }
    }

    fn rename(rng: &mut Rng, from: PathBuf) -> Self {
        let flags = [
            RenameFlags::empty(),
            RenameFlags::NOREPLACE,
            RenameFlags::EXCHANGE,
            RenameFlags::empty(),
        ];
        Self::Rename { from, to: path(rng), flags: *rng.pick(&flags) }
    }

    fn set_xattr(rng: &mut Rng, path: PathBuf) -> Self {
        if rng.once_in(2) {
            let (name, value) = (*rng.pick(&ACLS), acl(rng));
            return Self::SetXattr { path, name, value, flags: XattrFlags::empty() };
        }
        let flags = [XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE];
        let len = rng.below(200) as usize;
        Self::SetXattr {
            path,
            name: rng.pick::<&str>(&XATTRS),
            value: rng.bytes(len),
            flags: *rng.pick(&flags),
        }
    }

    fn run(&self, root: &Path) -> Result<String, Errno> {
        let open = |path: &Path, flags: OFlags| {
            // A fifo must not block, and its end must not differ between the two sides.
            rustix::fs::open(
                root.join(path),
                flags | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        let done = String::new();
        match self {
            Self::Create { path, mode, exclusive } => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NONBLOCK;
                let flags = if *exclusive { flags | OFlags::EXCL } else { flags | OFlags::TRUNC };
                rustix::fs::open(root.join(path), flags, Mode::from_raw_mode(*mode))?;
            }
            Self::Write { path, offset, data, append } => {
                let flags = if *append { OFlags::APPEND } else { OFlags::empty() };
                let file = open(path, OFlags::WRONLY | flags)?;
                let count = if *append {
                    rustix::io::write(&file, data)?
                } else {
                    rustix::io::pwrite(&file, data, *offset)?
                };
                return Ok(count.to_string());
            }
            Self::Read { path, offset, len } => {
                let mut data = vec![0; *len];
                let count = rustix::io::pread(open(path, OFlags::RDONLY)?, &mut data[..], *offset)?;
                let hash = xxhash_rust::xxh3::xxh3_64(&data[..count]);
                return Ok(format!("{count} {hash:x}"));
            }
            Self::Truncate { path, size } => {
                rustix::fs::ftruncate(open(path, OFlags::WRONLY)?, *size)?
            }
            Self::Allocate { path, mode, offset, len } => {
                rustix::fs::fallocate(open(path, OFlags::RDWR)?, *mode, *offset, *len)?;
            }
            Self::Copy { from, to, source, target, len } => {
                return self.copy_all(
                    &open(from, OFlags::RDONLY)?,
                    &open(to, OFlags::WRONLY)?,
                    *source,
                    *target,
                    *len,
                );
            }
            Self::MakeDir { path, mode } => {
                rustix::fs::mkdir(root.join(path), Mode::from_raw_mode(*mode))?;
            }
            Self::RemoveDir { path } => rustix::fs::rmdir(root.join(path))?,
            Self::Unlink { path } => rustix::fs::unlink(root.join(path))?,
            Self::Rename { from, to, flags } => {
                rustix::fs::renameat_with(CWD, root.join(from), CWD, root.join(to), *flags)?;
            }
            Self::Link { from, to } => rustix::fs::link(root.join(from), root.join(to))?,
            Self::Symlink { target, path } => rustix::fs::symlink(target, root.join(path))?,
            Self::ReadLink { path } => {
                return rustix::fs::readlink(root.join(path), Vec::new()).map(|t| format!("{t:?}"));
            }
            Self::MakeNode { path, kind, mode } => {
                let kind = FileType::from_raw_mode(*kind);
                let device =
                    if kind == FileType::CharacterDevice { rustix::fs::makedev(1, 3) } else { 0 };
                let mode = Mode::from_raw_mode(*mode);
                rustix::fs::mknodat(CWD, root.join(path), kind, mode, device)?;
            }
            Self::Chmod { path, mode } => {
                rustix::fs::chmod(root.join(path), Mode::from_raw_mode(*mode))?;
            }
            Self::Chown { path, uid, gid } => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(CWD, root.join(path), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Self::SetXattr { path, name, value, flags } => {
                rustix::fs::lsetxattr(root.join(path), *name, value, *flags)?;
            }
            Self::GetXattr { path, name } => {
                let mut value = vec![0; 4096];
                let len = rustix::fs::lgetxattr(root.join(path), *name, &mut value[..])?;
                return Ok(format!("{:?}", &value[..len]));
            }
            Self::RemoveXattr { path, name } => rustix::fs::lremovexattr(root.join(path), *name)?,
            Self::SetTimes { path, secs, nanos } => {
                let time = Timespec { tv_sec: *secs, tv_nsec: *nanos };
                let times = Timestamps { last_access: time, last_modification: time };
                rustix::fs::utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW)?;
                let stat = rustix::fs::lstat(root.join(path))?;
                return Ok(format!("{}.{}", stat.st_mtime, stat.st_mtime_nsec));
            }
            Self::List { path } => return list(&root.join(path)),
            Self::Stat { path } => return stat(&root.join(path)),
        }
        Ok(done)
    }

    /// A short copy is allowed, so it is repeated until nothing comes any more.
    fn copy_all<F: std::os::fd::AsFd>(
        &self,
        from: &F,
        to: &F,
        mut source: u64,
        mut target: u64,
        len: usize,
    ) -> Result<String, Errno> {
        let mut done = 0;
        while done < len {
            let (a, b) = (Some(&mut source), Some(&mut target));
            match rustix::fs::copy_file_range(from, a, to, b, len - done)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done.to_string())
    }
}

fn list(path: &Path) -> Result<String, Errno> {
    let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        names.push(format!("{:?} {:?}", entry.file_name(), entry.file_type()));
    }
    names.sort();
    Ok(names.join(", "))
}

fn stat(path: &Path) -> Result<String, Errno> {
    let stat = rustix::fs::lstat(path)?;
    let dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let mut out = String::new();
    let size = if dir { 0 } else { stat.st_size };
    let _ =
        write!(out, "{:o} {} {} {} {size}", stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink);
    for (name, value) in crate::tree::xattrs(path) {
        let _ = write!(out, " {}={:?}", OsStr::new(&name).display(), value);
    }
    Ok(out)
}
