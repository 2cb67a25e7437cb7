//! From names and numbers to what stands there: lookups, attributes, listings.

use std::sync::Arc;
use std::time::Duration;

use tintype_fs::vfs::{Attr, DirItem, DirSink, Entry, Errno, Node as Number, Reply};
use tintype_repo::{BlobId, BlobKind, Node, NodeKind};

use crate::attributes::{A_MOMENT, FOREVER, attr_of, kind_bits, number, number_of, plain_attr};
use crate::catalog::{Catalog, Menu, Row};
use crate::listing::Listing;
use crate::numbers::{Key, Spot};
use crate::tree::{Dir, Origin, RepoTree, TreeDir};

/// Up to so many chunks a file's size is their sum, as it is when the file is read; above, what its node says.
const SUMMED: usize = 1024;

/// What a number stands for.
pub(crate) enum Thing {
    /// A directory.
    Dir(Arc<Dir>),
    /// The link to the newest snapshot of a folder.
    Latest(Menu),
    /// An entry of a directory of a snapshot, no directory itself.
    Node(Arc<Dir>, Arc<Node>),
}

impl RepoTree {
    /// What a number of the kernel stands for.
    pub(crate) fn thing(&self, node: Number) -> Reply<Thing> {
        let spot = Spot::of(node);
        let (Spot::Dir(number) | Spot::Entry(number, _)) = spot;
        let dir = self.dirs.get(number).ok_or(Errno(libc::ESTALE))?;
        let Spot::Entry(_, entry) = spot else { return Ok(Thing::Dir(dir)) };
        match &*dir {
            Dir::Menu(menu) => Ok(Thing::Latest(menu.clone())),
            Dir::Tree(tree) => {
                let node = self.entry(&*self.listing(tree)?, entry)?;
                Ok(Thing::Node(dir, node))
            }
        }
    }

    /// The directory that a number stands for, and its own number.
    pub(crate) fn dir(&self, node: Number) -> Reply<(u64, Arc<Dir>)> {
        let Spot::Dir(number) = Spot::of(node) else { return Err(Errno(libc::ENOTDIR)) };
        Ok((number, self.dirs.get(number).ok_or(Errno(libc::ESTALE))?))
    }

    fn entry(&self, listing: &Listing, number: u32) -> Reply<Arc<Node>> {
        listing.get(number).map_err(|error| self.broken(&error))
    }

    /// The node of a directory of a snapshot; its root has none.
    pub(crate) fn node_of_dir(&self, dir: &TreeDir) -> Reply<Option<Arc<Node>>> {
        match &dir.origin {
            Origin::None => Ok(None),
            Origin::Node(node) => Ok(Some(Arc::clone(node))),
            Origin::Entry(tree, number) => {
                let listing = self.stock.listing(*tree).map_err(|error| self.broken(&error))?;
                self.entry(&listing, *number).map(Some)
            }
        }
    }

    /// Finds a name in a directory.
    pub(crate) fn find(&self, dir: Number, name: &[u8]) -> Reply<Entry> {
        let (number, dir) = self.dir(dir)?;
        match &*dir {
            Dir::Menu(menu) => {
                let catalog = self.catalog();
                let text = std::str::from_utf8(name).map_err(|_| Errno(libc::ENOENT))?;
                let row = catalog.find(menu, text).ok_or(Errno(libc::ENOENT))?;
                self.hold_row(&catalog, number, menu, &row)
            }
            Dir::Tree(tree) => {
                let listing = self.listing(tree)?;
                match listing.find(name).map_err(|error| self.broken(&error))? {
                    Some((entry, node)) => Ok(self.hold_node(number, tree, entry, &node)),
                    None => Ok(absent()),
                }
            }
        }
    }

    /// A row of a folder above the snapshots, held for the kernel.
    pub(crate) fn hold_row(
        &self,
        catalog: &Catalog,
        above: u64,
        menu: &Menu,
        row: &Row,
    ) -> Reply<Entry> {
        let (spot, attr) = match row {
            Row::Menu(menu) => {
                let (number, _) =
                    self.dirs.hold(&Key::Menu(menu.clone()), || Dir::Menu(menu.clone()));
                (Spot::Dir(number), self.menu_attr(catalog, menu))
            }
            Row::Snapshot(id) => {
                let shown = catalog.snapshot(*id).ok_or(Errno(libc::ENOENT))?;
                let above_ino = menu_number(menu);
                let root = number(above_ino, &id.0.0);
                let attr = plain_attr(root, libc::S_IFDIR, 0, Some(shown.time), self.owners);
                let dir = TreeDir {
                    tree: Some(shown.tree),
                    root,
                    above: above_ino,
                    attr,
                    origin: Origin::None,
                };
                let (number, _) = self.dirs.hold(&Key::Snapshot(above, *id), || Dir::Tree(dir));
                (Spot::Dir(number), attr)
            }
            // The kernel keeps targets of links: another target is another node.
            Row::Latest(_) => {
                (Spot::Entry(above, catalog.generation), self.latest_attr(catalog, menu))
            }
        };
        Ok(Entry { node: spot.node(), attr, entry_ttl: A_MOMENT, attr_ttl: A_MOMENT })
    }

    /// An entry of a directory of a snapshot, held for the kernel.
    fn hold_node(&self, above: u64, dir: &TreeDir, entry: u32, node: &Node) -> Entry {
        let attr = self.node_attr(dir, node);
        let spot = match node.kind {
            NodeKind::Dir => {
                let make = || {
                    Dir::Tree(TreeDir {
                        tree: node.subtree.filter(|_| node.damage().is_none()),
                        root: dir.root,
                        above: dir.attr.ino,
                        attr,
                        origin: dir.tree.map_or(Origin::None, |tree| Origin::Entry(tree, entry)),
                    })
                };
                Spot::Dir(self.dirs.hold(&Key::Entry(above, entry), make).0)
            }
            _ => Spot::Entry(above, entry),
        };
        Entry { node: spot.node(), attr, entry_ttl: FOREVER, attr_ttl: FOREVER }
    }

    /// Attributes of what a number stands for, and how long they hold.
    pub(crate) fn attr(&self, thing: &Thing) -> (Attr, Duration) {
        match thing {
            Thing::Latest(menu) => (self.latest_attr(&self.catalog(), menu), A_MOMENT),
            Thing::Dir(dir) => match &**dir {
                Dir::Menu(menu) => (self.menu_attr(&self.catalog(), menu), A_MOMENT),
                Dir::Tree(tree) => (tree.attr, FOREVER),
            },
            Thing::Node(dir, node) => match &**dir {
                Dir::Tree(tree) => (self.node_attr(tree, node), FOREVER),
                Dir::Menu(menu) => (self.menu_attr(&self.catalog(), menu), A_MOMENT),
            },
        }
    }

    fn node_attr(&self, dir: &TreeDir, node: &Node) -> Attr {
        attr_of(node, number_of(node, dir.root, dir.attr.ino), self.size(node), self.owners)
    }

    /// Bytes of a file.
    fn size(&self, node: &Node) -> u64 {
        let content = node.content.as_deref().unwrap_or_default();
        if content.len() > SUMMED && node.size > 0 {
            return node.size;
        }
        let index = self.stock.index();
        let length =
            |id: &BlobId| Some(u64::from(index.find(BlobKind::Data, *id)?.blob.plain_length()));
        content.iter().map(length).sum::<Option<u64>>().unwrap_or(node.size)
    }

    fn menu_attr(&self, catalog: &Catalog, menu: &Menu) -> Attr {
        plain_attr(menu_number(menu), libc::S_IFDIR, 0, catalog.newest(), self.owners)
    }

    fn latest_attr(&self, catalog: &Catalog, menu: &Menu) -> Attr {
        let ino = number(menu_number(menu), &(crate::catalog::LATEST, catalog.generation));
        let target = self.target(catalog, menu).unwrap_or_default();
        let size = target.len() as u64;
        plain_attr(ino, libc::S_IFLNK, size, catalog.newest(), self.owners)
    }

    /// Where the link to the newest snapshot leads.
    pub(crate) fn target(&self, catalog: &Catalog, menu: &Menu) -> Reply<String> {
        match catalog.find(menu, crate::catalog::LATEST) {
            Some(Row::Latest(target)) => Ok(target),
            _ => Err(Errno(libc::ENOENT)),
        }
    }

    /// Lists the rows of a folder above the snapshots behind `offset`.
    pub(crate) fn list_menu(
        &self,
        (above, menu): (u64, &Menu),
        rows: &[(String, Row)],
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()> {
        let (own, parent) = (menu_number(menu), menu_number(&menu.above()));
        if !dots(own, parent, offset, sink) {
            return Ok(());
        }
        let catalog = self.catalog();
        let first = usize::try_from(offset.saturating_sub(2)).unwrap_or(usize::MAX);
        for (at, (name, row)) in rows.iter().enumerate().skip(first) {
            // What is gone since the folder was opened is not listed.
            let Ok(entry) = self.hold_row(&catalog, above, menu, row) else { continue };
            let next = at as u64 + 3;
            if !self.give(entry, name.as_bytes(), next, plus, sink) {
                break;
            }
        }
        Ok(())
    }

    /// Lists a directory of a snapshot behind `offset`.
    pub(crate) fn list_tree(
        &self,
        (above, dir): (u64, &TreeDir),
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()> {
        let listing = self.listing(dir)?;
        if !dots(dir.attr.ino, dir.above, offset, sink) {
            return Ok(());
        }
        let first = u32::try_from(offset.saturating_sub(2)).unwrap_or(u32::MAX);
        for at in first..listing.len() {
            let (node, next) = (self.entry(&listing, at)?, u64::from(at) + 3);
            let taken = if plus {
                let entry = self.hold_node(above, dir, at, &node);
                self.give(entry, &node.name, next, plus, sink)
            } else {
                let (ino, kind) = (number_of(&node, dir.root, dir.attr.ino), kind_bits(&node.kind));
                let name = &node.name;
                sink.push(&DirItem { ino, next_offset: next, kind, name, entry: None })
            };
            if !taken {
                break;
            }
        }
        Ok(())
    }

    /// Gives a held entry to the kernel; lets it go when it is not taken as a lookup.
    fn give(
        &self,
        entry: Entry,
        name: &[u8],
        next_offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> bool {
        let Attr { ino, mode, .. } = entry.attr;
        let kind = mode & libc::S_IFMT;
        let item = DirItem { ino, next_offset, kind, name, entry: plus.then_some(entry) };
        let taken = sink.push(&item);
        if !(taken && plus) {
            self.let_go(entry.node, 1);
        }
        taken
    }

    /// The kernel holds a node `count` times less.
    pub(crate) fn let_go(&self, node: Number, count: u64) {
        if let Spot::Dir(number) = Spot::of(node) {
            self.dirs.forget(number, count);
        }
    }
}

/// The inode number of a folder above the snapshots.
pub(crate) fn menu_number(menu: &Menu) -> u64 {
    match menu {
        Menu::Top => 1,
        other => number(1, &other.path().as_str()),
    }
}

/// `.` and `..`; `false`: there is no room for more.
fn dots(own: u64, above: u64, offset: u64, sink: &mut dyn DirSink) -> bool {
    let mut dot = |name: &[u8], ino, next_offset| {
        sink.push(&DirItem { ino, next_offset, kind: libc::S_IFDIR, name, entry: None })
    };
    (offset >= 1 || dot(b".", own, 1)) && (offset >= 2 || dot(b"..", above, 2))
}

/// A name that a directory of a snapshot does not have, and never will.
fn absent() -> Entry {
    let attr = Attr::default();
    Entry { node: Number(0), attr, entry_ttl: FOREVER, attr_ttl: FOREVER }
}
