//! Repairs of snapshots.

use super::*;

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
            repair_of_index(&repo, false).unwrap();
            let before = repo.snapshots().unwrap();
            let left: Vec<_> = before.iter().map(|s| what_is_left(&repo, s)).collect();
            let report = repair_of_snapshots(&repo, forget).unwrap();
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
            let again = repair_of_snapshots(&repo, forget).unwrap();
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
    let report = repair_of_snapshots(&repo, true).unwrap();
    assert_eq!((report.protected, report.repaired), (vec![saved.id], vec![]));
    assert_eq!(repo.snapshots().unwrap(), [saved.clone()]);
    let report = repair_of_snapshots(&repo, false).unwrap();
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
    assert!(matches!(repair_of_snapshots(&repo, true), Err(RepoError::Refused { .. })));
    assert_eq!(ids(&backend, FileKind::Snapshot), before);
    repair_of_index(&repo, false).unwrap();
    assert!(repair_of_snapshots(&repo, true).unwrap().losses.is_empty());
    verify(&repo, &expected, "index first");
    // Nor is an index file that cannot be read.
    let (id, _) = backend.list(FileKind::Index).unwrap()[0];
    damage(&backend, FileKind::Index, id, 50);
    assert!(matches!(repair_of_snapshots(&repo, true), Err(RepoError::Damaged { .. })));
}

#[test]
fn a_folder_that_is_not_in_place_is_no_loss() {
    let (backend, repo, _) = used_repository(Version::V2);
    ids(&backend, FileKind::Pack).iter().for_each(|id| backend.tamper(FileKind::Pack, *id, None));
    let before = backend.changes();
    let refused = |error: RepoError| matches!(error, RepoError::Refused { .. });
    assert!(refused(repair_of_index(&repo, false).unwrap_err()));
    assert!(refused(repair_of_snapshots(&repo, true).unwrap_err()));
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
    let report = repair_of_snapshots(&repo, true).unwrap();
    let all = repo.snapshots().unwrap();
    assert_eq!(names(&repo, all[0].tree), ["a", "d/", "e/", "f", "h", "i", "z"]);
    let paths: BTreeSet<_> = report.losses.iter().map(|l| l.path.display().to_string()).collect();
    let named = ["/", "/..", "/a", "/a/b", "/d", "/e", "/f", "/g", "/h", "/i"];
    assert_eq!(paths, named.into_iter().map(str::to_owned).collect());
    assert!(report.losses.iter().any(|l| matches!(l.kind, LossKind::Size { said: 0, is: 5 })));
    let end = check_all(&repo);
    assert!(end.is_sound(), "{:?}", end.findings);
    assert!(repair_of_snapshots(&repo, true).unwrap().losses.is_empty());
}

#[test]
fn depth_and_repetition_cost_little() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    // A file without its content.
    let bad =
        Node { name: b"f".to_vec(), content: Some(vec![BlobId::of(b"no")]), ..Node::default() };
    let root = trees.put_deep_and_wide(&bad, 40);
    trees.done(&repo, root);
    let report = repair_of_snapshots(&repo, true).unwrap();
    assert!(report.losses.len() == 10_000 && report.lost >= 10_000);
    assert!(check_all(&repo).is_sound());
}

#[test]
fn an_end_at_any_change_of_a_snapshot_repair_loses_nothing() {
    let (base, _, expected) = used_repository(Version::V2);
    for id in ids(&base, FileKind::Pack) {
        let damaged = base.copy();
        damaged.tamper(FileKind::Pack, id, None);
        repair_of_index(&open(&damaged), false).unwrap();
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
            |repo| repair_of_snapshots(repo, true),
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
