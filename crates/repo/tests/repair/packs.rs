//! Repairs of packs.

use super::*;

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
            let report = repair_of_packs(&repo, &[], copies.path()).unwrap();
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
            let again = repair_of_packs(&repo, &[], copies.path()).unwrap();
            assert!(again.packs.is_empty(), "{again:?}");
            assert!(repair_of_index(&repo, true).unwrap().is_right());
            repair_of_snapshots(&repo, true).unwrap();
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
    let report = repair_of_packs(&repo, &all, copies.path()).unwrap();
    assert!(report.packs.iter().all(|pack| pack.sound && pack.copy.is_none()));
    let missing = repair_of_packs(&repo, &[PackId(Id::of(b"x"))], copies.path());
    assert!(matches!(missing, Err(RepoError::Refused { .. })));
    assert_eq!(backend.changes(), before);
    // A copy that cannot be made stops everything.
    damage(&backend, FileKind::Pack, all[0].0, 3);
    let nowhere = repair_of_packs(&repo, &all, &copies.path().join("missing"));
    assert!(matches!(nowhere, Err(RepoError::Local { .. })));
    assert!(ids(&backend, FileKind::Pack).contains(&all[0].0));
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
        |repo| repair_of_packs(repo, &[], copies.path()),
        |repo, when, repaired| match repaired {
            true => verify(repo, &expected, when),
            false => readable(repo, &expected, when),
        },
    );
}
