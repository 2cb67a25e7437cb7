//! Stores with files in them: what a damaged one is called, what filesystems and clones refer to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use tintype_app::types::{CloneRequest, FsCreate, SnapshotCreate, VolumeInfo};
use tintype_app::{App, AppOptions, NoMounter};
use tintype_fs::Mounted;
use tintype_fs::vfs::{Caller, Handle, Node, ROOT, Vfs, WriteFlags};
use tintype_kv::FjallKv;
use tintype_model::VolumeName;
use tintype_segments::{FolderFiles, Segments};
use tintype_store::{Store, StoreOptions};

const ME: Caller = Caller { uid: 0, gid: 0, pid: 1 };
/// `O_EXCL`.
const EXCL: i32 = 0o200;

fn app(store: &Path) -> Arc<App> {
    let options = AppOptions {
        store: store.to_owned(),
        create: true,
        snapshot_limits: None,
        user: "tester".into(),
    };
    App::open(options, Arc::new(NoMounter)).unwrap()
}

/// Works in a filesystem of a store that no app holds.
fn inside(path: &Path, name: &str, work: impl FnOnce(&Mounted)) {
    let kv = FjallKv::open(path.join("kv"), Default::default()).unwrap();
    let files = FolderFiles::open(path.join("segments")).unwrap();
    let segments = Segments::open(Arc::new(files), Default::default()).unwrap();
    let store = Store::open(Arc::new(kv), Arc::new(segments), StoreOptions::default()).unwrap();
    let volume = store.volume(name).unwrap().id;
    let fs = Mounted::open(Arc::clone(&store), volume).unwrap();
    work(&fs);
    fs.close().unwrap();
    drop(fs);
    store.close().unwrap();
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn write(fs: &Mounted, dir: Node, name: &str, data: &[u8]) {
    let node = fs.create(&ME, dir, name.as_bytes(), 0o644, 0, EXCL).unwrap().0.node;
    fs.write(&ME, node, Handle(0), 0, data, WriteFlags::default()).unwrap();
}

/// Flips one byte in the middle of the largest segment.
fn flip(path: &Path) {
    let entries = std::fs::read_dir(path.join("segments")).unwrap().map(Result::unwrap);
    let largest = entries.max_by_key(|entry| entry.metadata().unwrap().len()).unwrap().path();
    let mut bytes = std::fs::read(&largest).unwrap();
    assert!(bytes.len() > 65_536, "the data went elsewhere");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
}

#[test]
fn scrub_names_filesystem_snapshots_and_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let first = app(&path);
    let name = VolumeName::new("home").unwrap();
    first
        .fs_create(&FsCreate {
            name,
            quota: None,
            capacity: None,
            compression: Default::default(),
            mount: None,
        })
        .unwrap();
    first.close().unwrap();
    drop(first);
    inside(&path, "home", |fs| {
        let letters = fs.mkdir(&ME, ROOT, b"letters", 0o755, 0).unwrap().node;
        write(fs, letters, "a.bin", &noise(131_072));
    });
    let second = app(&path);
    for text in ["home@one", "home@two"] {
        second.snapshot_create(&SnapshotCreate::plain(text.parse().unwrap())).unwrap();
    }
    assert!(second.scrub().unwrap().clean);
    let request = CloneRequest { name: VolumeName::new("copy").unwrap(), mount: None };
    let copy = second.snapshot_clone(&"home@one".parse().unwrap(), &request).unwrap();
    let VolumeInfo::Filesystem(copy) = copy else { panic!("{copy:?}") };
    let home = second.fs_show(&VolumeName::new("home").unwrap()).unwrap();
    assert_eq!((home.referenced_bytes, copy.referenced_bytes), (Some(131_072), Some(131_072)));
    assert!(home.live_bytes > 131_072 && copy.live_bytes < 4096, "{home:?} {copy:?}");
    second.fs_delete(&copy.name, true).unwrap();
    second.close().unwrap();
    drop(second);
    flip(&path);
    let third = app(&path);
    let told = third.scrub().unwrap();
    assert!(!told.clean && told.findings.len() == 1, "{told:?}");
    let finding = &told.findings[0];
    assert!(finding.object.starts_with("filesystem home, /letters/a.bin, inode "), "{finding:?}");
    assert!(finding.object.ends_with("bytes 0 to 131072"), "{finding:?}");
    assert!(finding.problem.ends_with("; also in home@one, home@two"), "{finding:?}");
    third.close().unwrap();
    drop(third);
    inside(&path, "home", |fs| {
        let letters = fs.lookup(&ME, ROOT, b"letters").unwrap().node;
        fs.unlink(&ME, letters, b"a.bin").unwrap();
    });
    let fourth = app(&path);
    let told = fourth.scrub().unwrap();
    let object = &told.findings[0].object;
    assert!(object.starts_with("snapshot home@one, /letters/a.bin, inode "), "{told:?}");
    assert!(told.findings[0].problem.ends_with("; also in home@two"), "{told:?}");
}
