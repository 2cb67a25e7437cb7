//! Trees against restic: what it wrote is read and written again byte for byte, and our nodes of the same files give the same bytes.
//!
//! Skipped loudly where there is no restic.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::tz::TimeZone;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, mknodat, utimensat,
};
use tintype_repo::{
    BlobId, LocalDir, LocalReader, LocalZone, NameCache, Node, NodeKind, ReadOptions, decode_tree,
    encode_tree, reencodes_identically,
};

struct Oracle {
    home: tempfile::TempDir,
    zone: &'static str,
}

impl Oracle {
    /// A fresh repository. `None`: no restic here.
    fn new(zone: &'static str, place: &Path) -> Option<Self> {
        tintype_testkit::programs::find("restic")?;
        let oracle = Self { home: tempfile::tempdir_in(place).unwrap(), zone };
        oracle.run(&["init"]);
        Some(oracle)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let output = Command::new("restic")
            .args(args)
            .current_dir(self.home.path())
            .env("TZ", self.zone)
            .env("RESTIC_REPOSITORY", self.path("repository"))
            .env("RESTIC_PASSWORD", "x")
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn tree(&self, id: &BlobId) -> Vec<u8> {
        let bytes = self.run(&["cat", "blob", &id.to_string()]);
        assert_eq!(BlobId::of(&bytes), *id, "restic printed something else than the blob");
        bytes
    }

    fn root(&self) -> BlobId {
        let text = self.run(&["snapshots", "--json", "latest"]);
        let snapshots: serde_json::Value = serde_json::from_slice(&text).unwrap();
        snapshots[0]["tree"].as_str().unwrap().parse().unwrap()
    }
}

/// Names with everything: each byte, what needs escapes in Quote or in JSON, and code points of many kinds.
fn odd_names() -> Vec<Vec<u8>> {
    let bytes = (1..=255u8).filter(|byte| *byte != b'/').map(|byte| vec![b'b', byte, b'.']);
    let texts = [
        "plain name.txt",
        "quote\"s",
        "back\\slash",
        "\\x41",
        "<html>&amp;",
        "tab\there",
        "line\nfeed",
        "\u{7f}del",
        "\u{80}\u{9f}",
        "nbsp\u{a0}",
        "soft\u{ad}hyphen",
        "line\u{2028}sep\u{2029}par",
        "private\u{e000}\u{f8ff}",
        "unassigned\u{378}\u{380}",
        "e\u{301} combining",
        "\u{301}alone",
        "zwj\u{200d}\u{feff}",
        "日本語",
        "العربية",
        "\u{fffd}",
        "😀",
        "\u{f0000}\u{10fffd}",
        "\u{ffff}",
        "\u{1d173}",
        "\u{e0041}",
        "ideographic\u{3000}space",
        "Ω≈ç√∫",
        "\u{600}",
        "\u{110bd}",
        "..dots",
        "-dash",
        "~",
    ];
    let broken: [&[u8]; 7] = [
        b"half\xc3",
        b"half\xe2\x80",
        b"\xed\xa0\x80surrogate",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xff\xfe",
        b"a\xffb\xc3\xa9c\xfe",
    ];
    let texts = texts.into_iter().map(|text| text.as_bytes().to_vec());
    bytes.chain(texts).chain(broken.into_iter().map(<[u8]>::to_vec)).collect()
}

fn child(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn make_names(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    for name in odd_names() {
        std::fs::write(child(dir, &name), &name).unwrap();
    }
}

fn make_kinds(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("empty"), b"").unwrap();
    std::fs::write(dir.join("first"), b"linked").unwrap();
    std::fs::hard_link(dir.join("first"), dir.join("second")).unwrap();
    for (name, target) in
        [("link", "first"), ("dangling", "/no<where>/\"é\\"), ("long", &"x/".repeat(900)[..])]
    {
        std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
    }
    std::fs::create_dir_all(dir.join("empty directory")).unwrap();
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let _ = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    if rustix::process::geteuid().is_root() {
        make_privileged(dir);
    }
}

fn make_privileged(dir: &Path) {
    let device = |name: &str, kind, major, minor| {
        let device = rustix::fs::makedev(major, minor);
        // Containers refuse devices even to root.
        if let Err(errno) = mknodat(CWD, dir.join(name), kind, Mode::RUSR, device) {
            eprintln!("not tested: the device {name}: {errno}");
        }
    };
    device("null", FileType::CharacterDevice, 1, 3);
    device("large", FileType::CharacterDevice, 500, 70_000);
    device("disk", FileType::BlockDevice, 8, 17);
    for (place, name) in ["setuid", "setgid", "sticky"].into_iter().enumerate() {
        let path = dir.join(name);
        std::fs::write(&path, name).unwrap();
        std::os::unix::fs::chown(&path, Some(place as u32), Some(4_000_000_000)).unwrap();
        let mode = [0o4755, 0o2711, 0o1777][place];
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    }
}

fn make_attributes(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    let big = [7u8; 3000];
    let attributes: [(&str, &[u8]); 5] = [
        ("user.foo", b"bar\0\xff"),
        ("user.empty", b""),
        ("user.z<&>", b"<>"),
        ("user.big", &big),
        ("user.é", b"x"),
    ];
    for name in ["one", "many"] {
        std::fs::write(dir.join(name), name).unwrap();
        let wanted = if name == "one" { &attributes[..1] } else { &attributes[..] };
        for (attribute, value) in wanted {
            if let Err(errno) = lsetxattr(dir.join(name), *attribute, value, XattrFlags::empty()) {
                eprintln!("not tested: the extended attribute {attribute}: {errno}");
            }
        }
    }
    // An access control list: owner rw, user 1234 r, group r, mask r, others none.
    let acl = [
        2u32,
        0x6_0001,
        u32::MAX,
        0x4_0002,
        1234,
        0x4_0004,
        u32::MAX,
        0x4_0010,
        u32::MAX,
        0x20,
        u32::MAX,
    ];
    let acl: Vec<_> = acl.into_iter().flat_map(u32::to_le_bytes).collect();
    if let Err(errno) =
        lsetxattr(dir.join("one"), "system.posix_acl_access", &acl, XattrFlags::empty())
    {
        eprintln!("not tested: access control lists: {errno}");
    }
}

fn make_times(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    let times = [
        (0, 0),
        (-1, 500_000_000),
        (1, 1),
        (1_700_000_000, 120_000_000),
        (1_720_000_000, 999_999_999),
        (-2_500_000_000, 0),
        (-5_000_000_000, 7),
        (4_100_000_000, 0),
        (4_116_000_000, 10),
        (15_000_000_000, 0),
        (253_402_300_799, 0),
        (300_000_000_000, 0),
        (-62_135_596_801, 0),
        (-70_000_000_000, 0),
        (1_774_745_999, 0),
        (1_774_746_000, 0),
    ];
    for (place, (seconds, nanos)) in times.into_iter().enumerate() {
        let path = dir.join(format!("time {place}"));
        std::fs::write(&path, b"").unwrap();
        set_time(&path, seconds, nanos);
    }
    std::os::unix::fs::symlink("x", dir.join("link")).unwrap();
    set_time(&dir.join("link"), 12_345, 678_900_000);
}

/// Reads the directory's entries ourselves and takes from restic only what our nodes cannot know yet: chunks and subtrees.
fn ours(path: &Path, reader: &LocalReader, theirs: &BTreeMap<Vec<u8>, Node>) -> Vec<Node> {
    let handle = std::fs::File::open(path).unwrap();
    let dir = LocalDir::new(handle.as_fd());
    let mut nodes = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name();
        let name = CString::new(name.as_bytes()).unwrap();
        let Some(read) = reader.read(&dir, &name).unwrap() else { continue };
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
        let mut node = read.node;
        let same = theirs.get(&node.name).unwrap_or_else(|| panic!("restic has no {:?}", name));
        node.subtree = same.subtree;
        if node.kind == NodeKind::File {
            node.content = same.content.clone();
        }
        nodes.push(node);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// Compares the tree and all below it; answers how many nodes there are.
fn compare(oracle: &Oracle, id: &BlobId, path: Option<&Path>, reader: &LocalReader) -> usize {
    let bytes = oracle.tree(id);
    assert_eq!(reencodes_identically(&bytes), Ok(true), "{}", String::from_utf8_lossy(&bytes));
    let nodes = decode_tree(&bytes).unwrap();
    let by_name: BTreeMap<_, _> =
        nodes.iter().map(|node| (node.name.clone(), node.clone())).collect();
    if let Some(path) = path {
        let ours = encode_tree(&ours(path, reader, &by_name)).unwrap();
        let (ours, theirs) = (String::from_utf8_lossy(&ours), String::from_utf8_lossy(&bytes));
        for (ours, theirs) in ours.split("},{").zip(theirs.split("},{")) {
            assert_eq!(ours, theirs, "in {}", path.display());
        }
        assert_eq!(ours, theirs);
    }
    let below = nodes.iter().filter_map(|node| {
        let below = path.map(|path| child(path, &node.name));
        Some(compare(oracle, &node.subtree?, below.as_deref(), reader))
    });
    nodes.len() + below.sum::<usize>()
}

fn same_as_restic(zone: &'static str, place: &Path) {
    let Some(oracle) = Oracle::new(zone, place) else { return };
    let source = oracle.path("source");
    std::fs::create_dir(&source).unwrap();
    make_names(&source.join("names"));
    make_kinds(&source.join("kinds"));
    make_attributes(&source.join("attributes"));
    make_times(&source.join("times"));
    oracle.run(&["backup", "source"]);
    let zone = LocalZone::new(TimeZone::get(zone).unwrap());
    let reader = LocalReader::with(ReadOptions::default(), NameCache::default(), zone);
    // The root tree holds only the argument itself.
    let root = decode_tree(&oracle.tree(&oracle.root())).unwrap();
    assert_eq!((root.len(), &root[0].name[..]), (1, &b"source"[..]));
    let count = compare(&oracle, &root[0].subtree.unwrap(), Some(&source), &reader);
    assert!(count > 300, "{count}");
}

#[test]
fn in_utc() {
    same_as_restic("UTC", &std::env::temp_dir());
}

#[test]
fn in_a_zone_with_summer_time() {
    // Filesystems in memory hold times of all years.
    let memory = Path::new("/dev/shm");
    same_as_restic("Europe/Berlin", if memory.is_dir() { memory } else { Path::new("/tmp") });
}

#[test]
fn in_a_zone_behind_by_half_hours() {
    same_as_restic("America/St_Johns", &std::env::temp_dir());
}
