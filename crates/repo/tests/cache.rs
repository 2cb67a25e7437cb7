//! Copies near by of what lies far away: asked for once, never believed, gone with their files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tempfile::TempDir;
use tintype_repo::{
    Actor, Backend, BackendError, BackupOptions, BackupProgress, BlobKind, Cached, FileKind, Id,
    MemoryBackend, Moment, Repository, SnapshotFile, Version, backup,
};

type Result<T> = std::result::Result<T, BackendError>;

/// A place that writes down what is read of it.
#[derive(Clone, Default)]
struct Counting {
    inner: MemoryBackend,
    reads: Arc<Mutex<Vec<(FileKind, Id)>>>,
}

impl Counting {
    /// What was read since the last call, apart from what no copy is kept of.
    fn taken(&self) -> Vec<(FileKind, Id)> {
        let mut reads = std::mem::take(&mut *self.reads.lock().unwrap());
        reads.retain(|(kind, _)| {
            matches!(kind, FileKind::Snapshot | FileKind::Index | FileKind::Pack)
        });
        reads
    }

    fn note(&self, kind: FileKind, id: Id) {
        self.reads.lock().unwrap().push((kind, id));
    }
}

impl Backend for Counting {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        self.inner.list(kind)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        self.note(kind, id);
        self.inner.read(kind, id)
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.note(kind, id);
        self.inner.read_part(kind, id, offset, len)
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.inner.write(kind, id, data)
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        self.inner.remove(kind, id)
    }
}

/// A repository with one snapshot, written without copies.
struct Fixture {
    place: Counting,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source/deep/deeper");
        std::fs::create_dir_all(&source).unwrap();
        for i in 0..20 {
            std::fs::write(source.join(format!("{i}")), format!("file {i}")).unwrap();
        }
        let place = Counting::default();
        let actor = Actor { username: "u".into(), hostname: "h".into() };
        let backend: Arc<dyn Backend> = Arc::new(place.clone());
        let now = Timestamp::now();
        Repository::init(backend, b"secret", Version::V2, None, &actor, now).unwrap();
        let fixture = Self { place, folder };
        fixture.save(&fixture.open_plain());
        fixture.place.taken();
        fixture
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn open_plain(&self) -> Repository {
        Repository::open(Arc::new(self.place.clone()), b"secret").unwrap()
    }

    /// Another program on this machine: nothing but the folder of copies is shared.
    fn open(&self) -> Repository {
        let (repo, base) = (self.open_plain(), self.base());
        let id = repo.config().id;
        repo.around(|place| Arc::new(Cached::new(place, &base, id).unwrap()))
    }

    fn save(&self, repo: &Repository) -> Id {
        let index = Arc::new(repo.index().unwrap());
        let options = BackupOptions {
            paths: vec![self.folder.path().join("source")],
            ..BackupOptions::default()
        };
        let saved = backup(repo, index, &[], &options, &BackupProgress::default()).unwrap();
        let mut snapshot = SnapshotFile::new(Moment::utc(Timestamp::now()), saved.tree);
        repo.save_snapshot(&mut snapshot).unwrap().0
    }

    /// Reads all snapshots, the index and all trees.
    fn read_all(&self, repo: &Repository) {
        assert!(!repo.snapshots().unwrap().is_empty());
        let index = repo.index().unwrap();
        let mut trees = 0;
        for found in index.iter(BlobKind::Tree) {
            repo.blob(&index, BlobKind::Tree, found.blob.id).unwrap();
            trees += 1;
        }
        assert!(trees > 2, "folders on the way to the source, and those in it");
    }

    /// Paths of all copies.
    fn copies(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.file_name().unwrap().len() == 64 {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.base(), &mut found);
        found.sort();
        found
    }
}

#[test]
fn what_was_read_once_is_not_asked_for_again() {
    let fixture = Fixture::new();
    fixture.read_all(&fixture.open());
    let first = fixture.place.taken();
    assert_eq!(first.len(), 3, "one snapshot, one index, one pack of trees, whole: {first:?}");
    fixture.read_all(&fixture.open());
    assert_eq!(fixture.place.taken(), []);
}

#[test]
fn what_is_written_is_not_asked_for_either() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    fixture.read_all(&repo);
    std::fs::write(fixture.folder.path().join("source/new"), "new").unwrap();
    fixture.save(&repo);
    fixture.place.taken();
    fixture.read_all(&fixture.open());
    assert_eq!(fixture.place.taken(), []);
}

#[test]
fn the_layout_is_that_of_restic() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    fixture.read_all(&repo);
    let root = fixture.base().join(repo.config().id.to_string());
    assert_eq!(std::fs::read_to_string(root.join("version")).unwrap(), "1");
    let tag = std::fs::read_to_string(fixture.base().join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"));
    let copies = fixture.copies();
    let kinds = ["data", "index", "snapshots"].map(|kind| root.join(kind));
    for (copy, kind) in copies.iter().zip(&kinds) {
        assert!(copy.starts_with(kind), "{copy:?}");
        let name = copy.file_name().unwrap().to_str().unwrap();
        assert_eq!(Id::of(&std::fs::read(copy).unwrap()).to_string(), name);
    }
    let pack = copies[0].strip_prefix(&kinds[0]).unwrap();
    assert_eq!(
        pack.parent().unwrap().to_str(),
        Some(&copies[0].file_name().unwrap().to_str().unwrap()[..2])
    );
    assert_eq!(copies.len(), 3);
}

type Change = fn(&mut Vec<u8>);

/// Damages every copy.
fn damage(fixture: &Fixture, change: Change) {
    for copy in fixture.copies() {
        let mut data = std::fs::read(&copy).unwrap();
        change(&mut data);
        std::fs::write(&copy, data).unwrap();
    }
}

#[test]
fn damaged_copies_are_noticed_and_replaced() {
    let changes: [Change; 3] = [
        |data| data.iter_mut().for_each(|byte| *byte ^= 1),
        |data| data.truncate(data.len() / 2),
        |data| data.clear(),
    ];
    for change in changes {
        let fixture = Fixture::new();
        fixture.read_all(&fixture.open());
        fixture.place.taken();
        damage(&fixture, change);
        fixture.read_all(&fixture.open());
        assert_eq!(fixture.place.taken().len(), 3, "each is asked for once more");
        fixture.read_all(&fixture.open());
        assert_eq!(fixture.place.taken(), []);
    }
}

#[test]
fn what_others_removed_is_gone_here_too() {
    let fixture = Fixture::new();
    fixture.read_all(&fixture.open());
    std::fs::write(fixture.folder.path().join("source/new"), "new").unwrap();
    let other = fixture.open_plain();
    let old = other.snapshots().unwrap()[0].id.0;
    fixture.save(&other);
    other.backend().remove(FileKind::Snapshot, old).unwrap();
    let packs = fixture.copies().len();
    let repo = fixture.open();
    assert!(repo.snapshots().unwrap().iter().all(|snapshot| snapshot.id.0 != old));
    assert!(fixture.copies().iter().all(|copy| !copy.ends_with(old.to_string())));
    assert_eq!(fixture.copies().len(), packs, "one snapshot for another");
    // Packs that no index names any more.
    for (id, _) in fixture.place.list(FileKind::Index).unwrap() {
        fixture.place.remove(FileKind::Index, id).unwrap();
    }
    repo.index().unwrap();
    let left = fixture.copies();
    assert!(left.iter().all(|copy| copy.to_str().unwrap().contains("/snapshots/")), "{left:?}");
}

#[test]
fn what_we_remove_is_gone_at_once() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    fixture.read_all(&repo);
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        for (id, _) in fixture.place.list(kind).unwrap() {
            repo.backend().remove(kind, id).unwrap();
            let gone = repo.backend().read(kind, id).unwrap_err();
            assert!(matches!(gone, BackendError::NotFound { .. }), "{gone:?}");
        }
    }
    assert!(fixture.copies().is_empty());
}

#[test]
fn a_pack_that_is_damaged_in_the_place_is_not_kept() {
    let fixture = Fixture::new();
    let index = fixture.open_plain().index().unwrap();
    let trees: Vec<_> = index.iter(BlobKind::Tree).collect();
    let pack = trees[0].pack.0;
    let mut data = fixture.place.read(FileKind::Pack, pack).unwrap();
    let last = data.len() - 1;
    data[last] ^= 1;
    fixture.place.inner.tamper(FileKind::Pack, pack, Some(data));
    let repo = fixture.open();
    for _ in 0..2 {
        // The header is damaged, the trees are not.
        repo.blob(&index, BlobKind::Tree, trees[0].blob.id).unwrap();
    }
    assert!(fixture.copies().iter().all(|copy| !copy.ends_with(pack.to_string())));
    assert!(repo.backend().read_trees(pack, 1 << 40, 5).is_err());
}

#[test]
fn a_folder_that_takes_nothing_costs_speed_only() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let root = fixture.base().join(repo.config().id.to_string());
    // Files where folders should be: also root cannot write there.
    for kind in ["data", "index", "snapshots"] {
        std::fs::write(root.join(kind), "in the way").unwrap();
    }
    fixture.read_all(&repo);
    fixture.save(&repo);
    assert!(fixture.copies().is_empty());
    assert!(fixture.open_plain().snapshots().unwrap().len() == 2);
}

#[test]
fn a_folder_of_another_layout_is_left_alone() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let id = repo.config().id;
    std::fs::write(fixture.base().join(id.to_string()).join("version"), "2").unwrap();
    let place: Arc<dyn Backend> = Arc::new(fixture.place.clone());
    let e = Cached::new(place, &fixture.base(), id).unwrap_err();
    assert!(e.to_string().contains("layout 2"), "{e}");
}

#[test]
fn many_threads_and_programs_fetch_and_remove_at_once() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let repo = fixture.open();
                for _ in 0..10 {
                    fixture.read_all(&repo);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                for copy in fixture.copies() {
                    let _ = std::fs::remove_file(copy);
                }
            }
        });
    });
    fixture.place.taken();
    fixture.read_all(&fixture.open());
    fixture.read_all(&fixture.open());
    assert!(fixture.place.taken().len() <= 3);
}

#[test]
fn threads_that_want_one_pack_share_its_transfer() {
    let fixture = Fixture::new();
    let repo = fixture.open();
    let index = repo.index().unwrap();
    let tree = index.iter(BlobKind::Tree).next().unwrap();
    fixture.place.taken();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| repo.blob(&index, BlobKind::Tree, tree.blob.id).unwrap());
        }
    });
    assert_eq!(fixture.place.taken(), [(FileKind::Pack, tree.pack.0)]);
}
