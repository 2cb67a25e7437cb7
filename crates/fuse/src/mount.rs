//! Attaching a connection to a directory, and detaching it.
//!
//! As root with mount(2); otherwise through the helper `fusermount3`, which opens the device,
//! mounts, and hands the descriptor over a socket. It knows nothing of the protocol.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

use crate::error::FuseError;
use crate::mountinfo;
use crate::options::Options;
use crate::sys;

/// Where this process has mounted something.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where, without symlinks.
    pub dir: PathBuf,
    /// `major:minor`, to tell our mount from one that came later at the same place.
    pub number: String,
}

/// Mounts at `dir`; returns the connection and the place.
pub(crate) fn mount(dir: &Path, options: &Options) -> Result<(OwnedFd, Place), FuseError> {
    let point = |source| FuseError::MountPoint { dir: dir.to_owned(), source };
    let full = dir.canonicalize().map_err(point)?;
    let meta = fs::metadata(&full).map_err(point)?;
    if !meta.is_dir() {
        return Err(point(io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    let device = if rustix::process::geteuid().is_root() {
        let device = sys::open_device().map_err(FuseError::Device)?;
        as_root(&device, &full, meta.mode(), options)?;
        device
    } else {
        through_helper(&full, options)?
    };
    let found = mountinfo::fuse_mount_at(&full).map_err(point)?;
    let number = found.map(|mount| mount.device).unwrap_or_default();
    Ok((device, Place { dir: full, number }))
}

fn as_root(device: &OwnedFd, dir: &Path, mode: u32, options: &Options) -> Result<(), FuseError> {
    let refused = |reason: String| FuseError::Mount { dir: dir.to_owned(), reason };
    let data = format!(
        "fd={},rootmode={:o},user_id=0,group_id=0{}{}",
        device.as_raw_fd(),
        mode & libc::S_IFMT,
        if options.permissions { ",default_permissions" } else { "" },
        if options.allow_other { ",allow_other" } else { "" },
    );
    let data = CString::new(data).map_err(|error| refused(error.to_string()))?;
    let kind = options.subtype.as_ref().map_or("fuse".to_owned(), |name| format!("fuse.{name}"));
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, options.nosuid);
    flags.set(MountFlags::NODEV, options.nodev);
    rustix::mount::mount(options.fsname.as_str(), dir, kind.as_str(), flags, Some(data.as_c_str()))
        .map_err(|error| refused(format!("{error}; see the kernel's log")))
}

fn through_helper(dir: &Path, options: &Options) -> Result<OwnedFd, FuseError> {
    let refused = |reason: String| FuseError::Mount { dir: dir.to_owned(), reason };
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| refused(error.to_string()))?;
    let mut command = Command::new("fusermount3");
    command.env("_FUSE_COMMFD", theirs.as_raw_fd().to_string());
    command.arg("-o").arg(helper_options(options)).arg("--").arg(dir);
    sys::inherit(&mut command, &theirs);
    let output = command.output().map_err(|error| {
        refused(format!("the helper fusermount3 cannot run: {error}; install the fuse3 package"))
    })?;
    drop(theirs);
    if !output.status.success() {
        return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    receive(&ours).map_err(|error| refused(format!("fusermount3 sent no descriptor: {error}")))
}

fn helper_options(options: &Options) -> String {
    let mut all = vec![format!("fsname={}", options.fsname)];
    all.extend(options.permissions.then(|| "default_permissions".to_owned()));
    all.extend(options.subtype.as_ref().map(|name| format!("subtype={name}")));
    all.extend((options.allow_other && others_permitted()).then(|| "allow_other".to_owned()));
    all.extend(options.read_only.then(|| "ro".to_owned()));
    all.join(",")
}

/// Whether this user may open mounts to others: root always, ordinary users where `/etc/fuse.conf` says so.
#[must_use]
pub fn others_permitted() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    conf.lines().any(|line| line.trim() == "user_allow_other")
}

fn receive(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket.as_fd(), &mut buffers, &mut extra, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = extra.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    descriptor.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

impl Place {
    /// Whether our mount is still the topmost one at its place.
    pub(crate) fn is_mounted(&self) -> bool {
        let found = mountinfo::fuse_mount_at(&self.dir).ok().flatten();
        found.is_some_and(|mount| mount.device == self.number)
    }

    /// Unmounts; with `detach` also while programs use it (they keep what they have open).
    pub(crate) fn unmount(&self, detach: bool) -> Result<(), FuseError> {
        if !self.is_mounted() {
            return Ok(());
        }
        unmount(&self.dir, detach)
    }

    /// Ends the connection; programs that use the mount get errors from now on.
    pub(crate) fn abort(&self) {
        if self.is_mounted() && rustix::process::geteuid().is_root() {
            // The kernel ends the connection first and then says that the mount is busy, if it is.
            let _ = rustix::mount::unmount(&self.dir, UnmountFlags::FORCE | UnmountFlags::NOFOLLOW);
        }
    }

    /// Raises the read-ahead, where the caller may; returns whether it did.
    pub(crate) fn set_read_ahead(&self, kib: u32) -> bool {
        let file = format!("/sys/class/bdi/{}/read_ahead_kb", self.number);
        fs::write(file, kib.to_string()).is_ok()
    }
}

/// Unmounts whatever lies topmost at `dir`.
pub(crate) fn unmount(dir: &Path, detach: bool) -> Result<(), FuseError> {
    if !rustix::process::geteuid().is_root() {
        return unmount_through_helper(dir, detach);
    }
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, detach);
    match rustix::mount::unmount(dir, flags) {
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()), // INVAL: someone else was faster
        Err(rustix::io::Errno::BUSY) => Err(FuseError::Busy { dir: dir.to_owned() }),
        Err(error) => Err(FuseError::Unmount { dir: dir.to_owned(), reason: error.to_string() }),
    }
}

fn unmount_through_helper(dir: &Path, detach: bool) -> Result<(), FuseError> {
    let failed = |reason| FuseError::Unmount { dir: dir.to_owned(), reason };
    let mut command = Command::new("fusermount3");
    command.arg(if detach { "-uz" } else { "-u" }).arg("--").arg(dir).env("LC_ALL", "C");
    let output = command.output().map_err(|error| failed(format!("fusermount3: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false if said.contains("busy") => Err(FuseError::Busy { dir: dir.to_owned() }),
        false => Err(failed(said)),
    }
}
