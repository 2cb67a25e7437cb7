//! Stores with many files and snapshots, made with the engine in this process and on a memory disk, where
//! a sync costs nothing; then copied to where they are measured. Only what is measured goes through a server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tintype_disk::Disk;
use tintype_fs::Mounted;
use tintype_fs::vfs::{Caller, Handle, Node, ROOT, Vfs, WriteFlags};
use tintype_kv::FjallKv;
use tintype_model::{AccessPoint, SnapshotMeta, SnapshotName, VolumeKind, VolumeMeta, VolumeName};
use tintype_segments::{FolderFiles, Segments};
use tintype_store::{LineRef, NewSnapshot, NewVolume, Store, StoreOptions};

use crate::disks::DISK;
use crate::measure::Random;
use crate::options::Options;
use crate::server::{Server, VOLUME};

/// Files of each folder of a filled store.
pub(crate) const PER_DIR: usize = 1000;

/// What a filled store holds: the file `data` of 4 KiB, changed before each snapshot `sN`, and `dN/fN`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    pub files: usize,
    pub snapshots: usize,
}

/// Path of a file of a filled store.
pub(crate) fn file_path(number: usize) -> String {
    format!("d{}/f{number}", number / PER_DIR)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn os(error: tintype_fs::vfs::Errno) -> String {
    format!("error {}", error.0)
}

/// A home for a server whose store is filled so. Made once per run, copied each time.
pub(crate) fn home(options: &Options, filled: Filled, name: &str) -> Result<PathBuf, String> {
    let made = format!("filled-{}-{}", filled.files, filled.snapshots);
    copied(options, &made, name, &|store| fill(store, filled))
}

/// What a store with a disk holds: the disk, a part of it reserved, and one block changed before each snapshot `sN`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFilled {
    pub size: u64,
    pub reserved: u64,
    pub snapshots: usize,
}

/// As [`home`], with a disk.
pub(crate) fn disk_home(
    options: &Options,
    filled: DiskFilled,
    name: &str,
) -> Result<PathBuf, String> {
    let made = format!("disk-{}-{}-{}", filled.size, filled.reserved, filled.snapshots);
    copied(options, &made, name, &|store| fill_disk(store, filled))
}

/// As [`home`], with so many files, the snapshot `s0`, and one change of each file since.
pub(crate) fn changes_home(options: &Options, files: usize, name: &str) -> Result<PathBuf, String> {
    copied(options, &format!("changes-{files}"), name, &|store| fill_changes(store, files))
}

/// Fills the store of this folder.
type Fill<'f> = &'f dyn Fn(&Path) -> Result<(), String>;

fn copied(options: &Options, made: &str, name: &str, fill: Fill<'_>) -> Result<PathBuf, String> {
    let made = options.base.join(made);
    if !made.exists() {
        make(options, &made, fill)?;
    }
    let home = options.base.join(name);
    drop(std::fs::remove_dir_all(&home));
    copy(&made, &home)?;
    Ok(home)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().map_err(text)?;
    if status.success() { Ok(()) } else { Err(format!("cannot copy to {}", to.display())) }
}

fn make(options: &Options, made: &Path, fill: Fill<'_>) -> Result<(), String> {
    let memory = Path::new("/dev/shm").join(format!("tintype-bench-{}", std::process::id()));
    let place = if Path::new("/dev/shm").is_dir() { memory } else { options.base.join("filling") };
    let mut server = Server::start(options, &place, "auto")?;
    server.stop()?;
    let start = std::time::Instant::now();
    let done = fill(&place.join("store")).and_then(|()| copy(&place, made));
    eprintln!("{} took {:.1?}", made.display(), start.elapsed());
    drop(std::fs::remove_dir_all(&place));
    done
}

fn open(folder: &Path) -> Result<Arc<Store>, String> {
    let kv = FjallKv::open(folder.join("kv"), tintype_kv::Options::default()).map_err(text)?;
    let files = FolderFiles::open(folder.join("segments")).map_err(text)?;
    let segments =
        Segments::open(Arc::new(files), tintype_segments::Options::default()).map_err(text)?;
    let store = Store::open(Arc::new(kv), Arc::new(segments), StoreOptions::default());
    store.map_err(text)
}

fn fill_disk(folder: &Path, filled: DiskFilled) -> Result<(), String> {
    let store = open(folder)?;
    let name = VolumeName::new(DISK).map_err(text)?;
    let meta = VolumeMeta::new(name, VolumeKind::Disk, jiff::Timestamp::now());
    let volume = store.create_volume(NewVolume { meta }).map_err(text)?.id;
    tintype_disk::create(&store, LineRef::Volume(volume), filled.size).map_err(text)?;
    let disk = Disk::open(&store, LineRef::Volume(volume)).map_err(text)?;
    disk.write_zeroes(0, filled.reserved, true).map_err(text)?;
    let mut random = Random::new(11);
    for number in 0..filled.snapshots {
        let at = random.below(filled.size / 4096) * 4096;
        disk.write_at(at, &random.bytes(4096)).map_err(text)?;
        store.create_snapshot(volume, new(number)?).map_err(text)?;
    }
    disk.close().map_err(text)?;
    drop(disk);
    store.close().map_err(text)
}

fn fill(folder: &Path, filled: Filled) -> Result<(), String> {
    let store = open(folder)?;
    let volume = store.volume(VOLUME).ok_or("no volume")?.id;
    let tree = Mounted::open(Arc::clone(&store), volume).map_err(text)?;
    add_files(&tree, filled.files)?;
    let data = add(&tree, ROOT, "data")?;
    let mut random = Random::new(11);
    for number in 0..filled.snapshots {
        write(&tree, data, &random.bytes(4096))?;
        store.create_snapshot(volume, new(number)?).map_err(text)?;
    }
    write(&tree, data, &random.bytes(4096))?;
    tree.close().map_err(text)?;
    drop(tree);
    store.close().map_err(text)
}

fn fill_changes(folder: &Path, files: usize) -> Result<(), String> {
    let store = open(folder)?;
    let volume = store.volume(VOLUME).ok_or("no volume")?.id;
    let tree = Mounted::open(Arc::clone(&store), volume).map_err(text)?;
    add_files(&tree, files)?;
    store.create_snapshot(volume, new(0)?).map_err(text)?;
    let who = Caller::default();
    let mut dir = ROOT;
    for number in 0..files {
        let path = file_path(number);
        let (parent, name) = path.split_once('/').ok_or("no folder")?;
        if number % PER_DIR == 0 {
            dir = tree.lookup(&who, ROOT, parent.as_bytes()).map_err(os)?.node;
        }
        match number % 4 {
            0 => tree.unlink(&who, dir, name.as_bytes()).map_err(os)?,
            1 => {
                let new = format!("r{name}");
                tree.rename(&who, dir, name.as_bytes(), dir, new.as_bytes(), 0).map_err(os)?;
            }
            2 => {
                let node = tree.lookup(&who, dir, name.as_bytes()).map_err(os)?.node;
                write(&tree, node, b"changed")?;
                tree.forget(node, 1);
            }
            _ => {
                let node = add(&tree, dir, &format!("n{name}"))?;
                write(&tree, node, path.as_bytes())?;
                tree.forget(node, 1);
            }
        }
    }
    tree.close().map_err(text)?;
    drop(tree);
    store.close().map_err(text)
}

fn new(number: usize) -> Result<NewSnapshot, String> {
    let meta = meta(number)?;
    Ok(NewSnapshot { meta, unique_access_point: false, source: None, writable: false })
}

fn meta(number: usize) -> Result<SnapshotMeta, String> {
    let name = SnapshotName::new(format!("s{number}")).map_err(text)?;
    let access = AccessPoint::new(format!("at-s{number}")).map_err(text)?;
    let mut meta = SnapshotMeta::new(name, access, jiff::Timestamp::now());
    meta.host = "bench.example.org".to_owned();
    meta.user = "root".to_owned();
    meta.program_version = concat!("tintype ", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(meta)
}

fn add_files(tree: &Mounted, files: usize) -> Result<(), String> {
    let mut dir = ROOT;
    for number in 0..files {
        let path = file_path(number);
        let (parent, name) = path.split_once('/').ok_or("no folder")?;
        if number % PER_DIR == 0 {
            let made = tree.mkdir(&Caller::default(), ROOT, parent.as_bytes(), 0o755, 0);
            dir = made.map_err(os)?.node;
        }
        let node = add(tree, dir, name)?;
        write(tree, node, path.as_bytes())?;
        tree.forget(node, 1);
    }
    Ok(())
}

fn add(tree: &Mounted, dir: Node, name: &str) -> Result<Node, String> {
    let who = Caller::default();
    let made = tree.create(&who, dir, name.as_bytes(), 0o644, 0, libc::O_EXCL).map_err(os)?;
    tree.release(made.0.node, made.1.handle);
    Ok(made.0.node)
}

fn write(tree: &Mounted, node: Node, data: &[u8]) -> Result<(), String> {
    let who = Caller::default();
    tree.write(&who, node, Handle(0), 0, data, WriteFlags::default()).map(drop).map_err(os)
}
