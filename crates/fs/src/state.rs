//! What one writable tree keeps under its lock: the line, the counters, the caches.

use crate::dircache::{DirCache, Numbers};
use crate::error::Result;
use crate::inode::{Inode, now};
use crate::keys::{self, ROOT_INO};
use crate::leaving::Leaving;
use crate::limits::Live;
use crate::quotas::Quotas;
use crate::reading;
use crate::superblock::Super;
use std::ops::ControlFlow;
use tintype_store::{LiveLine, Moment, Piece};

/// The state of a writable tree.
pub(crate) struct State {
    /// The writable end of the history.
    pub(crate) line: LiveLine,
    /// Counters; newer than their record while `sup_dirty`.
    pub(crate) sup: Super,
    /// Bytes of its records, as the limits count them.
    pub(crate) records: u64,
    /// The counters must be written.
    pub(crate) sup_dirty: bool,
    /// Quotas of directories; newer than their records until the counters are written.
    pub(crate) quotas: Quotas,
    /// Directories whose names are all known.
    pub(crate) dirs: DirCache,
    /// Nameless inodes.
    pub(crate) orphans: Numbers,
    /// Those of them that are being removed.
    pub(crate) leaving: Leaving,
    /// The extent whose staged blocks got a second reference: it is not changed in place any more.
    pub(crate) shared_extent: Option<u64>,
}

impl State {
    /// Reads the counters and nameless inodes of a line; makes the root of a fresh one.
    pub(crate) fn load(mut line: LiveLine) -> Result<Self> {
        let found = reading::superblock(&mut line)?;
        let fresh = found.is_none();
        let sup = match found {
            Some(sup) => sup,
            None => Super {
                next_ino: ROOT_INO + 1,
                seed: random_seed(),
                blocks: 0,
                inodes: 1,
                quotas: 0,
            },
        };
        let quotas = Quotas::of(&mut line, sup.quotas)?;
        let mut state = Self {
            line,
            sup,
            records: 0,
            sup_dirty: fresh,
            quotas,
            dirs: DirCache::default(),
            orphans: Numbers::default(),
            leaving: Leaving::default(),
            shared_extent: None,
        };
        if fresh {
            state.make_root();
        } else {
            state.find_orphans()?;
        }
        Ok(state)
    }

    /// The root belongs to whoever runs the server: an ordinary user could do nothing in a root of the superuser.
    fn make_root(&mut self) {
        let time = now();
        let root = Inode {
            mode: libc::S_IFDIR | 0o755,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            nlink: 2,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
            parent: ROOT_INO,
            ..Inode::default()
        };
        self.line.put_new(keys::inode(ROOT_INO), root.encode(), Box::default());
        self.line.put_new(keys::SUPER, self.sup.encode(), Box::default());
        self.dirs.made(ROOT_INO);
    }

    fn find_orphans(&mut self) -> Result<()> {
        let mut found = Numbers::default();
        self.line.scan(keys::orphan(0), keys::orphan(u64::MAX), &mut |key, _| {
            found.insert(key.a);
            ControlFlow::Continue(())
        })?;
        self.orphans = found;
        self.leaving = Leaving::default();
        Ok(())
    }

    /// Nameless inodes that nobody holds count for no limit any more. One that cannot be read goes on counting.
    pub(crate) fn find_leaving(&mut self, held: impl Fn(u64) -> bool) {
        for ino in self.orphans.iter().copied().filter(|ino| !held(*ino)) {
            if let Ok((inode, _)) = reading::inode(&mut self.line, ino) {
                self.leaving.note(ino, inode.blocks);
            }
        }
    }

    /// What the limits look at.
    pub(crate) const fn live(&self) -> Live {
        let blocks = self.sup.blocks.saturating_sub(self.leaving.blocks());
        Live { blocks, records: self.records }
    }

    /// Writes the counters if they changed.
    pub(crate) fn flush_counters(&mut self) {
        if let Err(error) = self.quotas.flush(&mut self.line) {
            tracing::error!(%error, "the quotas cannot be written");
        }
        if !self.sup_dirty && self.sup.quotas == self.quotas.count() {
            return;
        }
        match self.line.get(keys::SUPER) {
            Ok(_) => {
                self.sup.quotas = self.quotas.count();
                self.line.put(keys::SUPER, self.sup.encode(), Box::default());
                self.sup_dirty = false;
            }
            Err(error) => tracing::error!(%error, "the counters cannot be written"),
        }
    }

    /// Reads everything again after the line was replaced. Inode numbers go on behind the old ones,
    /// so that no number stands for two files while programs hold the old one.
    pub(crate) fn reload(&mut self) -> Result<()> {
        self.dirs = DirCache::default();
        let next_ino = self.sup.next_ino;
        if let Some(sup) = reading::superblock(&mut self.line)? {
            self.sup_dirty = sup.next_ino < next_ino;
            self.sup = Super { next_ino: sup.next_ino.max(next_ino), ..sup };
        } else {
            self.make_root();
        }
        self.quotas = Quotas::of(&mut self.line, self.sup.quotas)?;
        self.find_orphans()
    }

    /// Whether a staged block can still be changed in place.
    pub(crate) fn is_open(&mut self, piece: &Piece) -> bool {
        self.shared_extent != Some(piece.extent)
            && self.line.modify(piece.extent, piece.first, 0, &[])
    }

    /// One more reference to the blocks of a piece.
    pub(crate) fn share(&mut self, piece: &Piece, at: u16) -> Piece {
        if self.is_open(piece) {
            self.shared_extent = Some(piece.extent);
        }
        self.line.share(piece, at)
    }

    /// Learns all names of a directory, when there are not too many.
    pub(crate) fn learn(&mut self, dir: u64) -> Result<()> {
        let mut hashes = Numbers::default();
        let (from, to) = (keys::dirent(dir, 0), keys::dirent(dir, u64::MAX));
        self.line.scan(from, to, &mut |key, _| {
            hashes.insert(key.b);
            ControlFlow::Continue(())
        })?;
        self.dirs.loaded(dir, hashes);
        Ok(())
    }
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => now().nanos.into(),
    }
}
