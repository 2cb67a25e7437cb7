//! A store in memory with one mounted filesystem, and short words for what tests do with it.
#![allow(dead_code, missing_docs)]

use std::sync::Arc;
use tintype_fs::Mounted;
use tintype_fs::vfs::*;
use tintype_kv::MemoryKv;
use tintype_model::{
    AccessPoint, SnapshotId, SnapshotMeta, SnapshotName, VolumeId, VolumeKind, VolumeMeta,
    VolumeName,
};
use tintype_segments::{MemoryFiles, Segments};
use tintype_store::{NewSnapshot, NewVolume, Store, StoreOptions};

pub const ME: Caller = Caller { uid: 0, gid: 0, pid: 1 };

pub struct Fixture {
    pub kv: Arc<MemoryKv>,
    pub files: Arc<MemoryFiles>,
    pub store: Arc<Store>,
    pub volume: VolumeId,
    pub fs: Arc<Mounted>,
}

pub fn open_store(kv: &Arc<MemoryKv>, files: &Arc<MemoryFiles>) -> Arc<Store> {
    let segments = Segments::open(files.clone(), Default::default()).unwrap();
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    Store::open(kv.clone(), Arc::new(segments), options).unwrap()
}

pub fn volume_meta(name: &str) -> VolumeMeta {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    VolumeMeta::new(VolumeName::new(name).unwrap(), VolumeKind::Filesystem, now)
}

pub fn snapshot_meta(name: &str) -> SnapshotMeta {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    let access = AccessPoint::new(format!("at-{name}")).unwrap();
    SnapshotMeta::new(SnapshotName::new(name).unwrap(), access, now)
}

impl Fixture {
    pub fn new() -> Self {
        let (kv, files) = (Arc::new(MemoryKv::new()), Arc::new(MemoryFiles::new()));
        let store = open_store(&kv, &files);
        let volume = store.create_volume(NewVolume { meta: volume_meta("v") }).unwrap().id;
        let fs = Mounted::open(store.clone(), volume).unwrap();
        Self { kv, files, store, volume, fs }
    }

    /// Closes everything and opens it again.
    pub fn reopen(self) -> Self {
        let Self { kv, files, store, volume, fs } = self;
        fs.close().unwrap();
        drop(fs);
        store.close().unwrap();
        drop(store);
        let store = open_store(&kv, &files);
        let fs = Mounted::open(store.clone(), volume).unwrap();
        Self { kv, files, store, volume, fs }
    }

    pub fn snapshot(&self, name: &str, writable: bool) -> SnapshotId {
        let meta = snapshot_meta(name);
        let new = NewSnapshot { meta, unique_access_point: false, source: None, writable };
        self.store.create_snapshot(self.volume, new).unwrap().id
    }

    /// The root of a snapshot in the mount.
    pub fn moment(&self, name: &str) -> Node {
        let dir = self.fs.lookup(&ME, ROOT, b".snapshots").unwrap().node;
        self.fs.lookup(&ME, dir, format!("at-{name}").as_bytes()).unwrap().node
    }

    pub fn create(&self, dir: Node, name: &str) -> Node {
        let (entry, _) = self.fs.create(&ME, dir, name.as_bytes(), 0o644, 0, libc::O_EXCL).unwrap();
        entry.node
    }

    pub fn mkdir(&self, dir: Node, name: &str) -> Node {
        self.fs.mkdir(&ME, dir, name.as_bytes(), 0o755, 0).unwrap().node
    }

    pub fn find(&self, dir: Node, name: &str) -> Option<Node> {
        let entry = self.fs.lookup(&ME, dir, name.as_bytes()).unwrap();
        (entry.node != Node(0)).then_some(entry.node)
    }

    pub fn write(&self, node: Node, offset: u64, data: &[u8]) {
        let count =
            self.fs.write(&ME, node, Handle(0), offset, data, WriteFlags::default()).unwrap();
        assert_eq!(count, data.len());
    }

    pub fn read(&self, node: Node, offset: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0xee; len];
        let count = self.fs.read(&ME, node, Handle(1), offset, &mut buf).unwrap();
        buf.truncate(count);
        buf
    }

    pub fn all(&self, node: Node) -> Vec<u8> {
        let size = self.attr(node).size;
        self.read(node, 0, size as usize)
    }

    pub fn attr(&self, node: Node) -> Attr {
        self.fs.getattr(&ME, node, None).unwrap().0
    }

    pub fn truncate(&self, node: Node, size: u64) {
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        self.fs.setattr(&ME, node, None, &set).unwrap();
    }

    pub fn names(&self, dir: Node) -> Vec<String> {
        let mut sink = Names::default();
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            sink.list.clear();
            self.fs.readdir(&ME, dir, Handle(1), offset, false, &mut sink).unwrap();
            let Some(last) = sink.list.last() else { break };
            offset = last.1;
            names.extend(sink.list.iter().map(|(name, _)| name.clone()));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }
}

/// Takes few entries at a time.
#[derive(Default)]
pub struct Names {
    pub list: Vec<(String, u64)>,
}

impl DirSink for Names {
    fn push(&mut self, item: &DirItem<'_>) -> bool {
        if self.list.len() >= 7 {
            return false;
        }
        let name = String::from_utf8(item.name.to_vec()).unwrap();
        self.list.push((name, item.next_offset));
        true
    }
}

pub fn code<T: std::fmt::Debug>(reply: Reply<T>) -> i32 {
    reply.unwrap_err().0
}
