//! Rewriting: what it changes, what it refuses, what it costs.

use super::*;

#[test]
fn metadata_change_without_reading_trees() {
    let (_, repo) = with_snapshots(&[Folder::new()]);
    let mut lost = SnapshotFile::new("2025-03-01".parse().unwrap(), BlobId::of(b"no tree"));
    repo.save_snapshot(&mut lost).unwrap();
    let change = SnapshotModification {
        hostname: Some("new".into()),
        time: Some("2020-01-01".parse().unwrap()),
        ..SnapshotModification::default()
    };
    let options = RewriteOptions { change, ..RewriteOptions::default() };
    let dry = RewriteOptions { dry_run: true, ..options.clone() };
    assert_eq!(rewrite(&repo, &dry).unwrap().rewritten.len(), 2);
    assert_eq!(repo.snapshots().unwrap().len(), 2);
    assert_eq!(rewrite(&repo, &options).unwrap().rewritten.len(), 2);
    let all = repo.snapshots().unwrap();
    let new: Vec<_> = all.iter().filter(|s| s.hostname == "new").collect();
    assert!(all.len() == 4 && new.len() == 2);
    assert!(new.iter().all(|s| s.tags.contains(&"rewrite".to_owned())));
    // A second run finds what the first one wrote.
    rewrite(&repo, &options).unwrap();
    assert_eq!(repo.snapshots().unwrap().len(), 4);
}

#[test]
fn a_tree_in_a_foreign_form_is_refused_unless_asked_for() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let node = |name: &str| Node { name: name.into(), content: Some(vec![]), ..Node::default() };
    let exact = encode_tree(&[node("a"), node("b")]).unwrap();
    let text = String::from_utf8(exact.clone()).unwrap();
    let foreign = text.replace("\"uid\":0,\"gid\":0", "\"gid\":0,\"uid\":0");
    let root = trees.put(BlobKind::Tree, foreign.as_bytes());
    let saved = trees.done(&repo, root);
    let refused = rewrite(&repo, &without(&["a"], true));
    assert!(matches!(refused, Err(RepoError::Refused { .. })), "{refused:?}");
    assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(&saved));
    // What does not change need not be written.
    assert_eq!(rewrite(&repo, &without(&["x"], true)).unwrap().unchanged, [saved.id]);
    let all = RewriteOptions { all_trees: true, forget: true, ..RewriteOptions::default() };
    rewrite(&repo, &all).unwrap();
    assert_eq!(repo.snapshots().unwrap()[0].tree, BlobId::of(&exact));
    rewrite(&repo, &without(&["a"], true)).unwrap();
    assert_eq!(names(&repo, repo.snapshots().unwrap()[0].tree), ["b"]);
}

#[test]
fn damage_and_hostile_trees_stop_a_rewrite() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let good =
        encode_tree([&Node { name: b"a".to_vec(), content: Some(vec![]), ..Node::default() }]);
    let text = String::from_utf8(good.unwrap()).unwrap();
    let root = trees.put(BlobKind::Tree, text.replace("\"a\"", "\"../a\"").as_bytes());
    trees.done(&repo, root);
    assert!(matches!(rewrite(&repo, &without(&["x"], true)), Err(RepoError::Tree { .. })));
    let mut missing = SnapshotFile::new("2025-03-01".parse().unwrap(), BlobId::of(b"no"));
    repo.save_snapshot(&mut missing).unwrap();
    assert!(merge(&repo, true).is_err());
    assert_eq!(repo.snapshots().unwrap().len(), 2);
}

#[test]
fn depth_and_repetition_cost_little() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let mut trees = Trees::new(&repo);
    let leaf = Node { name: b"f".to_vec(), content: Some(vec![]), ..Node::default() };
    let root = trees.put_deep_and_wide(&leaf, 70);
    trees.done(&repo, root);
    let leaf = trees_of(&repo, &[leaf]);
    let mut other = SnapshotFile::new("2025-03-01".parse().unwrap(), leaf);
    repo.save_snapshot(&mut other).unwrap();
    let done = merge(&repo, false).unwrap().snapshot;
    assert_eq!(done.summary.unwrap().total_files_processed, u64::MAX);
    rewrite(&repo, &without(&["f"], true)).unwrap();
    assert!(check_all(&repo).is_sound());
}

#[test]
fn an_end_at_any_change_of_a_rewrite_loses_nothing() {
    let (base, _, before) = three();
    let options = without(&["f2", "/d1/f3"], true);
    let left = |model: &Model| {
        let mut model = model.clone();
        model.retain(|path, _| !path.ends_with("f2") && path != "d1/f3");
        model
    };
    end_at_every_change(
        &base,
        "rewrite",
        |repo| rewrite(repo, &options),
        |repo, when, again| {
            let all = repo.snapshots().unwrap();
            let index = repo.index().unwrap();
            for (id, model) in &before {
                let of_it = |s: &&SnapshotFile| s.id == *id || s.original == Some(*id);
                let versions: Vec<_> = all.iter().filter(of_it).collect();
                assert!(!versions.is_empty(), "{when}: {id} is gone");
                assert!(!again || versions.len() == 1, "{when}: {id} is there twice");
                for version in versions {
                    let wanted = if version.id == *id { model.clone() } else { left(model) };
                    let now = support::read_back(repo, &index, version);
                    assert_eq!(now, wanted, "{when}");
                    assert!(!again || now == left(model), "{when}");
                }
            }
        },
    );
}
