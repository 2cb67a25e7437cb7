//! Repairs of the index.

use super::*;

#[test]
fn a_right_index_is_left_alone() {
    let (backend, repo, _) = used_repository(Version::V2);
    let before = backend.changes();
    assert!(!marks(&repo).is_empty(), "the prune has marked something");
    for all in [false, true] {
        let report = repair_of_index(&repo, all).unwrap();
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
                let report = repair_of_index(&repo, false).unwrap();
                assert_eq!(report, plan);
                assert_eq!(report.unreadable.len(), usize::from(!gone));
                verify(&repo, &expected, &format!("{id} gone: {gone}"));
                assert!(marks(&repo).is_subset(&before));
                assert!(repair_of_index(&repo, true).unwrap().is_right());
            }
        }
        ids(&base, FileKind::Index).iter().for_each(|id| base.tamper(FileKind::Index, *id, None));
        let repo = open(&base);
        assert!(!repair_of_index(&repo, false).unwrap().added.is_empty());
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
        assert!(
            repair_of_packs(&repo, &[], Path::new("/nowhere")).unwrap().packs.is_empty(),
            "{what}"
        );
        let report = repair_of_index(&repo, all).unwrap();
        assert!(!report.is_right(), "{what}");
        verify(&repo, &expected, what);
        assert_eq!(marks(&repo), before, "{what}");
        assert!(repair_of_index(&repo, true).unwrap().is_right(), "{what}");
    }
}

#[test]
fn packs_that_are_gone_leave_the_index() {
    let (base, _, _) = used_repository(Version::V2);
    for id in ids(&base, FileKind::Pack) {
        let backend = base.copy();
        backend.tamper(FileKind::Pack, id, None);
        let repo = open(&backend);
        assert_eq!(repair_of_index(&repo, false).unwrap().gone, [PackId(id)]);
        let named = |f: &Finding| matches!(f, Finding::MissingPack { .. });
        assert!(!check_all(&repo).findings.iter().any(named));
        assert!(repair_of_index(&repo, false).unwrap().is_right());
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
        let report = repair_of_index(&repo, false).unwrap();
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
        repair_of_packs(&repo, &[PackId(id)], copies.path()).unwrap();
        let end = repair_of_index(&repo, true).unwrap();
        assert!(end.is_right() && end.damaged.is_empty(), "{end:?}");
    }
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
            |repo| repair_of_index(repo, false),
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
