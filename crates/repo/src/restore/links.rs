//! Further names of files: the first one is restored, the others are linked to it when it is there.
//!
//! Names of one file have the same device and inode. Programs that leave devices out can bring together what does not belong
//! together, so the content counts too.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::AsFd;

use super::dirs::{DirId, Dirs};
use super::existing::{give_way, look, may_replace};
use super::state::{Run, count};
use crate::error::Result;
use crate::local::{EntryName, LocalError, create_hard_link};
use crate::tree::Node;

/// What names of one file have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inode {
    device: u64,
    inode: u64,
    content: u64,
}

impl Inode {
    /// `None` when the node has one name only.
    pub fn of(node: &Node) -> Option<Self> {
        let (device, inode) = node.hard_link()?;
        let mut content = DefaultHasher::new();
        (&node.kind, &node.content, node.size, &node.linktarget, node.device).hash(&mut content);
        Some(Self { device, inode, content: content.finish() })
    }
}

/// A further name.
struct Link {
    dir: DirId,
    node: Box<Node>,
    /// Number of the first name.
    first: usize,
}

/// Files with several names.
#[derive(Default)]
pub(super) struct Links {
    numbers: HashMap<Inode, usize>,
    firsts: Vec<(DirId, EntryName)>,
    further: Vec<Link>,
}

impl Links {
    /// Is there a first name already?
    pub fn knows(&self, inode: &Inode) -> bool {
        self.numbers.contains_key(inode)
    }

    /// The first name, which is restored as a whole.
    pub fn first(&mut self, inode: Inode, dir: DirId, name: EntryName) {
        self.numbers.insert(inode, self.firsts.len());
        self.firsts.push((dir, name));
    }

    /// A further one.
    pub fn further(&mut self, inode: &Inode, dir: DirId, mut node: Box<Node>) {
        if let Some(first) = self.numbers.get(inode).copied() {
            node.content = None;
            self.further.push(Link { dir, node, first });
        }
    }
}

/// Makes the further names.
pub(super) fn make(run: &Run, dirs: &Dirs, links: Links) -> Result<()> {
    for link in &links.further {
        run.check()?;
        let Some(first) = links.firsts.get(link.first) else { continue };
        match make_one(run, dirs, first, link) {
            Ok(true) => count(&run.counts.links),
            Ok(false) => count(&run.counts.kept),
            Err(error) => run.failure(dirs.path_of(link.dir, &link.node.name), error),
        }
    }
    Ok(())
}

/// False: what is there stays.
fn make_one(
    run: &Run,
    dirs: &Dirs,
    (first_dir, first): &(DirId, EntryName),
    link: &Link,
) -> Result<bool, LocalError> {
    let name = EntryName::new(&link.node.name)?;
    if run.options.dry_run && !dirs.existed(link.dir) {
        return Ok(true);
    }
    let dir = dirs.handle(link.dir)?;
    let there = if dirs.existed(link.dir) { look(dir.as_fd(), &name)? } else { None };
    if there.as_ref().is_some_and(|stat| !may_replace(run.options, &link.node, stat)) {
        return Ok(false);
    }
    if run.options.dry_run {
        return Ok(true);
    }
    let above = dirs.handle(*first_dir)?;
    if let Some(there) = there {
        let first = look(above.as_fd(), first)?;
        if first.is_some_and(|s| (s.st_dev, s.st_ino) == (there.st_dev, there.st_ino)) {
            return Ok(true);
        }
        give_way(run.options, dir.as_fd(), &name)?;
    }
    create_hard_link(above.as_fd(), first, dir.as_fd(), &name)?;
    Ok(true)
}
