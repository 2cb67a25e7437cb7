//! The calls of the seam that read. Everything that would change something is left to the seam, which refuses it with `EROFS`.

use std::sync::Arc;
use std::time::Duration;

use tintype_fs::vfs::{
    Attr, Caller, DirSink, Entry, Errno, Handle, Node, Opened, READ_ONLY, Reply, Statfs, Vfs,
};
use tintype_repo::NodeKind;

use crate::attributes::{attribute, attribute_names};
use crate::entries::Thing;
use crate::handles::{Open, OpenFile};
use crate::tree::{Dir, RepoTree};

/// The longest target of a link that the kernel takes, in bytes.
const TARGET_MAX: usize = 4095;
/// Handle of a directory that needs none.
const NONE: Handle = Handle(0);

impl RepoTree {
    /// The repository's node of what a number stands for, where there is one.
    fn node(&self, node: Node) -> Reply<Option<Arc<tintype_repo::Node>>> {
        match self.thing(node)? {
            Thing::Latest(_) => Ok(None),
            Thing::Node(_, node) => Ok(Some(node)),
            Thing::Dir(dir) => match &*dir {
                Dir::Menu(_) => Ok(None),
                Dir::Tree(tree) => self.node_of_dir(tree),
            },
        }
    }

    fn open_file(&self, node: Node) -> Reply<OpenFile> {
        let Thing::Node(_, node) = self.thing(node)? else { return Err(Errno(libc::EISDIR)) };
        if node.kind != NodeKind::File {
            return Err(Errno(libc::ENXIO));
        }
        let broken = |why: &dyn std::fmt::Display| {
            self.broken(&format!("`{}`: {why}", node.name.escape_ascii()))
        };
        if let Some(damage) = node.damage() {
            return Err(broken(&damage));
        }
        let index = self.stock.index_for(node.content.as_deref().unwrap_or_default());
        OpenFile::new(&index, &node).map_err(|error| broken(&error))
    }
}

impl Vfs for RepoTree {
    fn lookup(&self, _: &Caller, dir: Node, name: &[u8]) -> Reply<Entry> {
        self.find(dir, name)
    }

    fn forget(&self, node: Node, count: u64) {
        self.let_go(node, count);
    }

    fn getattr(&self, _: &Caller, node: Node, _: Option<Handle>) -> Reply<(Attr, Duration)> {
        Ok(self.attr(&self.thing(node)?))
    }

    fn readlink(&self, _: &Caller, node: Node) -> Reply<Vec<u8>> {
        match self.thing(node)? {
            Thing::Latest(menu) => self.target(&self.catalog(), &menu).map(String::into_bytes),
            Thing::Node(_, node) if node.kind == NodeKind::Symlink => {
                let target = &node.linktarget;
                // The kernel would cut it, and lead elsewhere.
                let whole = (1..=TARGET_MAX).contains(&target.len()) && !target.contains(&0);
                if whole { Ok(target.clone()) } else { Err(Errno(libc::EIO)) }
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn open(&self, _: &Caller, node: Node, flags: i32) -> Reply<Opened> {
        if flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0 {
            return Err(READ_ONLY);
        }
        let handle = self.handles.add(Open::File(Arc::new(self.open_file(node)?)));
        Ok(Opened { handle, keep_cache: true, direct: false, no_flush: true })
    }

    fn read(
        &self,
        _: &Caller,
        _: Node,
        handle: Handle,
        offset: u64,
        buf: &mut [u8],
    ) -> Reply<usize> {
        let file = self.handles.file(handle).ok_or(Errno(libc::EBADF))?;
        file.read(&self.stock, offset, buf).map_err(|text| self.broken(&text))
    }

    fn release(&self, _: Node, handle: Handle) {
        self.handles.close(handle);
    }

    fn lseek(&self, _: Node, handle: Handle, offset: u64, whence: i32) -> Reply<u64> {
        let size = self.handles.file(handle).ok_or(Errno(libc::EBADF))?.size();
        match whence {
            _ if offset >= size => Err(Errno(libc::ENXIO)),
            libc::SEEK_DATA => Ok(offset),
            libc::SEEK_HOLE => Ok(size),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    fn opendir(&self, _: &Caller, node: Node, _: i32) -> Reply<Opened> {
        let (_, dir) = self.dir(node)?;
        let handle = match &*dir {
            Dir::Menu(menu) => self.handles.add(Open::Menu(Arc::new(self.catalog().rows(menu)))),
            Dir::Tree(_) => NONE,
        };
        Ok(Opened { handle, keep_cache: handle == NONE, direct: false, no_flush: true })
    }

    fn readdir(
        &self,
        _: &Caller,
        node: Node,
        handle: Handle,
        offset: u64,
        plus: bool,
        sink: &mut dyn DirSink,
    ) -> Reply<()> {
        let (number, dir) = self.dir(node)?;
        match &*dir {
            Dir::Tree(tree) => self.list_tree((number, tree), offset, plus, sink),
            Dir::Menu(menu) => {
                let rows = self.handles.menu(handle).ok_or(Errno(libc::EBADF))?;
                self.list_menu((number, menu), &rows, offset, plus, sink)
            }
        }
    }

    fn releasedir(&self, _: Node, handle: Handle) {
        self.handles.close(handle);
    }

    fn statfs(&self, _: Node) -> Reply<Statfs> {
        Ok(Statfs { block_size: 4096, name_max: 255, ..Statfs::default() })
    }

    fn getxattr(&self, who: &Caller, node: Node, name: &[u8]) -> Reply<Vec<u8>> {
        let node = self.node(node)?.ok_or(Errno(libc::ENODATA))?;
        if who.uid != 0 && name.starts_with(b"trusted.") {
            return Err(Errno(libc::ENODATA));
        }
        attribute(&node, name)
    }

    fn listxattr(&self, who: &Caller, node: Node) -> Reply<Vec<u8>> {
        let node = self.node(node)?;
        Ok(node.map(|node| attribute_names(&node, who.uid)).unwrap_or_default())
    }

    fn fsync(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(())
    }

    fn fsyncdir(&self, _: &Caller, _: Node, _: Handle, _: bool) -> Reply<()> {
        Ok(())
    }
}
