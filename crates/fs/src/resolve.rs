//! From paths to inode numbers of the live filesystem and back, for those who name things by number.
//!
//! Symlinks are not followed. Reads only.

use crate::edit::Edit;
use crate::error::Result;
use crate::keys::ROOT_INO;
use crate::mounted::Mounted;
use crate::paths;
use crate::vfs::ROOT;

impl Mounted {
    /// The inode at a path from the root.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR` for the path, or the store failed.
    pub fn inode_at(&self, path: &[u8]) -> Result<u64> {
        self.at(ROOT)?;
        self.live.edit(|edit| edit.inode_at(path))
    }

    /// A path of an inode from the root, without a leading slash; none when it has no name.
    ///
    /// # Errors
    /// The store failed, or a record on the way is damaged.
    pub fn path_of(&self, ino: u64) -> Result<Option<Vec<u8>>> {
        self.at(ROOT)?;
        let mut state = self.live.state.lock();
        Ok(paths::paths(&mut state.line, ino)?.into_iter().next())
    }
}

impl Edit<'_> {
    pub(crate) fn inode_at(&mut self, path: &[u8]) -> Result<u64> {
        let mut at = ROOT_INO;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            self.directory(at)?;
            at = self.existing(at, name)?.ino;
        }
        Ok(at)
    }
}
