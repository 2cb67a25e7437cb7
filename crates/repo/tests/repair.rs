//! Repairs in memory: of the index, of packs, of snapshots; each damage in each file, ended at every change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/mend.rs"]
mod mend;
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use mend::{Trees, end_at_every_change, names, open, readable};
use support::{Chance, Expected, Model, at, check_all, new_repository, read_back, save, verify};
use tintype_repo::{
    Backend, BlobId, BlobKind, DeleteOption, FileKind, Finding, Id, IndexFile, IndexRepair,
    IndexRepairOptions, LossKind, MemoryBackend, Mend, MendProgress, Node, NodeKind, PackId,
    PackRepair, PackRepairOptions, PruneOptions, RepoError, Repository, Result, SnapshotFile,
    SnapshotRepair, SnapshotRepairOptions, Version, decode_tree, encode_tree, plan_prune, prune,
    remove_snapshots, repair_index, repair_packs, repair_snapshots,
};

const NOW: &str = "2026-01-01T00:00:00Z";

/// Four backups, one of which is forgotten, and a prune that marks and rewrites.
fn used_repository(version: Version) -> (MemoryBackend, Repository, Expected) {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), version);
    let (mut chance, mut model, mut expected) = (Chance(11), Model::new(), Expected::new());
    for day in 1..=4 {
        (0..4).for_each(|_| chance.change(&mut model));
        let saved = save(&repo, &model, &format!("2025-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
    let first = repo.snapshots().unwrap()[0].id;
    remove_snapshots(&repo, &[first]).unwrap();
    expected.remove(&first);
    let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
    prune(&repo, &plan, &|| Ok(())).unwrap();
    (backend, repo, expected)
}

fn index(repo: &Repository, read_all: bool) -> Result<IndexRepair> {
    let options = IndexRepairOptions { read_all, threads: 2, dry_run: false };
    repair_index(repo, &options, &MendProgress::default(), &|| Ok(()))
}

fn packs(repo: &Repository, packs: &[PackId], copies: &Path) -> Result<PackRepair> {
    let options = PackRepairOptions { packs: packs.to_vec(), copies: copies.into(), threads: 2 };
    repair_packs(repo, &options, &MendProgress::default(), &|| Ok(()))
}

fn snapshots(repo: &Repository, forget: bool) -> Result<SnapshotRepair> {
    let options = SnapshotRepairOptions { forget, ..SnapshotRepairOptions::default() };
    repair_snapshots(repo, &options, at(NOW), &MendProgress::default(), &|| Ok(()))
}

fn ids(backend: &MemoryBackend, kind: FileKind) -> Vec<Id> {
    backend.list(kind).unwrap().into_iter().map(|(id, _)| id).collect()
}

/// Packs that wait for deletion, with the times of their marks.
fn marks(repo: &Repository) -> BTreeSet<(PackId, Option<String>)> {
    let files = repo.backend().list(FileKind::Index).unwrap();
    let files = files.iter().map(|(id, _)| repo.index_file(tintype_repo::IndexId(*id)).unwrap());
    files.flat_map(|file| file.packs_to_delete).map(|pack| (pack.id, pack.time)).collect()
}

fn damage(backend: &MemoryBackend, kind: FileKind, id: Id, at: usize) {
    let mut bytes = backend.read(kind, id).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 4;
    backend.tamper(kind, id, Some(bytes));
}

#[test]
fn a_right_index_is_left_alone() {
    let (backend, repo, _) = used_repository(Version::V2);
    let before = backend.changes();
    assert!(!marks(&repo).is_empty(), "the prune has marked something");
    for all in [false, true] {
        let report = index(&repo, all).unwrap();
        assert_eq!(report, IndexRepair::default());
    }
    assert_eq!(backend.changes(), before);
}

#[test]
fn an_index_that_is_gone_or_damaged_comes_back() {
    for version in [Version::V1, Version::V2] {
        let (base, repo, expected) = used_repository(version);
        let before = marks(&repo);
        drop(repo);
        for id in ids(&base, FileKind::Index) {
            for gone in [false, true] {
                let backend = base.copy();
                match gone {
                    true => backend.tamper(FileKind::Index, id, None),
                    false => damage(&backend, FileKind::Index, id, 40),
                }
                let repo = open(&backend);
                let dry = IndexRepairOptions { dry_run: true, ..IndexRepairOptions::default() };
                let changes = backend.changes();
                let plan = repair_index(&repo, &dry, &MendProgress::default(), &|| Ok(())).unwrap();
                assert_eq!(backend.changes(), changes, "a dry run changes nothing");
                let report = index(&repo, false).unwrap();
                assert_eq!(report, plan);
                assert_eq!(report.unreadable.len(), usize::from(!gone));
                verify(&repo, &expected, &format!("{id} gone: {gone}"));
                assert!(marks(&repo).is_subset(&before));
                assert!(index(&repo, true).unwrap().is_right());
            }
        }
        ids(&base, FileKind::Index).iter().for_each(|id| base.tamper(FileKind::Index, *id, None));
        let repo = open(&base);
        assert!(!index(&repo, false).unwrap().added.is_empty());
        verify(&repo, &expected, "no index at all");
    }
}

/// The index file that has the pack in use, changed.
fn change_index(repo: &Repository, change: impl Fn(&mut IndexFile)) {
    for (id, _) in repo.backend().list(FileKind::Index).unwrap() {
        let mut file = repo.index_file(tintype_repo::IndexId(id)).unwrap();
        change(&mut file);
        repo.save(FileKind::Index, &file.to_json()).unwrap();
        repo.backend().remove(FileKind::Index, id).unwrap();
    }
}

/// A change of an index file.
type Change = fn(&mut IndexFile);

#[test]
fn wrong_entries_are_put_right_and_marks_stay() {
    let (base, repo, expected) = used_repository(Version::V2);
    let before = marks(&repo);
    drop(repo);
    let wrong: [(&str, bool, Change); 5] = [
        ("a blob is missing", false, |file| {
            file.packs.iter_mut().for_each(|pack| {
                pack.blobs.pop();
            });
        }),
        ("lengths are wrong", false, |file| {
            file.packs.iter_mut().for_each(|pack| pack.blobs[0].length += 1);
        }),
        ("ids are wrong", true, |file| {
            file.packs.iter_mut().for_each(|pack| pack.blobs[0].id = BlobId::of(b"wrong"));
        }),
        ("sizes are wrong", false, |file| {
            file.packs.iter_mut().for_each(|pack| pack.size = Some(7));
        }),
        ("everything is there twice", false, |file| {
            let again: Vec<_> = file.packs.clone();
            file.packs.extend(again);
        }),
    ];
    for (what, all, change) in wrong {
        let backend = base.copy();
        let repo = open(&backend);
        change_index(&repo, change);
        // The check says what helps, and a repair of packs takes none of them for damaged.
        let mends = check_all(&repo).mends();
        assert!(!all || mends.contains(&Mend::WholeIndex), "{what}: {mends:?}");
        assert!(!mends.contains(&Mend::Packs), "{what}: {mends:?}");
        assert!(packs(&repo, &[], Path::new("/nowhere")).unwrap().packs.is_empty(), "{what}");
        let report = index(&repo, all).unwrap();
        assert!(!report.is_right(), "{what}");
        verify(&repo, &expected, what);
        assert_eq!(marks(&repo), before, "{what}");
        assert!(index(&repo, true).unwrap().is_right(), "{what}");
    }
}

#[test]
fn packs_that_are_gone_leave_the_index() {
    let (base, _, _) = used_repository(Version::V2);
    for id in ids(&base, FileKind::Pack) {
        let backend = base.copy();
        backend.tamper(FileKind::Pack, id, None);
        let repo = open(&backend);
        assert_eq!(index(&repo, false).unwrap().gone, [PackId(id)]);
        let named = |f: &Finding| matches!(f, Finding::MissingPack { .. });
        assert!(!check_all(&repo).findings.iter().any(named));
        assert!(index(&repo, false).unwrap().is_right());
    }
}

#[test]
fn what_can_be_read_of_a_pack_that_is_cut_off_stays_readable() {
    let (base, repo, _) = used_repository(Version::V2);
    let whole = repo.index_in_use().unwrap();
    for id in ids(&base, FileKind::Pack) {
        let backend = base.copy();
        let bytes = backend.read(FileKind::Pack, id).unwrap();
        let length = bytes.len() / 2;
        backend.tamper(FileKind::Pack, id, Some(bytes[..length].to_vec()));
        let repo = open(&backend);
        let report = index(&repo, false).unwrap();
        let after = repo.index_in_use().unwrap();
        for kind in [BlobKind::Data, BlobKind::Tree] {
            for found in whole.iter(kind).filter(|found| found.pack == PackId(id)) {
                let end = (found.blob.offset + found.blob.length) as usize;
                let here = after.find_all(kind, found.blob.id).any(|f| f.pack == PackId(id));
                assert_eq!(here, end <= length);
                assert!(report.damaged.iter().any(|(pack, _)| pack.0 == id));
            }
        }
        // The damaged pack then gives what it has and goes.
        let copies = tempfile::tempdir().unwrap();
        packs(&repo, &[PackId(id)], copies.path()).unwrap();
        let end = index(&repo, true).unwrap();
        assert!(end.is_right() && end.damaged.is_empty(), "{end:?}");
    }
}

#[test]
fn a_failure_that_may_pass_is_not_taken_for_damage() {
    let (base, _, _) = used_repository(Version::V2);
    let shaky = Shaky(base.copy());
    let backend = Arc::new(shaky);
    let repo = Repository::open(backend, b"secret").unwrap();
    let copies = tempfile::tempdir().unwrap();
    let io = |e: RepoError| matches!(e, RepoError::Backend(tintype_repo::BackendError::Io { .. }));
    assert!(io(index(&repo, true).unwrap_err()));
    assert!(io(snapshots(&repo, true).unwrap_err()));
    let any = ids(&base, FileKind::Pack)[0];
    assert!(io(packs(&repo, &[PackId(any)], copies.path()).unwrap_err()));
    assert!(io(packs(&repo, &[], copies.path()).unwrap_err()));
}

/// A place of which packs cannot be read for the moment.
struct Shaky(MemoryBackend);

impl Shaky {
    fn busy<T>(&self, kind: FileKind) -> Result<T, tintype_repo::BackendError> {
        Err(tintype_repo::BackendError::Io {
            doing: "read",
            object: kind.to_string(),
            location: self.location(),
            source: std::io::ErrorKind::TimedOut.into(),
        })
    }
}

impl Backend for Shaky {
    fn location(&self) -> String {
        self.0.location()
    }

    fn create(&self) -> Result<(), tintype_repo::BackendError> {
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>, tintype_repo::BackendError> {
        self.0.list(kind)
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>, tintype_repo::BackendError> {
        if kind == FileKind::Pack { self.busy(kind) } else { self.0.read(kind, id) }
    }

    fn read_part(
        &self,
        kind: FileKind,
        _: Id,
        _: u64,
        _: usize,
    ) -> Result<Vec<u8>, tintype_repo::BackendError> {
        self.busy(kind)
    }

    fn write(&self, kind: FileKind, _: Id, _: &[u8]) -> Result<(), tintype_repo::BackendError> {
        panic!("nothing is written, and no {kind}")
    }

    fn remove(&self, kind: FileKind, _: Id) -> Result<(), tintype_repo::BackendError> {
        panic!("nothing is removed, and no {kind}")
    }
}

/// Every place of a damaged byte: what is whole is salvaged, and afterwards the repository can be mended.
#[test]
fn damaged_packs_give_what_is_whole() {
    let (base, repo, _) = used_repository(Version::V2);
    let before = repo.index().unwrap();
    for id in ids(&base, FileKind::Pack) {
        let bytes = base.read(FileKind::Pack, id).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 7 + 1).chain([bytes.len() - 1]) {
            let backend = base.copy();
            damage(&backend, FileKind::Pack, id, at);
            let repo = open(&backend);
            let copies = tempfile::tempdir().unwrap();
            let report = packs(&repo, &[], copies.path()).unwrap();
            let [outcome] = report.packs.as_slice() else { panic!("{report:?}") };
            assert!(outcome.id.0 == id && !outcome.sound);
            let copy = std::fs::read(outcome.copy.as_ref().unwrap()).unwrap();
            assert_eq!(copy.len(), bytes.len());
            assert!(!ids(&backend, FileKind::Pack).contains(&id));
            // All but the blob with the damaged byte are still there.
            let after = repo.index().unwrap();
            for kind in [BlobKind::Data, BlobKind::Tree] {
                for found in before.iter(kind) {
                    let blob = found.blob;
                    let hit = found.pack.0 == id
                        && (blob.offset as usize..(blob.offset + blob.length) as usize)
                            .contains(&at);
                    let whole = repo.blob(&after, kind, blob.id).is_ok();
                    let elsewhere = before.find_all(kind, blob.id).any(|f| f.pack.0 != id);
                    assert_eq!(whole, !hit || elsewhere, "{id} at {at}");
                    assert_eq!(outcome.lost.contains(&(kind, blob.id)), hit && !elsewhere);
                }
            }
            let again = packs(&repo, &[], copies.path()).unwrap();
            assert!(again.packs.is_empty(), "{again:?}");
            assert!(index(&repo, true).unwrap().is_right());
            snapshots(&repo, true).unwrap();
            let report = check_all(&repo);
            assert!(report.is_sound(), "{:?}", report.findings);
        }
    }
}

#[test]
fn whole_packs_are_left_alone_and_missing_ones_refused() {
    let (backend, repo, _) = used_repository(Version::V2);
    let copies = tempfile::tempdir().unwrap();
    let before = backend.changes();
    let all: Vec<_> = ids(&backend, FileKind::Pack).into_iter().map(PackId).collect();
    let report = packs(&repo, &all, copies.path()).unwrap();
    assert!(report.packs.iter().all(|pack| pack.sound && pack.copy.is_none()));
    let missing = packs(&repo, &[PackId(Id::of(b"x"))], copies.path());
    assert!(matches!(missing, Err(RepoError::Refused { .. })));
    assert_eq!(backend.changes(), before);
    // A copy that cannot be made stops everything.
    damage(&backend, FileKind::Pack, all[0].0, 3);
    let nowhere = packs(&repo, &all, &copies.path().join("missing"));
    assert!(matches!(nowhere, Err(RepoError::Local { .. })));
    assert!(ids(&backend, FileKind::Pack).contains(&all[0].0));
}

/// What is left of a model whose blobs are partly gone.
fn what_is_left(repo: &Repository, snapshot: &SnapshotFile) -> Option<Model> {
    let index = repo.index().unwrap();
    let tree = |id| {
        let bytes = repo.blob(&index, BlobKind::Tree, id).ok()?;
        Some(decode_tree(&bytes).unwrap())
    };
    let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let mut model = Model::new();
    for folder in tree(snapshot.tree)? {
        for file in tree(folder.subtree.unwrap()).unwrap_or_default() {
            let chunks = file.content.unwrap();
            let chunks = chunks.iter().filter_map(|id| repo.blob(&index, BlobKind::Data, *id).ok());
            let content = chunks.collect::<Vec<_>>().concat();
            model.insert(format!("{}/{}", text(&folder.name), text(&file.name)), content);
        }
    }
    Some(model)
}

#[test]
fn snapshots_keep_what_is_left_and_losses_are_named() {
    let (base, repo, expected) = used_repository(Version::V2);
    drop(repo);
    let mut repaired = 0;
    for id in ids(&base, FileKind::Pack) {
        for forget in [false, true] {
            let backend = base.copy();
            backend.tamper(FileKind::Pack, id, None);
            let repo = open(&backend);
            index(&repo, false).unwrap();
            let before = repo.snapshots().unwrap();
            let left: Vec<_> = before.iter().map(|s| what_is_left(&repo, s)).collect();
            let report = snapshots(&repo, forget).unwrap();
            let after = repo.snapshots().unwrap();
            let index = repo.index().unwrap();
            for (old, left) in before.iter().zip(left) {
                let there = |id| after.iter().find(|s| s.id == id);
                let version = report.repaired.iter().find(|(damaged, _)| *damaged == old.id);
                match (left, version) {
                    (None, _) => {
                        assert!(report.empty.contains(&old.id));
                        assert_eq!(there(old.id).is_none(), forget);
                    }
                    (Some(left), None) => {
                        assert!(left == expected[&old.id] && report.sound.contains(&old.id));
                    }
                    (Some(left), Some((_, new))) => {
                        let new = there(new.unwrap()).unwrap();
                        assert_eq!(read_back(&repo, &index, new), left);
                        assert!(left != expected[&old.id]);
                        assert_eq!(new.original, Some(old.id));
                        assert_eq!(new.tags.contains(&"repaired".to_owned()), !forget);
                        assert_eq!(there(old.id).is_none(), forget);
                        assert!(report.losses.iter().any(|loss| loss.snapshot == old.id));
                        repaired += 1;
                    }
                }
            }
            if forget {
                let report = check_all(&repo);
                assert!(report.is_sound(), "{:?}", report.findings);
            }
            let count = after.len();
            let again = snapshots(&repo, forget).unwrap();
            assert_eq!(repo.snapshots().unwrap().len(), count, "nothing is written twice");
            assert!(!forget || again.repaired.is_empty());
        }
    }
    assert!(repaired > 4, "{repaired}");
}

#[test]
fn protected_snapshots_stay_and_are_named() {
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    let mut trees = Trees::new(&repo);
    let file = Node {
        name: b"f".to_vec(),
        content: Some(vec![BlobId::of(b"no")]),
        size: 2,
        ..Node::default()
    };
    let root = trees.put(BlobKind::Tree, &encode_tree([&file]).unwrap());
    let mut saved = trees.done(&repo, root);
    remove_snapshots(&repo, &[saved.id]).unwrap();
    saved.delete = DeleteOption::Never;
    repo.save_snapshot(&mut saved).unwrap();
    let report = snapshots(&repo, true).unwrap();
    assert_eq!((report.protected, report.repaired), (vec![saved.id], vec![]));
    assert_eq!(repo.snapshots().unwrap(), [saved.clone()]);
    let report = snapshots(&repo, false).unwrap();
    assert_eq!(report.repaired[0].0, saved.id);
    let copy = repo.snapshot(report.repaired[0].1.unwrap()).unwrap();
    assert_eq!((copy.delete, copy.tags), (DeleteOption::Never, vec!["repaired".to_owned()]));
}

#[test]
fn what_an_unindexed_pack_may_hold_is_not_given_up() {
    let (backend, repo, expected) = used_repository(Version::V2);
    let all = ids(&backend, FileKind::Index);
    all.iter().for_each(|id| backend.tamper(FileKind::Index, *id, None));
    let before = ids(&backend, FileKind::Snapshot);
    assert!(matches!(snapshots(&repo, true), Err(RepoError::Refused { .. })));
    assert_eq!(ids(&backend, FileKind::Snapshot), before);
    index(&repo, false).unwrap();
    assert!(snapshots(&repo, true).unwrap().losses.is_empty());
    verify(&repo, &expected, "index first");
    // Nor is an index file that cannot be read.
    let (id, _) = backend.list(FileKind::Index).unwrap()[0];
    damage(&backend, FileKind::Index, id, 50);
    assert!(matches!(snapshots(&repo, true), Err(RepoError::Damaged { .. })));
}

#[test]
fn a_folder_that_is_not_in_place_is_no_loss() {
    let (backend, repo, _) = used_repository(Version::V2);
    ids(&backend, FileKind::Pack).iter().for_each(|id| backend.tamper(FileKind::Pack, *id, None));
    let before = backend.changes();
    let refused = |error: RepoError| matches!(error, RepoError::Refused { .. });
    assert!(refused(index(&repo, false).unwrap_err()));
    assert!(refused(snapshots(&repo, true).unwrap_err()));
    assert_eq!(backend.changes(), before);
}

#[test]
fn hostile_trees_are_mended() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let data = trees.put(BlobKind::Data, b"12345");
    let empty = trees.put(BlobKind::Tree, b"{\"nodes\":[]}\n");
    let times = r#""mtime":"2026-01-01T00:00:00Z","atime":"2026-01-01T00:00:00Z","ctime":"2026-01-01T00:00:00Z","uid":0,"gid":0"#;
    let file = |name: &str| {
        format!(r#"{{"name":"{name}","type":"file",{times},"size":5,"content":["{data}"]}}"#)
    };
    let list = [
        file("z"),
        file("a/b"),
        file(".."),
        file(""),
        file("a"),
        file("a"),
        format!(r#"{{"name":"d","type":"dir",{times},"content":null}}"#),
        format!(
            r#"{{"name":"e","type":"dir",{times},"content":null,"subtree":"{}"}}"#,
            Id::default()
        ),
        format!(r#"{{"name":"f","type":"file",{times},"size":9,"content":null}}"#),
        format!(r#"{{"name":"g","type":"mystery",{times},"content":null}}"#),
        format!(
            r#"{{"name":"h","type":"symlink",{times},"linktarget":"x","content":["{data}"],"subtree":"{empty}"}}"#
        ),
        format!(r#"{{"name":"i","type":"file",{times},"size":0,"content":["{data}"]}}"#),
        r#"{"name":"j","type":"#.to_owned(),
    ];
    let root = trees.put(BlobKind::Tree, format!("{{\"nodes\":[{}", list.join(",")).as_bytes());
    trees.done(&repo, root);
    assert!(!check_all(&repo).is_sound());
    let report = snapshots(&repo, true).unwrap();
    let all = repo.snapshots().unwrap();
    assert_eq!(names(&repo, all[0].tree), ["a", "d/", "e/", "f", "h", "i", "z"]);
    let paths: BTreeSet<_> = report.losses.iter().map(|l| l.path.display().to_string()).collect();
    let named = ["/", "/..", "/a", "/a/b", "/d", "/e", "/f", "/g", "/h", "/i"];
    assert_eq!(paths, named.into_iter().map(str::to_owned).collect());
    assert!(report.losses.iter().any(|l| matches!(l.kind, LossKind::Size { said: 0, is: 5 })));
    let end = check_all(&repo);
    assert!(end.is_sound(), "{:?}", end.findings);
    assert!(snapshots(&repo, true).unwrap().losses.is_empty());
}

#[test]
fn depth_and_repetition_cost_little() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let dir = |name: &str, tree| Node {
        name: name.into(),
        kind: NodeKind::Dir,
        subtree: Some(tree),
        ..Node::default()
    };
    // A file without its content, below 3,000 folders.
    let bad =
        Node { name: b"f".to_vec(), content: Some(vec![BlobId::of(b"no")]), ..Node::default() };
    let mut deep = trees.put(BlobKind::Tree, &encode_tree([&bad]).unwrap());
    for _ in 0..3000 {
        deep = trees.put(BlobKind::Tree, &encode_tree([&dir("d", deep)]).unwrap());
    }
    // The same in 2^40 places.
    let mut wide = trees.put(BlobKind::Tree, &encode_tree([&bad]).unwrap());
    for _ in 0..40 {
        let both = [dir("a", wide), dir("b", wide)];
        wide = trees.put(BlobKind::Tree, &encode_tree(&both).unwrap());
    }
    let root = encode_tree(&[dir("deep", deep), dir("wide", wide)]).unwrap();
    let root = trees.put(BlobKind::Tree, &root);
    trees.done(&repo, root);
    let report = snapshots(&repo, true).unwrap();
    assert!(report.losses.len() == 10_000 && report.lost >= 10_000);
    assert!(check_all(&repo).is_sound());
}

#[test]
fn a_lost_lock_ends_a_repair_before_it_removes() {
    let (base, repo, expected) = used_repository(Version::V2);
    let pack = repo.index_in_use().unwrap().packs()[0].0;
    drop(repo);
    let copies = tempfile::tempdir().unwrap();
    let length = base.read(FileKind::Pack, pack).unwrap().len();
    damage(&base, FileKind::Pack, pack, length - 1);
    let (file, _) = base.list(FileKind::Index).unwrap()[0];
    let lost = || Err(RepoError::LockLost { detail: "test".into() });
    let progress = MendProgress::default();
    let kept = |backend: &MemoryBackend, kind: FileKind| {
        let now = ids(backend, kind);
        assert!(ids(&base, kind).iter().all(|id| now.contains(id)), "{kind}");
    };
    let backend = base.copy();
    let options = PackRepairOptions { packs: vec![], copies: copies.path().into(), threads: 1 };
    let ended = repair_packs(&open(&backend), &options, &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    kept(&backend, FileKind::Pack);
    kept(&backend, FileKind::Index);
    let backend = base.copy();
    damage(&backend, FileKind::Index, file, 50);
    let ended = repair_index(&open(&backend), &Default::default(), &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    kept(&backend, FileKind::Index);
    let backend = base.copy();
    backend.tamper(FileKind::Pack, pack, None);
    index(&open(&backend), false).unwrap();
    let options = SnapshotRepairOptions { forget: true, ..SnapshotRepairOptions::default() };
    let ended = repair_snapshots(&open(&backend), &options, at(NOW), &progress, &lost);
    assert!(matches!(ended, Err(RepoError::LockLost { .. })), "{ended:?}");
    assert_eq!(ids(&backend, FileKind::Snapshot).len(), expected.len());
}

#[test]
fn an_end_at_any_change_of_an_index_repair_loses_nothing() {
    let (base, repo, expected) = used_repository(Version::V2);
    change_index(&repo, |file| file.packs.iter_mut().for_each(|p| p.blobs[0].length += 1));
    let kept = base.copy();
    let (first, _) = base.list(FileKind::Index).unwrap()[0];
    damage(&base, FileKind::Index, first, 60);
    for (name, base) in [("index, damaged file", &base), ("index, wrong lengths", &kept)] {
        let before = known(&open(base));
        end_at_every_change(
            base,
            name,
            |repo| index(repo, false),
            |repo, when, repaired| {
                assert!(known(repo).is_superset(&before), "{when}");
                if repaired {
                    verify(repo, &expected, when);
                }
            },
        );
    }
}

/// Blobs that index files which can be read place where they are.
fn known(repo: &Repository) -> BTreeSet<(BlobKind, BlobId)> {
    let files = repo.backend().list(FileKind::Index).unwrap().into_iter();
    let files = files.filter_map(|(id, _)| repo.index_file(tintype_repo::IndexId(id)).ok());
    let packs = files.flat_map(|file| file.packs.into_iter().chain(file.packs_to_delete));
    let blobs = packs.flat_map(|pack| pack.blobs.into_iter().map(move |blob| (pack.id, blob)));
    let sealed = |pack: PackId, at: u32, length: u32| {
        repo.backend().read_part(FileKind::Pack, pack.0, at.into(), length as usize).ok()
    };
    let whole = blobs.filter(|(pack, blob)| {
        let found = tintype_repo::Found { pack: *pack, blob: (*blob).into() };
        sealed(*pack, blob.offset, blob.length)
            .is_some_and(|mut bytes| repo.open_blob(&found, &mut bytes).is_ok())
    });
    whole.map(|(_, blob)| (blob.kind, blob.id)).collect()
}

#[test]
fn an_end_at_any_change_of_a_pack_repair_loses_nothing() {
    let (base, repo, expected) = used_repository(Version::V2);
    let copies = tempfile::tempdir().unwrap();
    // A damaged length of the header: all blobs are whole, so all snapshots are.
    let id = repo.index_in_use().unwrap().packs()[0].0;
    let length = base.read(FileKind::Pack, id).unwrap().len();
    damage(&base, FileKind::Pack, id, length - 1);
    end_at_every_change(
        &base,
        "packs",
        |repo| packs(repo, &[], copies.path()),
        |repo, when, repaired| match repaired {
            true => verify(repo, &expected, when),
            false => readable(repo, &expected, when),
        },
    );
}

#[test]
fn an_end_at_any_change_of_a_snapshot_repair_loses_nothing() {
    let (base, _, expected) = used_repository(Version::V2);
    for id in ids(&base, FileKind::Pack) {
        let damaged = base.copy();
        damaged.tamper(FileKind::Pack, id, None);
        index(&open(&damaged), false).unwrap();
        // Those that lack nothing stay as they are.
        let repo = open(&damaged);
        let left = |s: &SnapshotFile| what_is_left(&repo, s);
        let whole: Expected =
            repo.snapshots().unwrap().iter().filter_map(|s| Some((s.id, left(s)?))).collect();
        if whole == expected {
            continue;
        }
        end_at_every_change(
            &damaged,
            "snapshots",
            |repo| snapshots(repo, true),
            |repo, when, _| {
                let index = repo.index().unwrap();
                let all = repo.snapshots().unwrap();
                for (id, model) in &whole {
                    let of_it = |s: &&SnapshotFile| s.id == *id || s.original == Some(*id);
                    let best = all.iter().rfind(of_it).expect(when);
                    let now = what_is_left(repo, best).expect(when);
                    assert_eq!(&now, model, "{when}");
                    if best.id != *id {
                        read_back(repo, &index, best);
                    }
                }
            },
        );
    }
}
