//! Calls by node: each finds its place, sees to `.snapshots`, and hands on to trees and moments.

use crate::create::New;
use crate::error::{FsError, Result, refuse};
use crate::inode::{APPEND, IMMUTABLE, Inode};
use crate::keys::ROOT_INO;
use crate::listing;
use crate::mounted::Mounted;
use crate::names::check_name;
use crate::nodes::{LIVE, SNAPSHOTS, unpack};
use crate::place::Place;
use crate::rename::At;
use crate::tree::FOREVER;
use crate::vfs::{Attr, Caller, DirSink, Entry, Handle, Node, Opened, ROOT, SetAttr, Vfs};
use crate::{read, reading, snapdir};
use std::time::Duration;

/// Bit of a handle whose reads leave the access time alone.
const QUIET: u64 = 1;

/// The answer to an open.
pub(crate) const fn opened(flags: i32, keep_cache: bool) -> Opened {
    let quiet = flags & libc::O_NOATIME != 0;
    let handle = Handle(if quiet { QUIET } else { 0 });
    // Closing has to write the pages of shared mappings back: flushing a mount before a snapshot opens and closes.
    Opened { handle, keep_cache, direct: false, no_flush: false }
}

const fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0
}

/// Refuses to open a protected file in a way that it does not allow.
fn check_open(inode: &Inode, flags: i32) -> Result<()> {
    if !writes(flags) {
        return Ok(());
    }
    if inode.is_dir() {
        return refuse(libc::EISDIR);
    }
    let appends = flags & libc::O_APPEND != 0 && flags & libc::O_TRUNC == 0;
    if inode.has(IMMUTABLE) || (inode.has(APPEND) && !appends) {
        return refuse(libc::EPERM);
    }
    Ok(())
}

impl Mounted {
    /// Finds a name anywhere.
    pub(crate) fn find(&self, dir: Node, name: &[u8]) -> Result<Entry> {
        if snapdir::is_here(dir, name) {
            self.at(ROOT)?;
            return Ok(snapdir::entry(&self.moments));
        }
        if dir == snapdir::NODE {
            return self.find_moment(name);
        }
        let (place, ino) = self.at(dir)?;
        match name {
            b"." => return self.find_node(dir),
            b".." => return self.find_parent(&place, ino),
            _ => check_name(name)?,
        }
        let found = match &place {
            // Under one lock, so that the kernel holds the node before it can vanish.
            Place::Live(tree) => tree.find(ino, name)?,
            Place::Frozen(_) => place.with(|m, seed| {
                reading::directory(m, ino)?;
                let Some(found) = reading::find(m, seed, ino, name)? else { return Ok(None) };
                let (inode, _) = reading::inode(m, found.ino)?;
                Ok(Some(Self::entry(&place, ino, name, found.ino, &inode)))
            })?,
        };
        match found {
            Some(entry) => Ok(entry),
            None => {
                let frozen = matches!(place, Place::Frozen(_));
                let ttl = if frozen { FOREVER } else { self.negatives.add(dir, name) };
                Ok(absent(ttl))
            }
        }
    }

    /// Finds an access point.
    pub(crate) fn find_moment(&self, name: &[u8]) -> Result<Entry> {
        self.at(ROOT)?;
        match name {
            b"." => Ok(snapdir::entry(&self.moments)),
            b".." => self.find_node(ROOT),
            _ => snapdir::lookup(&self.moments, name),
        }
    }

    /// The entry of a node itself.
    pub(crate) fn find_node(&self, node: Node) -> Result<Entry> {
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        Ok(Self::entry(&place, ino, b"", ino, &inode))
    }

    /// The entry of the directory above.
    pub(crate) fn find_parent(&self, place: &Place, ino: u64) -> Result<Entry> {
        if ino == ROOT_INO {
            return match place.slot() {
                LIVE => self.find_node(ROOT),
                _ => Ok(snapdir::entry(&self.moments)),
            };
        }
        let parent = place.with(|m, _| reading::directory(m, ino))?.parent;
        self.find_node(place.node(parent))
    }

    /// Attributes of any node, and how long they may be trusted.
    pub(crate) fn attributes(&self, node: Node) -> Result<(Attr, Duration)> {
        if node == snapdir::NODE {
            self.at(ROOT)?;
            return Ok((snapdir::attr(&self.moments), snapdir::TTL));
        }
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        Ok((inode.attr(node.0), FOREVER))
    }

    /// Makes an object.
    pub(crate) fn make(&self, who: &Caller, dir: Node, name: &[u8], new: New<'_>) -> Result<Entry> {
        let (tree, ino) = self.maker(dir, name)?;
        tree.make(who, ino, name, new)
    }

    /// Opens a node.
    pub(crate) fn open_node(&self, who: &Caller, node: Node, flags: i32) -> Result<Opened> {
        let (place, ino) = self.at(node)?;
        if writes(flags) {
            place.writable()?;
        }
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        check_open(&inode, flags)?;
        if flags & libc::O_TRUNC != 0 && inode.is_file() {
            let kill_suid = who.uid != 0;
            let set = SetAttr { size: Some(0), kill_suid, ..SetAttr::default() };
            place.writable()?.set_attributes(who, ino, &set)?;
        }
        Ok(opened(flags, true))
    }

    /// Makes and opens a file, or opens the one that is there.
    pub(crate) fn create_node(
        &self,
        who: &Caller,
        dir: Node,
        name: &[u8],
        new: New<'_>,
        flags: i32,
    ) -> Result<(Entry, Opened)> {
        let (tree, ino) = self.maker(dir, name)?;
        let exclusive = flags & libc::O_EXCL != 0;
        let (entry, made) = tree.make_or_find(who, ino, name, new, exclusive)?;
        if made {
            return Ok((entry, opened(flags, true)));
        }
        match self.open_node(who, entry.node, flags) {
            Ok(open) => {
                let attr = self.attributes(entry.node)?.0;
                Ok((Entry { attr, ..entry }, open))
            }
            Err(error) => {
                self.forget(entry.node, 1);
                Err(error)
            }
        }
    }

    /// Removes a name.
    pub(crate) fn remove(&self, dir: Node, name: &[u8], directory: bool) -> Result<()> {
        let (tree, ino) = self.target(dir)?;
        match (snapdir::is_here(dir, name), directory) {
            (true, _) => refuse(libc::EPERM),
            (false, true) => tree.rmdir(ino, name),
            (false, false) => tree.unlink(ino, name),
        }
    }

    /// Renames inside one writable tree.
    pub(crate) fn rename_names(
        &self,
        who: &Caller,
        (dir, name): (Node, &[u8]),
        (new_dir, new_name): (Node, &[u8]),
        flags: u32,
    ) -> Result<()> {
        let ((from, a), (to, b)) = (unpack(dir), unpack(new_dir));
        let special = snapdir::is_here(dir, name) || snapdir::is_here(new_dir, new_name);
        if from != to || from == SNAPSHOTS || special {
            return refuse(libc::EXDEV);
        }
        match self.at(dir)?.0 {
            Place::Live(tree) => {
                tree.rename(who, At { dir: a, name }, At { dir: b, name: new_name }, flags)
            }
            Place::Frozen(_) => refuse(libc::EXDEV),
        }
    }

    /// Makes a hard link inside one writable tree.
    pub(crate) fn link_node(&self, node: Node, dir: Node, name: &[u8]) -> Result<Entry> {
        let ((from, ino), (to, dir_ino)) = (unpack(node), unpack(dir));
        if from != to {
            return refuse(libc::EXDEV);
        }
        let (tree, _) = self.maker(dir, name)?;
        tree.link(ino, dir_ino, name)
    }

    /// Lists a directory.
    pub(crate) fn list_node(
        &self,
        node: Node,
        handle: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        if node == snapdir::NODE {
            self.at(ROOT)?;
            snapdir::list(&self.moments, offset, sink);
            return Ok(());
        }
        let (place, ino) = self.at(node)?;
        listing::list(&place, ino, offset, plus, sink)?;
        if let Place::Live(tree) = &place
            && offset == 0
            && handle.0 & QUIET == 0
        {
            let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
            tree.accessed(ino, &inode);
        }
        Ok(())
    }

    /// Reads a file and notes the access.
    pub(crate) fn read_node(
        &self,
        node: Node,
        handle: Handle,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize> {
        let (place, ino) = self.at(node)?;
        let (count, inode) = read::read(&place, ino, offset, buf)?;
        if let Place::Live(tree) = &place
            && handle.0 & QUIET == 0
        {
            tree.accessed(ino, &inode);
        }
        Ok(count)
    }

    /// The target of a symlink.
    pub(crate) fn symlink_target(&self, node: Node) -> Result<Vec<u8>> {
        let (place, ino) = self.at(node)?;
        let (inode, _) = place.with(|m, _| reading::inode(m, ino))?;
        if inode.kind() != libc::S_IFLNK {
            return refuse(libc::EINVAL);
        }
        if let Place::Live(tree) = &place {
            tree.accessed(ino, &inode);
        }
        Ok(inode.target.into_vec())
    }

    /// Makes everything durable.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.is_shut_down() {
            return Err(FsError::ShutDown);
        }
        Ok(self.store.sync()?)
    }
}

/// The answer that a name does not exist, which the kernel may remember.
fn absent(ttl: Duration) -> Entry {
    Entry { node: Node(0), attr: Attr::default(), entry_ttl: ttl, attr_ttl: ttl }
}
