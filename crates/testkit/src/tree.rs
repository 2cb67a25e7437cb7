//! A folder with everything below it as a value that can be compared and hashed.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// What there is at one path. Times other than `mtime` are left out: looking changes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names.
    pub nlink: u64,
    /// Bytes of a file, 0 otherwise.
    pub size: u64,
    /// Device number.
    pub rdev: u64,
    /// Seconds and nanoseconds; zero when times are not compared.
    pub mtime: (i64, i64),
    /// Hash of the content, or of a link's target.
    pub content: u128,
    /// Extended attributes, POSIX ACLs among them.
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The first path, in order, of the same file.
    pub same_as: Option<PathBuf>,
}

/// All paths, from the root on. Two equal trees hold the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<PathBuf, Node>);

impl Tree {
    /// Reads a folder, times included.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        Self::walk(root, true)
    }

    /// Reads a folder without times: what two folders can have in common that were changed one after the other.
    #[must_use]
    pub fn without_times(root: &Path) -> Self {
        Self::walk(root, false)
    }

    fn walk(root: &Path, times: bool) -> Self {
        let mut tree = Self::default();
        let mut todo = vec![PathBuf::new()];
        while let Some(path) = todo.pop() {
            let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
            let node = Node::read(&full, times);
            if node.mode & libc::S_IFMT == libc::S_IFDIR {
                for entry in fs::read_dir(&full).unwrap_or_else(|e| panic!("{full:?}: {e}")) {
                    todo.push(path.join(entry.unwrap().file_name()));
                }
            }
            tree.0.insert(path, node);
        }
        tree.link(root);
        tree
    }

    fn link(&mut self, root: &Path) {
        let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
        for (path, node) in &mut self.0 {
            if node.nlink > 1 && node.mode & libc::S_IFMT != libc::S_IFDIR {
                let ino = fs::symlink_metadata(root.join(path)).unwrap().ino();
                node.same_as = Some(first.entry(ino).or_insert_with(|| path.clone()).clone());
            }
        }
    }

    /// One number for everything.
    #[must_use]
    pub fn hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        for (path, node) in &self.0 {
            hash.update(path.as_os_str().as_bytes());
            hash.update(format!("{node:?}").as_bytes());
        }
        hash.digest128()
    }

    /// What differs, in words; empty when equal.
    #[must_use]
    pub fn difference(&self, other: &Self) -> String {
        let mut out = String::new();
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for path in paths {
            let (a, b) = (self.0.get(path), other.0.get(path));
            if a != b {
                out.push_str(&format!("{path:?}:\n  {a:?}\n  {b:?}\n"));
            }
        }
        out
    }
}

impl Node {
    fn read(path: &Path, times: bool) -> Self {
        let meta = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let file = meta.is_file();
        Self {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            nlink: meta.nlink(),
            size: if file { meta.len() } else { 0 },
            rdev: device(&meta),
            mtime: if times { (meta.mtime(), meta.mtime_nsec()) } else { (0, 0) },
            content: content(path, &meta),
            xattrs: xattrs(path),
            same_as: None,
        }
    }
}

fn device(meta: &Metadata) -> u64 {
    let kind = meta.file_type();
    if kind.is_block_device() || kind.is_char_device() { meta.rdev() } else { 0 }
}

fn content(path: &Path, meta: &Metadata) -> u128 {
    if meta.is_symlink() {
        return xxh3_128(fs::read_link(path).unwrap().as_os_str().as_bytes());
    }
    if !meta.is_file() {
        return 0;
    }
    let mut file = fs::File::open(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; 1 << 18]);
    loop {
        let count = file.read(&mut buffer).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        if count == 0 {
            return hash.digest128();
        }
        hash.update(&buffer[..count]);
    }
}

/// All extended attributes that we may read.
#[must_use]
pub fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names[..]) else { return BTreeMap::new() };
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.filter_map(|name| Some((OsString::from_vec(name.to_vec()), xattr(path, name)?))).collect()
}

fn xattr(path: &Path, name: &[u8]) -> Option<Vec<u8>> {
    let mut value = vec![0; 65_536];
    let len = rustix::fs::lgetxattr(path, CString::new(name).unwrap(), &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}
