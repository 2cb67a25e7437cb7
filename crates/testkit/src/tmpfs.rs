//! A disk that is small: a filesystem in memory with a limit. Needs root.

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// A mounted tmpfs, gone when dropped.
#[derive(Debug)]
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// With room for so many bytes; `None` where mounting is not allowed.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = size(bytes);
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), options.as_c_str()).ok()?;
        Some(Self(folder))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes it larger.
    pub fn resize(&self, bytes: u64) {
        mount_remount(self.0.path(), MountFlags::empty(), size(bytes).to_str().unwrap()).unwrap();
    }
}

fn size(bytes: u64) -> CString {
    CString::new(format!("size={bytes},nr_inodes=0")).unwrap()
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}
