//! [`RepoTree`]: what is shown, with which snapshots, and how it keeps up with the repository.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tintype_fs::vfs::{Attr, Errno, Reply};
use tintype_repo::{BlobId, Node, Place, RepoError, Repository, SnapshotFile, look_up};

use crate::attributes::{Owners, attr_of, number, plain_attr};
use crate::catalog::{Catalog, Menu};
use crate::handles::Handles;
use crate::listing::Listing;
use crate::numbers::Dirs;
use crate::snapshots::{Filter, Snapshots};
use crate::stock::Stock;

/// Snapshots are not looked for more often than this.
const REFRESH: Duration = Duration::from_secs(3);
/// The inode number of the mount's root.
const ROOT_INO: u64 = 1;

/// How they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// All files belong to root, instead of to whom they belonged when they were saved.
    pub owner_root: bool,
    /// Whose the folders above the snapshots are.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
}

impl TreeOptions {
    fn owners(self) -> Owners {
        Owners { root: self.owner_root, uid: self.uid, gid: self.gid }
    }
}

/// A directory that is shown.
pub(crate) enum Dir {
    /// A folder above the snapshots.
    Menu(Menu),
    /// A directory of a snapshot.
    Tree(TreeDir),
}

/// A directory of a snapshot.
pub(crate) struct TreeDir {
    /// Its entries; `None`: the snapshot lacks them.
    pub tree: Option<BlobId>,
    /// Inode number of the snapshot's root.
    pub root: u64,
    /// Inode number of the directory above.
    pub above: u64,
    /// Attributes.
    pub attr: Attr,
    /// Where its node is.
    pub origin: Origin,
}

/// Where the node of a directory is.
pub(crate) enum Origin {
    /// Nowhere: a snapshot's root has none.
    None,
    /// Here: the root of a mount that shows a directory.
    Node(Arc<Node>),
    /// In a tree, as the entry with this number.
    Entry(BlobId, u32),
}

/// Snapshots of a repository as a tree of files. It reads only; the repository's lock is the caller's.
pub struct RepoTree {
    pub(crate) stock: Stock,
    pub(crate) owners: Owners,
    pub(crate) dirs: Dirs<Dir>,
    pub(crate) handles: Handles,
    catalog: RwLock<Arc<Catalog>>,
    seen: Mutex<Seen>,
}

/// The snapshots at the last look, `None` where one directory alone is shown.
struct Seen {
    snapshots: Option<Snapshots>,
    at: Instant,
}

impl RepoTree {
    /// All snapshots that pass the filter, by id, time, host and tag; new ones appear by themselves.
    ///
    /// # Errors
    /// The repository cannot be listed, or its index not be read.
    pub fn of_all(
        repo: Repository,
        filter: Filter,
        options: TreeOptions,
    ) -> Result<Self, RepoError> {
        // Snapshots before the index, so that it knows all that they need.
        let mut snapshots = Snapshots::new(filter);
        snapshots.look(&repo)?;
        Ok(Self::new(Stock::new(repo)?, Some(snapshots), options, Dir::Menu(Menu::Top)))
    }

    /// One directory of a snapshot; empty parts of the path and `.` do not count.
    ///
    /// # Errors
    /// [`RepoError::NoPath`] when there is no such entry, [`RepoError::Refused`] when it is no directory; damage on the way to it.
    pub fn of_one(
        repo: Repository,
        snapshot: &SnapshotFile,
        path: &[u8],
        options: TreeOptions,
    ) -> Result<Self, RepoError> {
        let stock = Stock::new(repo)?;
        let place = look_up(stock.repo(), &stock.index(), snapshot.tree, path)?;
        let tree = place.tree().ok_or_else(|| RepoError::Refused {
            detail: format!("{}: is not a folder", String::from_utf8_lossy(path)),
        })?;
        let owners = options.owners();
        let (attr, origin) = match place {
            Place::Node(node) => {
                (attr_of(&node, ROOT_INO, 0, owners), Origin::Node(Arc::new(*node)))
            }
            Place::Root(_) => {
                let attr = plain_attr(ROOT_INO, libc::S_IFDIR, 0, Some(snapshot.time), owners);
                (attr, Origin::None)
            }
        };
        let (root, above) = (number(ROOT_INO, &snapshot.id.0.0), ROOT_INO);
        let dir = Dir::Tree(TreeDir { tree: Some(tree), root, above, attr, origin });
        Ok(Self::new(stock, None, options, dir))
    }

    fn new(stock: Stock, snapshots: Option<Snapshots>, options: TreeOptions, root: Dir) -> Self {
        let shown = snapshots.as_ref().map(Snapshots::shown).unwrap_or_default();
        Self {
            stock,
            owners: options.owners(),
            dirs: Dirs::new(root),
            handles: Handles::default(),
            catalog: RwLock::new(Arc::new(Catalog::new(shown, &Catalog::default()))),
            seen: Mutex::new(Seen { snapshots, at: Instant::now() }),
        }
    }

    /// The folders above the snapshots, which may be some seconds old.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.refresh();
        Arc::clone(&self.catalog.read())
    }

    /// Looks for snapshots that came and went, if nobody has just done so or does it now.
    fn refresh(&self) {
        let Some(mut seen) = self.seen.try_lock() else { return };
        let Seen { snapshots: Some(snapshots), at } = &mut *seen else { return };
        if at.elapsed() < REFRESH {
            return;
        }
        match snapshots.look(self.stock.repo()) {
            Ok(false) => {}
            Ok(true) => {
                self.stock.expect_more();
                let new = Catalog::new(snapshots.shown(), &self.catalog.read());
                *self.catalog.write() = Arc::new(new);
            }
            Err(error) => self.stock.tell(&format!("snapshots cannot be listed: {error}")),
        }
        *at = Instant::now();
    }

    /// The entries of a directory of a snapshot.
    pub(crate) fn listing(&self, dir: &TreeDir) -> Reply<Arc<Listing>> {
        let tree = dir.tree.ok_or(Errno(libc::EIO))?;
        self.stock.listing(tree).map_err(|error| self.broken(&error))
    }

    /// Says in the log what cannot be read; programs get `EIO`.
    pub(crate) fn broken(&self, what: &dyn std::fmt::Display) -> Errno {
        self.stock.tell(&what.to_string());
        Errno(libc::EIO)
    }
}
