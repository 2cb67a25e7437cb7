//! Repositories in memory with small random content, and the model that they are compared with.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use tintype_repo::{
    Actor, Backend, BlobId, BlobKind, BlobOptions, BlobWriter, CheckOptions, CheckProgress, Index,
    Moment, Node, NodeKind, ReadData, Report, Repository, Result, Scratch, SnapshotFile,
    SnapshotId, Version, check, decode_tree, encode_tree, remove_snapshots,
};

/// Files by `folder/name`.
pub type Model = BTreeMap<String, Vec<u8>>;

/// What each snapshot must hold.
pub type Expected = BTreeMap<SnapshotId, Model>;

/// Repeatable chance.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Bytes; every other time they compress well.
    pub fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (count, flat) = (self.below(most) + 1, self.below(2) == 0);
        (0..count).map(|_| if flat { self.below(2) } else { self.below(256) } as u8).collect()
    }

    /// Changes some files of a model.
    pub fn change(&mut self, model: &mut Model) {
        for _ in 0..=self.below(4) {
            let name = format!("d{}/f{}", self.below(3), self.below(6));
            if self.below(4) == 0 {
                model.remove(&name);
            } else {
                let bytes = self.bytes(3000);
                model.insert(name, bytes);
            }
        }
    }
}

pub fn actor() -> Actor {
    Actor { username: "u".into(), hostname: "h".into() }
}

pub fn new_repository(backend: Arc<dyn Backend>, version: Version) -> Repository {
    Repository::init(backend, b"secret", version, None, &actor(), Timestamp::now()).unwrap()
}

/// A backup that has written its blobs and not yet its snapshot.
pub fn begin(repo: &Repository, index: Arc<Index>, model: &Model, time: &str) -> SnapshotFile {
    try_begin(repo, index, model, time).unwrap()
}

/// The same where it may fail.
pub fn try_begin(
    repo: &Repository,
    index: Arc<Index>,
    model: &Model,
    time: &str,
) -> Result<SnapshotFile> {
    let writer = BlobWriter::new(repo.clone(), index, BlobOptions::default());
    let mut scratch = Scratch::default();
    let mut folders: BTreeMap<&str, Vec<Node>> = BTreeMap::new();
    for (path, content) in model {
        let (folder, name) = path.split_once('/').unwrap();
        let chunks = content.chunks(700).map(|chunk| {
            let id = BlobId::of(chunk);
            writer.add(&mut scratch, BlobKind::Data, id, chunk).map(|_| id)
        });
        let content_ids = Some(chunks.collect::<Result<_>>()?);
        let node = Node {
            name: name.into(),
            content: content_ids,
            size: content.len() as u64,
            ..Node::default()
        };
        folders.entry(folder).or_default().push(node);
    }
    let mut tree = |nodes: &[Node]| {
        let bytes = encode_tree(nodes).unwrap();
        let id = BlobId::of(&bytes);
        writer.add(&mut scratch, BlobKind::Tree, id, &bytes).map(|_| id)
    };
    let dirs = folders.iter().map(|(name, nodes)| {
        Ok(Node {
            name: name.as_bytes().to_vec(),
            kind: NodeKind::Dir,
            subtree: Some(tree(nodes)?),
            ..Node::default()
        })
    });
    let dirs = dirs.collect::<Result<Vec<_>>>()?;
    let root = tree(&dirs)?;
    writer.finish()?;
    let mut snapshot = SnapshotFile::new(time.parse().unwrap(), root);
    snapshot.paths = vec!["/x".into()];
    snapshot.hostname = "h".into();
    Ok(snapshot)
}

/// A whole backup.
pub fn save(repo: &Repository, model: &Model, time: &str) -> SnapshotFile {
    try_save(repo, model, time).unwrap()
}

/// The same where it may fail.
pub fn try_save(repo: &Repository, model: &Model, time: &str) -> Result<SnapshotFile> {
    let index = Arc::new(repo.index_in_use()?);
    let mut snapshot = try_begin(repo, index, model, time)?;
    repo.save_snapshot(&mut snapshot)?;
    Ok(snapshot)
}

/// Opens a repository with the password of [`new_repository`].
pub fn open(backend: Arc<dyn Backend>) -> Result<Repository> {
    Repository::open(backend, b"secret")
}

/// Five backups of which two are forgotten, so that packs are unneeded, partly needed and needed. Opens fast.
pub fn used_repository(backend: Arc<dyn Backend>, version: Version) -> (Repository, Expected) {
    let repo = new_repository(backend, version);
    tintype_repo::hostile::weak_key(&repo, b"secret");
    let (mut chance, mut model, mut expected) = (Chance(7), Model::new(), Expected::new());
    for day in 1..=5 {
        for _ in 0..4 {
            chance.change(&mut model);
        }
        let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
    let ids: Vec<_> = repo.snapshots().unwrap().iter().map(|snapshot| snapshot.id).collect();
    forget(&repo, &mut expected, ids[0]);
    forget(&repo, &mut expected, ids[2]);
    (repo, expected)
}

pub fn forget(repo: &Repository, expected: &mut Expected, id: SnapshotId) {
    remove_snapshots(repo, &[id]).unwrap();
    expected.remove(&id);
}

/// What a snapshot holds.
pub fn read_back(repo: &Repository, index: &Index, snapshot: &SnapshotFile) -> Model {
    let tree = |id| decode_tree(&repo.blob(index, BlobKind::Tree, id).unwrap()).unwrap();
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let mut model = Model::new();
    for folder in tree(snapshot.tree) {
        for file in tree(folder.subtree.unwrap()) {
            let chunks = file.content.unwrap();
            let chunks = chunks.iter().map(|id| repo.blob(index, BlobKind::Data, *id).unwrap());
            let content = chunks.collect::<Vec<_>>().concat();
            model.insert(format!("{}/{}", text(&folder.name), text(&file.name)), content);
        }
    }
    model
}

pub fn check_all(repo: &Repository) -> Report {
    let options = CheckOptions { read_data: ReadData::All, threads: 2 };
    check(repo, &options, &CheckProgress::default()).unwrap()
}

/// No error, and every snapshot holds what it must.
pub fn verify(repo: &Repository, expected: &Expected, when: &str) {
    let report = check_all(repo);
    assert!(report.is_sound(), "{when}: {:?}", report.findings);
    let index = repo.index().unwrap();
    let snapshots = repo.snapshots().unwrap();
    assert_eq!(snapshots.len(), expected.len(), "{when}");
    for snapshot in &snapshots {
        assert_eq!(&read_back(repo, &index, snapshot), &expected[&snapshot.id], "{when}");
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse::<Moment>().unwrap().instant()
}

/// Runs restic on a repository in a folder with the password `secret`.
pub fn restic(repo: &Path, args: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(repo)
        .args(args)
        .env("RESTIC_PASSWORD", "secret")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "restic {args:?}: {out}{err}");
    out
}

pub fn restic_installed() -> bool {
    tintype_testkit::programs::has("restic")
}
