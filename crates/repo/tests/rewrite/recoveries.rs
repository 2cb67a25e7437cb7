//! Recovering what no snapshot leads to.

use super::*;

#[test]
fn forgotten_snapshots_are_recovered_also_from_marked_packs() {
    for marked in [false, true] {
        let (_, repo, expected) = three();
        let old = repo.snapshots().unwrap();
        remove_snapshots(&repo, &[old[0].id, old[1].id]).unwrap();
        if marked {
            let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
            prune(&repo, &plan, &|| Ok(())).unwrap();
        }
        let found = recovery(&repo).unwrap();
        assert_eq!((found.folders.len(), found.lost), (2, 0), "{found:?}");
        assert_eq!(found.taken_back.is_empty(), !marked);
        let snapshot = found.snapshot.unwrap();
        assert_eq!(
            (snapshot.paths, snapshot.tags),
            (vec!["/recover".to_owned()], vec!["recovered".to_owned()])
        );
        assert_eq!(names(&repo, snapshot.tree).len(), 2);
        let index = repo.index_in_use().unwrap();
        for lost in &old[..2] {
            assert!(found.folders.iter().any(|(_, tree)| *tree == lost.tree));
            assert_eq!(support::read_back(&repo, &index, lost), expected[&lost.id]);
        }
        assert!(check_all(&repo).is_sound());
        assert_eq!(recovery(&repo).unwrap().snapshot, None);
        // A prune much later leaves it alone.
        let alone = PruneOptions { alone: true, instant_delete: true, ..PruneOptions::default() };
        let plan = plan_prune(&repo, &alone, at("2027-01-01")).unwrap();
        prune(&repo, &plan, &|| Ok(())).unwrap();
        assert!(check_all(&repo).is_sound());
    }
}

#[test]
fn what_lacks_something_is_recovered_without_it_and_once() {
    let (backend, repo, _) = three();
    let old = repo.snapshots().unwrap();
    let ids: Vec<_> = old.iter().map(|snapshot| snapshot.id).collect();
    remove_snapshots(&repo, &ids).unwrap();
    // The pack with most data.
    let packs = backend.list(FileKind::Pack).unwrap();
    let (largest, _) = packs.into_iter().max_by_key(|(_, length)| *length).unwrap();
    backend.tamper(FileKind::Pack, largest, None);
    let progress = MendProgress::default();
    tintype_repo::repair_index(&repo, &Default::default(), &progress, &|| Ok(())).unwrap();
    let found = recovery(&repo).unwrap();
    assert!(found.snapshot.is_some() && found.lost > 0 && !found.losses.is_empty());
    for loss in &found.losses {
        let whose = |name: &String| loss.path.starts_with(format!("/{name}"));
        assert!(found.folders.iter().any(|(name, _)| whose(name)), "{loss:?}");
    }
    let report = check_all(&repo);
    assert!(report.is_sound(), "{:?}", report.findings);
    let again = recovery(&repo).unwrap();
    assert!(again.snapshot.is_none() && again.losses.is_empty(), "{again:?}");
}

#[test]
fn a_damaged_snapshot_file_hides_no_tree_from_recovery() {
    let (backend, repo, expected) = three();
    let id = *expected.keys().next().unwrap();
    let tree = repo.snapshot(id).unwrap().tree;
    let mut bytes = backend.read(FileKind::Snapshot, id.0).unwrap();
    bytes[20] ^= 1;
    backend.tamper(FileKind::Snapshot, id.0, Some(bytes));
    let found = recovery(&repo).unwrap();
    assert_eq!(found.folders, [(tree.0.short(), tree)]);
}

#[test]
fn an_end_at_any_change_of_a_recovery_loses_nothing() {
    let (base, repo, mut expected) = three();
    let old = repo.snapshots().unwrap();
    let gone = [old[0].clone(), old[1].clone()];
    remove_snapshots(&repo, &[gone[0].id, gone[1].id]).unwrap();
    let plan = plan_prune(&repo, &PruneOptions::default(), at(NOW)).unwrap();
    prune(&repo, &plan, &|| Ok(())).unwrap();
    let models = gone.clone().map(|s| expected.remove(&s.id).unwrap());
    end_at_every_change(&base, "recover", recovery, |repo, when, done| {
        readable(repo, &expected, when);
        let index = if done { repo.index_in_use().unwrap() } else { repo.index().unwrap() };
        for (snapshot, model) in gone.iter().zip(&models) {
            assert_eq!(&support::read_back(repo, &index, snapshot), model, "{when}");
        }
        if done {
            assert_eq!(repo.snapshots().unwrap().len(), 2, "{when}");
        }
    });
    let repo = open(&base);
    verify(&repo, &expected, "untouched");
}
