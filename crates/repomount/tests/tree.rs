//! The tree without a kernel: what calls of the seam answer, over repositories in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use tintype_fs::vfs::{Caller, DirItem, DirSink, Entry, Errno, Handle, Node as Number, ROOT, Vfs};
use tintype_repo::{
    Actor, BlobId, BlobKind, BlobOptions, BlobWriter, ExtendedAttribute, MemoryBackend, Node,
    NodeKind, Repository, Scratch, SnapshotFile, Version, encode_tree,
};
use tintype_repomount::{RepoTree, TreeOptions};

const WHO: Caller = Caller { uid: 0, gid: 0, pid: 0 };
const OPTIONS: TreeOptions = TreeOptions { owner_root: false, uid: 7, gid: 8 };

fn repository() -> Repository {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let place = Arc::new(MemoryBackend::new());
    Repository::init(place, b"p", Version::V2, None, &Actor::default(), now).unwrap()
}

/// Stores blobs; gives their ids.
fn store(repo: &Repository, kind: BlobKind, blobs: &[&[u8]]) -> Vec<BlobId> {
    let index = Arc::new(repo.index().unwrap());
    let writer = BlobWriter::new(repo.clone(), index, BlobOptions::default());
    let ids = blobs.iter().map(|bytes| {
        let id = BlobId::of(bytes);
        writer.add(&mut Scratch::default(), kind, id, bytes).unwrap();
        id
    });
    let ids = ids.collect();
    writer.finish().unwrap();
    ids
}

fn snapshot(repo: &Repository, tree: &[u8], time: &str, host: &str) -> SnapshotFile {
    let tree = store(repo, BlobKind::Tree, &[tree])[0];
    let mut snapshot = SnapshotFile::new(time.parse().unwrap(), tree);
    snapshot.hostname = host.to_owned();
    repo.save_snapshot(&mut snapshot).unwrap();
    snapshot
}

fn file(name: &str) -> Node {
    Node { name: name.into(), content: Some(vec![]), links: 1, ..Node::default() }
}

fn one(repo: &Repository, snapshot: &SnapshotFile) -> RepoTree {
    RepoTree::of_one(repo.clone(), snapshot, b"", OPTIONS).unwrap()
}

fn all(repo: &Repository) -> RepoTree {
    RepoTree::of_all(repo.clone(), Box::new(|_| true), OPTIONS).unwrap()
}

/// What a listing gives; `room`: the most entries that are taken.
#[derive(Default)]
struct Taken {
    room: usize,
    items: Vec<(String, u64, u64, Option<Entry>)>,
}

impl DirSink for Taken {
    fn push(&mut self, item: &DirItem<'_>) -> bool {
        let fits = self.items.len() < self.room;
        if fits {
            let name = String::from_utf8_lossy(item.name).into_owned();
            self.items.push((name, item.ino, item.next_offset, item.entry));
        }
        fits
    }
}

/// All entries, some at a time.
fn list(tree: &RepoTree, dir: Number, plus: bool) -> Vec<(String, u64, Option<Entry>)> {
    let opened = tree.opendir(&WHO, dir, 0).unwrap();
    let (mut found, mut offset) = (Vec::new(), 0);
    loop {
        let mut taken = Taken { room: 97, items: vec![] };
        tree.readdir(&WHO, dir, opened.handle, offset, plus, &mut taken).unwrap();
        let Some(last) = taken.items.last() else { break };
        offset = last.2;
        found.extend(taken.items.into_iter().map(|(name, ino, _, entry)| (name, ino, entry)));
    }
    tree.releasedir(dir, opened.handle);
    found
}

fn names(tree: &RepoTree, dir: Number) -> Vec<String> {
    let all = list(tree, dir, false).into_iter().map(|(name, ..)| name);
    all.filter(|name| name != "." && name != "..").collect()
}

/// The entry at a path.
fn at(tree: &RepoTree, path: &str) -> Result<Entry, Errno> {
    let mut entry = None;
    for name in path.split('/') {
        let dir = entry.map_or(ROOT, |entry: Entry| entry.node);
        let found = tree.lookup(&WHO, dir, name.as_bytes())?;
        if found.node == Number(0) {
            return Err(Errno(libc::ENOENT));
        }
        entry = Some(found);
    }
    Ok(entry.unwrap())
}

#[test]
fn snapshots_are_found_by_id_time_host_and_tag() {
    let repo = repository();
    let tree = encode_tree(&[file("f")]).unwrap();
    let first = snapshot(&repo, &tree, "2026-01-01T00:00:00Z", "../etc");
    let second = snapshot(&repo, &tree, "2026-01-02T00:00:00Z", "h");
    let tree = all(&repo);
    assert_eq!(names(&tree, ROOT), ["hosts", "ids", "snapshots", "tags"]);
    for path in [
        format!("ids/{}/f", first.id.0.short()),
        "snapshots/2026-01-02T00:00:00Z/f".to_owned(),
        "hosts/h/2026-01-02T00:00:00Z/f".to_owned(),
        "hosts/.._etc/2026-01-01T00:00:00Z/f".to_owned(),
    ] {
        assert!(at(&tree, &path).is_ok(), "{path}");
    }
    let latest = at(&tree, "hosts/h/latest").unwrap();
    assert_eq!(tree.readlink(&WHO, latest.node).unwrap(), b"2026-01-02T00:00:00Z");
    assert_eq!(latest.attr.mode & libc::S_IFMT, libc::S_IFLNK);
    assert_eq!(at(&tree, "ids/latest"), Err(Errno(libc::ENOENT)));
    let ids = at(&tree, "ids").unwrap();
    assert_eq!((ids.attr.uid, ids.attr.gid, ids.attr.mode & 0o777), (7, 8, 0o555));
    let mut wanted = [first.id.0.short(), second.id.0.short()];
    wanted.sort();
    assert_eq!(names(&tree, ids.node), wanted);
    // The same directory under another name is another one for the kernel.
    let by_id = at(&tree, &format!("ids/{}", second.id.0.short())).unwrap();
    let by_time = at(&tree, "snapshots/2026-01-02T00:00:00Z").unwrap();
    assert!(by_id.node != by_time.node && by_id.attr.ino != by_time.attr.ino);
}

#[test]
fn what_is_hostile_is_not_served() {
    let repo = repository();
    let names_in_tree = ["..", ".", "", "a/../../b", "ok", "ok", "z\\u0000"];
    let nodes = names_in_tree.map(|name| {
        format!(r#"{{"name":"{name}","type":"symlink","linktarget":"x","content":null}}"#)
    });
    let tree = format!("{{\"nodes\":[{}]}}\n", nodes.join(","));
    let snapshot = snapshot(&repo, tree.as_bytes(), "2026-01-01", "h");
    let tree = one(&repo, &snapshot);
    assert_eq!(names(&tree, ROOT), ["ok"]);
    for name in ["..", ".", "", "a/../../b", "b", "z\0"] {
        let found = tree.lookup(&WHO, ROOT, name.as_bytes()).unwrap();
        assert_eq!(found.node, Number(0), "{name:?}");
    }
    // Numbers that nobody gave.
    for number in [0, 2, 3, 1 << 28, u64::MAX, 1 << 40 | 1] {
        let node = Number(number);
        let _ = tree.getattr(&WHO, node, None);
        let _ = tree.lookup(&WHO, node, b"ok");
        assert!(tree.open(&WHO, node, 0).is_err());
        assert!(tree.read(&WHO, node, Handle(number), 0, &mut [0; 10]).is_err());
        tree.forget(node, u64::MAX);
        tree.release(node, Handle(number));
    }
    assert_eq!(names(&tree, ROOT), ["ok"]);
}

#[test]
fn damaged_nodes_fail_alone() {
    let repo = repository();
    let gone = BlobId::of(b"never stored");
    let dir = |name: &str, subtree| Node {
        name: name.into(),
        kind: NodeKind::Dir,
        subtree,
        ..Node::default()
    };
    let nodes = [
        dir("a", None),
        dir("b", Some(gone)),
        Node { content: Some(vec![gone]), size: 12, ..file("c") },
        Node { content: None, ..file("d") },
        file("e"),
    ];
    let snapshot = snapshot(&repo, &encode_tree(&nodes).unwrap(), "2026-01-01", "h");
    let tree = one(&repo, &snapshot);
    assert_eq!(names(&tree, ROOT), ["a", "b", "c", "d", "e"]);
    let eio = Errno(libc::EIO);
    for name in ["a", "b"] {
        let dir = at(&tree, name).unwrap();
        assert_eq!(tree.lookup(&WHO, dir.node, b"x").unwrap_err(), eio);
        let mut taken = Taken { room: 9, ..Taken::default() };
        let listed = tree.readdir(&WHO, dir.node, Handle(0), 0, false, &mut taken);
        assert_eq!(listed, Err(eio));
    }
    for name in ["c", "d"] {
        let file = at(&tree, name).unwrap();
        assert_eq!(tree.open(&WHO, file.node, 0).unwrap_err(), eio, "{name}");
    }
    assert_eq!(at(&tree, "c").unwrap().attr.size, 12);
    assert!(tree.open(&WHO, at(&tree, "e").unwrap().node, 0).is_ok());
    let write = tree.open(&WHO, at(&tree, "e").unwrap().node, libc::O_WRONLY);
    assert_eq!(write.unwrap_err(), Errno(libc::EROFS));
}

#[test]
fn files_are_read_by_offset() {
    let repo = repository();
    // Chunks of all lengths, also without bytes and twice the same.
    let lengths = [700usize, 0, 1, 5000, 1, 0, 0, 300_000, 5000];
    let chunks: Vec<Vec<u8>> =
        lengths.iter().map(|n| (0..*n).map(|i| (i * 7 + n) as u8).collect()).collect();
    let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let content = Some(store(&repo, BlobKind::Data, &parts));
    let whole = chunks.concat();
    // The size in the tree is wrong; what counts is what is there.
    let node = Node { content, size: 3, ..file("f") };
    let snapshot = snapshot(&repo, &encode_tree(&[node]).unwrap(), "2026-01-01", "h");
    let tree = one(&repo, &snapshot);
    let entry = at(&tree, "f").unwrap();
    assert_eq!(entry.attr.size, whole.len() as u64);
    let opened = tree.open(&WHO, entry.node, 0).unwrap();
    for (offset, length) in (0..whole.len()).step_by(977).zip((1..).step_by(613)) {
        let mut buf = vec![0; length];
        let read = tree.read(&WHO, entry.node, opened.handle, offset as u64, &mut buf).unwrap();
        let end = whole.len().min(offset + length);
        assert_eq!(&buf[..read], &whole[offset..end]);
    }
    let end = whole.len() as u64;
    assert_eq!(tree.read(&WHO, entry.node, opened.handle, end, &mut [0; 9]), Ok(0));
    assert_eq!(tree.read(&WHO, entry.node, opened.handle, u64::MAX, &mut [0; 9]), Ok(0));
    tree.release(entry.node, opened.handle);
    assert!(tree.read(&WHO, entry.node, opened.handle, 0, &mut [0; 9]).is_err());
}

#[test]
fn numbers_are_stable_and_links_share_theirs() {
    let repo = repository();
    let linked = |name: &str, inode| Node { inode, links: 2, ..file(name) };
    let attribute =
        |name: &str| ExtendedAttribute { name: name.into(), value: Some(b"v".to_vec()) };
    let attributes = vec![attribute("trusted.t"), attribute("user.u")];
    let below = encode_tree(&[linked("b", 5), file("x")]).unwrap();
    let below = store(&repo, BlobKind::Tree, &[&below])[0];
    let dir = Node {
        name: b"d".to_vec(),
        kind: NodeKind::Dir,
        subtree: Some(below),
        extended_attributes: attributes,
        ..Node::default()
    };
    let nodes = [linked("a", 5), linked("c", 6), dir, file("x")];
    let tree = encode_tree(&nodes).unwrap();
    let first = snapshot(&repo, &tree, "2026-01-01", "h");
    snapshot(&repo, &tree, "2026-01-02", "h");
    let ino = |tree: &RepoTree, path: &str| at(tree, path).unwrap().attr.ino;
    let (tree, again) = (all(&repo), all(&repo));
    let (day, next) = ("snapshots/2026-01-01T00:00:00Z", "snapshots/2026-01-02T00:00:00Z");
    assert_eq!(ino(&tree, &format!("{day}/a")), ino(&tree, &format!("{day}/d/b")));
    assert_ne!(ino(&tree, &format!("{day}/a")), ino(&tree, &format!("{day}/c")));
    assert_ne!(ino(&tree, &format!("{day}/a")), ino(&tree, &format!("{next}/a")));
    assert_ne!(ino(&tree, &format!("{day}/x")), ino(&tree, &format!("{day}/d/x")));
    for path in ["a", "d", "d/x"] {
        let path = format!("{day}/{path}");
        assert_eq!(ino(&tree, &path), ino(&again, &path));
    }
    // Listings say the same numbers, with and without attributes.
    let dir = at(&tree, &format!("{day}/d")).unwrap();
    let (plain, plus) = (list(&tree, dir.node, false), list(&tree, dir.node, true));
    for ((name, ino, _), (_, same, entry)) in plain.iter().zip(&plus) {
        assert_eq!(ino, same);
        if let Some(entry) = entry {
            assert_eq!((entry.attr.ino, entry.node), {
                let found = at(&tree, &format!("{day}/d/{name}")).unwrap();
                (found.attr.ino, found.node)
            });
        }
    }
    // Attributes of a directory, and of one that is the root of a mount; those of root are root's alone.
    let alone = RepoTree::of_one(repo.clone(), &first, b"d", OPTIONS).unwrap();
    let other = Caller { uid: 5, ..WHO };
    for (tree, node) in [(&tree, dir.node), (&alone, ROOT)] {
        assert_eq!(tree.listxattr(&WHO, node).unwrap(), b"trusted.t\0user.u\0");
        assert_eq!(tree.listxattr(&other, node).unwrap(), b"user.u\0");
        assert_eq!(tree.getxattr(&other, node, b"user.u").unwrap(), b"v");
        assert!(tree.getxattr(&other, node, b"trusted.t").is_err());
    }
    assert_eq!(names(&alone, ROOT), ["b", "x"]);
    assert!(RepoTree::of_one(repo.clone(), &first, b"x", OPTIONS).is_err());
    assert!(RepoTree::of_one(repo, &first, b"nothing", OPTIONS).is_err());
}

#[test]
fn large_directories_are_listed_in_steps() {
    let repo = repository();
    let nodes: Vec<_> = (0..30_000).map(|n| file(&format!("n{n:06}"))).collect();
    let snapshot = snapshot(&repo, &encode_tree(&nodes).unwrap(), "2026-01-01", "h");
    let tree = one(&repo, &snapshot);
    let listed = names(&tree, ROOT);
    assert_eq!(listed.len(), nodes.len());
    assert!(listed.windows(2).all(|pair| pair[0] < pair[1]));
    let numbers: std::collections::HashSet<_> =
        list(&tree, ROOT, false).into_iter().map(|(_, ino, _)| ino).collect();
    assert_eq!(numbers.len(), nodes.len() + 1, "`.` and `..` of the root are one");
    assert!(at(&tree, "n029999").is_ok() && at(&tree, "n030000").is_err());
}
