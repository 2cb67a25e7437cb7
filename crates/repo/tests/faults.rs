//! Backups, copies and forgetting with a failure at every change and at many reads: what was reported saved is there and whole, `check` finds
//! nothing, and the next run goes on without storing again what an index names. Prunes: see `prune.rs`; killed processes: `killed.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use support::{
    Chance, Expected, Model, new_repository, open, read_back, save, try_save, used_repository,
    verify,
};
use tintype_repo::{
    Backend, BackupOptions, BackupProgress, Copied, CopyOptions, CopyProgress, FileKind, Id, Index,
    Limit, MemoryBackend, PackId, PruneOptions, Repository, RestoreOptions, RestoreProgress,
    Result, SnapshotFile, Trouble, Version, backup, copy_snapshots, plan_prune, prune,
    remove_snapshots, restore,
};
use tintype_testkit::Rng;
use tintype_testkit::careless::{Careless, Mistake};
use tintype_testkit::faulty::{Fault, Round, Side, everywhere};

const CHANGES: [Fault; 3] = [Fault::Once, Fault::Unheard, Fault::Gone];
const READS: [Fault; 3] = [Fault::Once, Fault::Gone, Fault::Bent];

fn copy_all(from: &Repository, to: &Repository, all: &[SnapshotFile]) -> Result<Copied> {
    let options = CopyOptions { threads: 2, ..CopyOptions::default() };
    copy_snapshots(from, to, all, options, &CopyProgress::default(), &|| Ok(()))
}

/// Reads that are met of each run.
const MOST: u64 = 40;

fn in_memory() -> (MemoryBackend, Expected) {
    let backend = MemoryBackend::new();
    let (_, expected) = used_repository(Arc::new(backend.clone()), Version::V2);
    (backend, expected)
}

/// `round` at every change and at many reads.
fn everywhere_of(base: &MemoryBackend, fewest: u64, round: impl Fn(&Round)) {
    let changes = everywhere(base, Side::Changes, &CHANGES, u64::MAX, &round);
    assert!(changes >= fewest, "{changes} changes only");
    everywhere(base, Side::Reads, &READS, MOST, &round);
}

fn packs(repo: &Repository) -> BTreeSet<Id> {
    repo.backend().list(FileKind::Pack).unwrap().into_iter().map(|(id, _)| id).collect()
}

/// Runs `work` and sees that it stores nothing that an index names.
fn without_repeats<T>(repo: &Repository, when: &str, work: impl FnOnce() -> T) -> T {
    let (named, before): (Index, _) = (repo.index_in_use().unwrap(), packs(repo));
    let done = work();
    let sizes = repo.backend().list(FileKind::Pack).unwrap();
    for (pack, size) in sizes.into_iter().filter(|(id, _)| !before.contains(id)) {
        for blob in repo.pack_header(PackId(pack), size).unwrap() {
            assert!(!named.has(blob.kind, blob.id), "{when}: {} is stored again", blob.id);
        }
    }
    done
}

/// Snapshots that are there though nobody was told may only be those whose answer was lost.
fn with_unheard(repo: &Repository, expected: &mut Expected, model: &Model, round: &Round) {
    for snapshot in repo.snapshots().unwrap() {
        expected.entry(snapshot.id).or_insert_with(|| {
            assert!(round.when.contains("Unheard"), "{}: {}", round.when, snapshot.id);
            model.clone()
        });
    }
}

/// A repository, and what the next backup of it saves.
fn with_next() -> (MemoryBackend, Expected, Model) {
    let (base, before) = in_memory();
    let mut model = before.values().last().unwrap().clone();
    let mut chance = Chance(11);
    (0..6).for_each(|_| chance.change(&mut model));
    (base, before, model)
}

/// A backup at a place, and what must be in `round.real` afterwards.
fn judged_backup(round: &Round, place: Arc<dyn Backend>, before: &Expected, model: &Model) {
    let saved = open(place).and_then(|repo| try_save(&repo, model, "2026-02-01T00:00:00Z"));
    assert!(saved.is_ok() || !round.calm, "{saved:?}");
    let (mut expected, repo) = (before.clone(), open(Arc::new(round.real.clone())).unwrap());
    expected.extend(saved.map(|saved| (saved.id, model.clone())));
    with_unheard(&repo, &mut expected, model, round);
    verify(&repo, &expected, &round.when);
    let next = without_repeats(&repo, &round.when, || save(&repo, model, "2026-02-02T00:00:00Z"));
    expected.insert(next.id, model.clone());
    verify(&repo, &expected, &format!("{}, then the next", round.when));
}

#[test]
fn a_backup_that_fails_anywhere_is_made_good_by_the_next() {
    let (base, before, model) = with_next();
    everywhere_of(&base, 4, |round| {
        judged_backup(round, round.faulty.clone(), &before, &model);
    });
}

/// A prune at a place, and what must be in `round.real` afterwards.
fn judged_prune(round: &Round, place: Arc<dyn Backend>, before: &Expected) {
    let options = PruneOptions {
        max_unused: Limit::Bytes(0),
        instant_delete: true,
        alone: true,
        threads: 2,
        ..PruneOptions::default()
    };
    let run = |repo: Repository| {
        let plan = plan_prune(&repo, &options, support::at("2026-03-01T00:00:00Z"))?;
        prune(&repo, &plan, &|| Ok(()))
    };
    let done = open(place).and_then(run);
    assert!(done.is_ok() || !round.calm, "{done:?}");
    verify(&open(Arc::new(round.real.clone())).unwrap(), before, &round.when);
}

/// How many rounds the judge condemns.
fn condemned(base: &MemoryBackend, judged: impl Fn(&Round)) -> usize {
    let mut condemned = 0;
    everywhere(base, Side::Changes, &[Fault::Once, Fault::Gone], u64::MAX, |round| {
        let judged = catch_unwind(AssertUnwindSafe(|| judged(round)));
        assert!(judged.is_ok() || !round.calm, "without a failure a mistake does no harm");
        condemned += usize::from(judged.is_err());
    });
    condemned
}

#[test]
fn the_judges_notice_what_is_done_in_a_wrong_order() {
    let (base, before, model) = with_next();
    for mistake in [Mistake::IndexBeforePacks, Mistake::SnapshotFirst] {
        let place = |round: &Round| Arc::new(Careless::new(round.faulty.clone(), mistake));
        let found = condemned(&base, |round| judged_backup(round, place(round), &before, &model));
        assert!(found > 0, "{mistake:?}");
    }
    let mistake = Mistake::RemovalBeforeWrites;
    let place = |round: &Round| Arc::new(Careless::new(round.faulty.clone(), mistake));
    assert!(condemned(&base, |round| judged_prune(round, place(round), &before)) > 0);
    // Without a mistake they condemn nothing.
    assert_eq!(condemned(&base, |round| judged_prune(round, round.faulty.clone(), &before)), 0);
}

#[test]
fn a_copy_that_fails_anywhere_is_made_good_by_the_next() {
    let (from, held) = in_memory();
    let from = open(Arc::new(from)).unwrap();
    let index = from.index().unwrap();
    let all = from.snapshots().unwrap();
    let base = MemoryBackend::new();
    let to = new_repository(Arc::new(base.clone()), Version::V2);
    tintype_repo::hostile::weak_key(&to, b"secret");
    let copy = |to: &Repository| copy_all(&from, to, &all);
    let sound = |to: &Repository, when: &str| {
        let copies = to.snapshots().unwrap();
        let original = |copy: &SnapshotFile| held[&copy.original.unwrap()].clone();
        verify(to, &copies.iter().map(|copy| (copy.id, original(copy))).collect(), when);
        copies.len()
    };
    everywhere_of(&base, 6, |round| {
        let done = open(round.faulty.clone()).and_then(|to| copy(&to));
        assert!(done.is_ok() || !round.calm, "{done:?}");
        let to = open(Arc::new(round.real.clone())).unwrap();
        let there = sound(&to, &round.when);
        assert!(there >= done.map_or(0, |done| done.snapshots.len()), "{}", round.when);
        without_repeats(&to, &round.when, || copy(&to).unwrap());
        assert_eq!(sound(&to, &round.when), all.len(), "{}: each once", round.when);
    });
    // Failures of the place that is read from.
    let source = MemoryBackend::new();
    let (held_there, _) = used_repository(Arc::new(source.clone()), Version::V2);
    let models = held_there.snapshots().unwrap();
    let model = |old: &SnapshotFile| read_back(&held_there, &held_there.index().unwrap(), old);
    let to_base = base;
    everywhere(&source, Side::Reads, &READS, MOST, |round| {
        let place = to_base.copy();
        let to = open(Arc::new(place)).unwrap();
        let done = open(round.faulty.clone()).and_then(|from| copy_all(&from, &to, &models));
        assert!(done.is_ok() || !round.calm, "{done:?}");
        let copies = to.snapshots().unwrap();
        let old = |copy: &SnapshotFile| {
            models.iter().find(|old| Some(old.id) == copy.original).map(&model).unwrap()
        };
        verify(&to, &copies.iter().map(|copy| (copy.id, old(copy))).collect(), &round.when);
    });
    drop(index);
}

#[test]
fn forgetting_that_fails_anywhere_forgets_no_others() {
    let (base, before) = in_memory();
    let going: Vec<_> = before.keys().copied().take(2).collect();
    everywhere_of(&base, 2, |round| {
        let done = open(round.faulty.clone()).and_then(|repo| remove_snapshots(&repo, &going));
        assert!(done.is_ok() || !round.calm, "{done:?}");
        let repo = open(Arc::new(round.real.clone())).unwrap();
        let there: BTreeSet<_> =
            repo.snapshots().unwrap().iter().map(|snapshot| snapshot.id).collect();
        let mut expected = before.clone();
        expected.retain(|id, _| !going.contains(id) || there.contains(id));
        assert!(done.is_err() || expected.len() == before.len() - 2, "{}", round.when);
        verify(&repo, &expected, &round.when);
        remove_snapshots(&repo, &going).unwrap();
        expected.retain(|id, _| !going.contains(id));
        verify(&repo, &expected, &format!("{}, again", round.when));
    });
}

/// A folder whose content fills several packs.
fn large_source() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(3);
    for number in 0..20 {
        std::fs::create_dir_all(folder.path().join("deep/er")).unwrap();
        let below = if number % 2 == 0 { "deep/er" } else { "deep" };
        let name = folder.path().join(below).join(format!("file-{number}"));
        std::fs::write(name, rng.bytes(900_000)).unwrap();
    }
    folder
}

fn try_backup(repo: &Repository, source: &std::path::Path) -> Result<SnapshotFile> {
    let options = BackupOptions { paths: vec![source.to_owned()], ..BackupOptions::default() };
    let index = Arc::new(repo.index_in_use()?);
    let saved = backup(repo, index, &[], &options, &BackupProgress::default())?;
    let mut snapshot = SnapshotFile::new("2026-01-01T00:00:00Z".parse().unwrap(), saved.tree);
    repo.save_snapshot(&mut snapshot)?;
    Ok(snapshot)
}

/// Restores a snapshot and compares all files.
fn restored(repo: &Repository, snapshot: &SnapshotFile, source: &std::path::Path, when: &str) {
    let target = tempfile::tempdir().unwrap();
    let path = source.strip_prefix("/").unwrap().to_owned();
    let options = RestoreOptions { path, ..RestoreOptions::default() };
    let (index, progress) = (repo.index().unwrap(), RestoreProgress::default());
    let report = restore(repo, &index, snapshot.tree, target.path(), &options, &progress).unwrap();
    assert!(report.is_complete(), "{when}");
    for below in ["deep", "deep/er"] {
        for entry in std::fs::read_dir(source.join(below)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let other = target.path().join(below).join(entry.file_name());
                let same = std::fs::read(entry.path()).unwrap() == std::fs::read(other).unwrap();
                assert!(same, "{when}: {}", entry.path().display());
            }
        }
    }
}

#[test]
fn a_backup_that_cannot_write_ends_however_many_files_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(5);
    // The first pack is full when more files wait than the readers' queue holds.
    for number in 0..1_200 {
        std::fs::write(folder.path().join(format!("file-{number}")), rng.bytes(24_000)).unwrap();
    }
    let backend = MemoryBackend::new();
    let repo = new_repository(Arc::new(backend.clone()), Version::V2);
    backend.set_trouble(Trouble::FailAfter(0));
    assert!(try_backup(&repo, folder.path()).is_err());
}

#[test]
fn a_backup_of_several_packs_resumes() {
    let source = large_source();
    let base = MemoryBackend::new();
    let repo = new_repository(Arc::new(base.clone()), Version::V2);
    tintype_repo::hostile::weak_key(&repo, b"secret");
    let met = everywhere(&base, Side::Changes, &[Fault::Once, Fault::Gone], u64::MAX, |round| {
        let saved = open(round.faulty.clone()).and_then(|repo| try_backup(&repo, source.path()));
        assert!(saved.is_ok() || !round.calm, "{saved:?}");
        let repo = open(Arc::new(round.real.clone())).unwrap();
        assert!(support::check_all(&repo).is_sound(), "{}", round.when);
        assert_eq!(repo.snapshots().unwrap().len(), usize::from(saved.is_ok()));
        let next =
            without_repeats(&repo, &round.when, || try_backup(&repo, source.path()).unwrap());
        restored(&repo, &next, source.path(), &round.when);
        assert!(support::check_all(&repo).is_sound(), "{}", round.when);
    });
    assert!(met >= 5, "{met}");
}
