//! Merges.

use super::*;

#[test]
fn a_merge_says_what_it_was_made_of() {
    let file = |time| Folder::from([("a".to_owned(), Entry::File(time, vec![1]))]);
    let (_, repo) = with_snapshots(&[file(1), file(2)]);
    let old = repo.snapshots().unwrap();
    let done = merge(&repo, true).unwrap();
    let new = &done.snapshot;
    assert_eq!(repo.snapshots().unwrap(), std::slice::from_ref(new));
    assert_eq!(new.all_parents(), [old[0].id, old[1].id]);
    assert_eq!((new.parent, new.parents.len()), (Some(old[0].id), 2));
    assert_eq!(new.paths, ["/p1", "/p2", "/x"]);
    assert_eq!((new.hostname.as_str(), new.time), ("h", old[1].time));
    assert_eq!(new.tags, ["t1", "t2"]);
    assert_eq!(done.deleted.len(), 2);
    assert!(matches!(merge(&repo, false), Err(RepoError::Refused { .. })), "one alone");
}

#[test]
fn names_of_different_files_share_no_inode_after_a_merge() {
    let repo = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    for (name, bytes) in [("a", b"one"), ("b", b"two"), ("c", b"two")] {
        let mut trees = Trees::new(&repo);
        let content = Some(vec![trees.put(BlobKind::Data, bytes)]);
        let node = Node {
            name: name.into(),
            content,
            size: 3,
            links: 2,
            inode: 5,
            device_id: 1,
            ..Node::default()
        };
        let root = trees.put(BlobKind::Tree, &encode_tree([&node]).unwrap());
        trees.done(&repo, root);
    }
    let done = merge(&repo, false).unwrap().snapshot;
    let bytes = repo.blob(&repo.index().unwrap(), BlobKind::Tree, done.tree).unwrap();
    let nodes = decode_tree(&bytes).unwrap();
    let links: Vec<_> = nodes.iter().map(Node::hard_link).collect();
    let same = |a: usize, b: usize| links[a].is_some() && links[a] == links[b];
    assert!(!same(0, 1) && !same(0, 2), "{links:?}");
    assert!(links.iter().any(Option::is_some));
}

#[test]
fn an_end_at_any_change_of_a_merge_loses_nothing() {
    let (base, repo, expected) = three();
    let all: Vec<SnapshotId> = repo.snapshots().unwrap().iter().map(|s| s.id).collect();
    let run = |repo: &Repository| {
        // What an ended run has merged already is not there to be merged again.
        let there: Vec<_> = repo.snapshots()?.into_iter().filter(|s| all.contains(&s.id)).collect();
        if there.len() < 2 {
            return Ok(());
        }
        let base = SnapshotFile::new("2026-01-01".parse().unwrap(), BlobId::default());
        let options = MergeOptions { delete: true, ..MergeOptions::default() };
        let progress = MendProgress::default();
        merge_snapshots(repo, &there, base, &options, at(NOW), &progress, &|| Ok(())).map(drop)
    };
    end_at_every_change(&base, "merge", run, |repo, when, _| {
        let left = repo.snapshots().unwrap();
        let merged = left.iter().find(|s| !s.parents.is_empty());
        let index = repo.index().unwrap();
        match merged {
            None => readable(repo, &expected, when),
            Some(merged) => {
                // All times are alike, so the newest snapshot counts where it has something.
                let mut wanted = Model::new();
                all.iter().for_each(|id| wanted.extend(expected[id].clone()));
                let now = support::read_back(repo, &index, merged);
                assert!(now.keys().eq(wanted.keys()) || merged.parents.len() < 3, "{when}");
            }
        }
    });
}
