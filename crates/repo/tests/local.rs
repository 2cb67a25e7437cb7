//! Nodes from the local filesystem and back onto it, and what a hostile tree or a swapped entry can do (nothing).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};
use tintype_repo::{
    DeviceIds, EntryName, ExtendedAttribute, GoMode, GoTime, LocalDir, LocalError, LocalReader,
    LocalWriter, NameCache, NameProblem, Names, Node, NodeKind, Ownership, ReadOptions, Step,
    WriteOptions, create_dir, create_hard_link, create_special, create_symlink, open_dir,
};

fn name(text: &str) -> EntryName {
    EntryName::new(text.as_bytes()).unwrap()
}

fn read(dir: &Path, entry: &str) -> Node {
    read_with(dir, entry, ReadOptions::default()).unwrap()
}

fn read_with(dir: &Path, entry: &str, options: ReadOptions) -> Option<Node> {
    let handle = File::open(dir).unwrap();
    let read = LocalReader::new(options)
        .read(&LocalDir::new(handle.as_fd()), name(entry).as_c_str())
        .unwrap()?;
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    Some(read.node)
}

/// Makes the entry of a node, as a restore does, and sets its metadata.
fn restore(dir: &Path, node: &Node) -> Vec<Step> {
    let handle = File::open(dir).unwrap();
    let entry = EntryName::new(&node.name).unwrap();
    match node.kind {
        NodeKind::File => drop(File::create_new(dir.join("file.tmp")).and_then(|_| {
            fs::rename(dir.join("file.tmp"), dir.join(std::ffi::OsStr::from_bytes(&node.name)))
        })),
        NodeKind::Dir => create_dir(handle.as_fd(), &entry).unwrap(),
        NodeKind::Symlink => create_symlink(handle.as_fd(), &entry, &node.linktarget).unwrap(),
        _ => create_special(handle.as_fd(), &entry, node).unwrap(),
    }
    let warnings = LocalWriter::default().apply(handle.as_fd(), &entry, node).unwrap();
    warnings.iter().map(|warning| warning.step).collect()
}

/// The node without what is another one for every inode.
fn comparable(node: Node) -> Node {
    Node { inode: 0, ctime: GoTime::ZERO, size: 0, ..node }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not tested: what needs root");
    }
    root
}

#[test]
fn every_kind_comes_back() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = from.path();
    fs::write(source.join("a file"), b"").unwrap();
    lsetxattr(source.join("a file"), "user.one", b"1\0", XattrFlags::empty()).unwrap();
    lsetxattr(source.join("a file"), "user.none", b"", XattrFlags::empty()).unwrap();
    lsetxattr(source.join("a file"), "user.long", &[9; 2000], XattrFlags::empty()).unwrap();
    fs::set_permissions(source.join("a file"), PermissionsExt::from_mode(0o4751)).unwrap();
    fs::create_dir(source.join("directory")).unwrap();
    fs::set_permissions(source.join("directory"), PermissionsExt::from_mode(0o3575)).unwrap();
    symlink("nowhere\u{1}", source.join("link")).unwrap();
    mknodat(CWD, source.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o604), 0).unwrap();
    let mut names = vec!["a file", "directory", "link", "pipe"];
    if is_root() {
        let device = mknodat(
            CWD,
            source.join("device"),
            FileType::CharacterDevice,
            Mode::RUSR,
            rustix::fs::makedev(1, 7),
        );
        names.extend(device.is_ok().then_some("device"));
        lsetxattr(source.join("link"), "trusted.mark", b"on the link", XattrFlags::empty())
            .unwrap();
        std::os::unix::fs::lchown(source.join("link"), Some(12), Some(34)).unwrap();
        std::os::unix::fs::chown(source.join("pipe"), Some(4_000_000_000), Some(7)).unwrap();
    }
    for entry in names {
        let mut node = read(source, entry);
        node.mtime = GoTime { seconds: -77, nanos: 250_000_000, ..node.mtime };
        node.atime = node.mtime;
        assert_eq!(restore(to.path(), &node), [], "{entry}");
        let back =
            read_with(to.path(), entry, ReadOptions { with_atime: true, ..ReadOptions::default() })
                .unwrap();
        let node = Node { mtime: back.mtime, atime: back.atime, ..node };
        assert_eq!(
            (back.mtime.seconds, back.mtime.nanos, back.atime.seconds),
            (-77, 250_000_000, -77),
            "{entry}"
        );
        assert_eq!(comparable(back), comparable(node), "{entry}");
    }
    if is_root() {
        assert_eq!(read(to.path(), "link").extended_attributes.len(), 1);
    }
}

#[test]
fn options_of_reading() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("single"), b"abc").unwrap();
    fs::write(dir.path().join("double"), b"abc").unwrap();
    fs::hard_link(dir.path().join("double"), dir.path().join("twin")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap());
    let options = |device_ids| ReadOptions { device_ids, ..ReadOptions::default() };
    let device = |entry: &str, ids| read_with(dir.path(), entry, options(ids)).unwrap().device_id;
    let actual = fs::metadata(dir.path()).unwrap().dev();
    assert_eq!(
        (device("single", DeviceIds::Always), device("single", DeviceIds::HardLinks)),
        (actual, 0)
    );
    assert_eq!(
        (device("double", DeviceIds::HardLinks), device("double", DeviceIds::Never)),
        (actual, 0)
    );
    assert_eq!(read_with(dir.path(), "socket", ReadOptions::default()), None);
    let socket =
        read_with(dir.path(), "socket", ReadOptions { sockets: true, ..ReadOptions::default() })
            .unwrap();
    assert_eq!((socket.kind, socket.links, socket.size), (NodeKind::Socket, 0, 0));
    assert_eq!(read(dir.path(), "twin").hard_link(), read(dir.path(), "double").hard_link());
    assert_eq!(read(dir.path(), "single").hard_link(), None);
    let handle = File::open(dir.path()).unwrap();
    let missing =
        LocalReader::new(ReadOptions::default()).read(&LocalDir::new(handle.as_fd()), c"missing");
    assert_eq!(missing.unwrap_err().io().unwrap().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn an_open_file_gives_the_same_node() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"abc").unwrap();
    lsetxattr(dir.path().join("f"), "user.one", b"1", XattrFlags::empty()).unwrap();
    let file = File::open(dir.path().join("f")).unwrap();
    let read_open = LocalReader::new(ReadOptions::default()).read_open(file.as_fd(), c"f").unwrap();
    assert_eq!(read_open.node, read(dir.path(), "f"));
    assert_eq!(read_open.node.extended_attributes.len(), 1);
    assert_eq!(read_open.node.size, 3);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let cases = [
        ("", NameProblem::Empty),
        (".", NameProblem::Dots),
        ("..", NameProblem::Dots),
        ("a/b", NameProblem::Slash),
    ];
    for (text, expected) in
        cases.into_iter().chain([("/", NameProblem::Slash), ("a\0", NameProblem::Nul)])
    {
        match EntryName::new(text.as_bytes()) {
            Err(LocalError::Name { problem, .. }) => assert_eq!(problem, expected),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn swapped_entries_reach_nothing_outside() {
    let (outside, inside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("victim"), b"x").unwrap();
    fs::set_permissions(outside.path().join("victim"), PermissionsExt::from_mode(0o600)).unwrap();
    let before = fs::metadata(outside.path().join("victim")).unwrap();
    let target = File::open(inside.path()).unwrap();
    symlink(outside.path().join("victim"), inside.path().join("file")).unwrap();
    symlink(outside.path(), inside.path().join("dir")).unwrap();

    let time = GoTime::utc(1, 0);
    let attribute = ExtendedAttribute { name: b"user.evil".to_vec(), value: Some(b"x".to_vec()) };
    let extended_attributes = vec![attribute];
    let node = Node {
        name: b"file".to_vec(),
        mode: GoMode(0o777),
        mtime: time,
        atime: time,
        uid: before.uid(),
        gid: before.gid(),
        extended_attributes,
        ..Node::default()
    };
    let writer = LocalWriter::default();
    // A file is expected, a symlink is found.
    let refused = writer.apply(target.as_fd(), &name("file"), &node);
    assert!(matches!(refused, Err(LocalError::Replaced { .. })), "{refused:?}");
    // Even a node that is a symlink changes only the symlink itself.
    let link = Node { kind: NodeKind::Symlink, ..node.clone() };
    writer.apply(target.as_fd(), &name("file"), &link).unwrap();
    assert_eq!(fs::symlink_metadata(inside.path().join("file")).unwrap().mtime(), 1);
    assert!(open_dir(target.as_fd(), &name("dir")).is_err());
    assert!(open_dir(target.as_fd(), &name("file")).is_err());
    let exists = |result: Result<(), LocalError>| {
        result.unwrap_err().io().unwrap().kind() == std::io::ErrorKind::AlreadyExists
    };
    assert!(exists(create_dir(target.as_fd(), &name("dir"))));
    assert!(exists(create_symlink(target.as_fd(), &name("file"), b"x")));
    assert!(exists(create_special(
        target.as_fd(),
        &name("file"),
        &Node { kind: NodeKind::Fifo, ..node.clone() }
    )));
    create_hard_link(target.as_fd(), &name("file"), target.as_fd(), &name("second")).unwrap();
    assert!(fs::symlink_metadata(inside.path().join("second")).unwrap().is_symlink());

    let after = fs::metadata(outside.path().join("victim")).unwrap();
    assert_eq!(
        (before.mode(), before.mtime(), before.nlink(), before.ctime_nsec()),
        (after.mode(), after.mtime(), after.nlink(), after.ctime_nsec())
    );
    assert!(lgetxattr(outside.path().join("victim"), "user.evil", &mut [0u8; 8]).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn attributes_not_in_the_node_go_away() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"").unwrap();
    let mut node = read(dir.path(), "f");
    lsetxattr(dir.path().join("f"), "user.old", b"1", XattrFlags::empty()).unwrap();
    lsetxattr(dir.path().join("f"), "user.both", b"1", XattrFlags::empty()).unwrap();
    let wanted = [("user.both", Some(b"2".to_vec())), ("user.null", None)];
    node.extended_attributes =
        wanted.map(|(name, value)| ExtendedAttribute { name: name.into(), value }).into();
    let handle = File::open(dir.path()).unwrap();
    let untouched =
        LocalWriter::new(WriteOptions { without_attributes: true, ..WriteOptions::default() });
    assert!(untouched.apply(handle.as_fd(), &name("f"), &node).unwrap().is_empty());
    assert_eq!(read(dir.path(), "f").extended_attributes.len(), 2);
    assert!(LocalWriter::default().apply(handle.as_fd(), &name("f"), &node).unwrap().is_empty());
    let mut left = read(dir.path(), "f").extended_attributes;
    left.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(left[0], node.extended_attributes[0]);
    assert_eq!(
        (&left[1].name[..], left[1].value.as_deref(), left.len()),
        (&b"user.null"[..], Some(&b""[..]), 2)
    );

    // What cannot be set is told of, and the rest is set.
    node.extended_attributes = ["nonsense.x", "user.nul\0", "user.ok"]
        .map(|name| ExtendedAttribute { name: name.into(), value: None })
        .into();
    let warnings = LocalWriter::default().apply(handle.as_fd(), &name("f"), &node).unwrap();
    assert_eq!(
        warnings.iter().map(|warning| (warning.step, warning.attribute.len())).collect::<Vec<_>>(),
        [(Step::Attribute, 10), (Step::Attribute, 9)]
    );
    assert!(
        warnings[0]
            .to_string()
            .starts_with("setting the extended attributes of `f` (nonsense.x): "),
        "{}",
        warnings[0]
    );
    assert_eq!(read(dir.path(), "f").extended_attributes.len(), 1);
}

/// One user and one group with numbers of their own.
struct OtherNames;

impl Names for OtherNames {
    fn user(&self, _: u32) -> Option<String> {
        Some("somebody".into())
    }
    fn group(&self, _: u32) -> Option<String> {
        None
    }
    fn uid(&self, user: &str) -> Option<u32> {
        (user == "somebody").then_some(4242)
    }
    fn gid(&self, _: &str) -> Option<u32> {
        None
    }
}

#[test]
fn owners_by_number_and_by_name() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"").unwrap();
    let handle = File::open(dir.path()).unwrap();
    let node = Node {
        uid: 11,
        gid: 22,
        user: Some("somebody".into()),
        group: Some("unknown".into()),
        mode: GoMode(0o700 | 1 << 23),
        ..read(dir.path(), "f")
    };
    let owner = |ownership| {
        fs::set_permissions(dir.path().join("f"), PermissionsExt::from_mode(0o600)).unwrap();
        let writer = LocalWriter::with(
            WriteOptions { ownership, ..WriteOptions::default() },
            NameCache::new(OtherNames),
        );
        let warnings = writer.apply(handle.as_fd(), &name("f"), &node).unwrap();
        let now = fs::metadata(dir.path().join("f")).unwrap();
        (now.uid(), now.gid(), now.mode() & 0o7777, warnings.len())
    };
    // Whose file it stays, that one's rights are not lent: setuid is left out with a warning.
    assert_eq!(owner(Ownership::Unchanged), (0, 0, 0o700, 1));
    assert_eq!(owner(Ownership::Numeric), (11, 22, 0o4700, 0));
    assert_eq!(owner(Ownership::ByName), (4242, 22, 0o4700, 0));
    let nobody = Node { uid: u32::MAX, ..node.clone() };
    let warnings = LocalWriter::default().apply(handle.as_fd(), &name("f"), &nobody).unwrap();
    assert_eq!(
        warnings.iter().map(|warning| warning.step).collect::<Vec<_>>(),
        [Step::Owner, Step::Mode]
    );
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().mode() & 0o7777, 0o700);
}

/// Run with `--release -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed_of_reading() {
    let dir = tempfile::tempdir_in(std::env::var_os("SPEED_DIR").unwrap_or("/tmp".into())).unwrap();
    let names: Vec<_> =
        (0..20_000).map(|number| CString::new(format!("file {number}")).unwrap()).collect();
    for entry in &names {
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(entry.to_bytes())), b"").unwrap();
    }
    let handle = File::open(dir.path()).unwrap();
    let (reader, dir) = (LocalReader::new(ReadOptions::default()), LocalDir::new(handle.as_fd()));
    let took = (0..5).map(|_| {
        let start = std::time::Instant::now();
        for entry in &names {
            std::hint::black_box(reader.read(&dir, entry).unwrap());
        }
        start.elapsed().as_secs_f64()
    });
    println!("{:.2} µs a node", took.fold(f64::MAX, f64::min) / 20_000.0 * 1e6);
}
