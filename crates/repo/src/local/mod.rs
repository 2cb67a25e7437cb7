//! Between nodes and the local filesystem: nodes read from entries of directories, and metadata of nodes put onto entries.
//!
//! Everything is done relative to open directories and by single names that cannot lead elsewhere ([`EntryName`]); symlinks are
//! never followed. So neither a hostile tree nor somebody who swaps entries meanwhile can reach outside of a restore's target.
//! Walking through directories and moving the contents of files is not done here.
//!
//! Extended attributes and changes of an inode go through `/proc/self/fd`, which must be mounted.

mod create;
mod error;
mod names;
mod read;
mod write;
mod xattr;

pub use create::{create_dir, create_hard_link, create_special, create_symlink, open_dir};
pub use error::{EntryName, LocalError, LocalWarning, Step};
pub use names::{NameCache, Names, SystemNames};
pub use read::{DeviceIds, LocalDir, LocalNode, LocalReader, ReadOptions};
pub use write::{LocalWriter, Ownership, WriteOptions};
