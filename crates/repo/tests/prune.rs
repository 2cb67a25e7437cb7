//! Prunes in memory: against a model, killed at every change, beside running backups.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use support::{
    Chance, Expected, Model, at, begin, check_all, forget, new_repository, open, read_back, save,
    used_repository, verify,
};
use tintype_repo::{
    Backend, Decision, FileKind, Limit, MemoryBackend, PruneDone, PruneOptions, RepoError,
    Repository, Result, Version, plan_prune, prune, remove_snapshots,
};
use tintype_testkit::faulty::{Fault, Round, Side, everywhere};

const START: &str = "2026-01-01T00:00:00Z";

fn strict() -> PruneOptions {
    PruneOptions { max_unused: Limit::Bytes(0), threads: 2, ..PruneOptions::default() }
}

fn alone() -> PruneOptions {
    PruneOptions { alone: true, ..strict() }
}

fn instant() -> PruneOptions {
    PruneOptions { instant_delete: true, ..alone() }
}

fn run(repo: &Repository, options: &PruneOptions, now: Timestamp) -> Result<PruneDone> {
    let plan = plan_prune(repo, options, now)?;
    prune(repo, &plan, &|| Ok(()))
}

/// A used repository in memory.
fn in_memory(version: Version) -> (MemoryBackend, Repository, Expected) {
    let backend = MemoryBackend::new();
    let (repo, expected) = used_repository(Arc::new(backend.clone()), version);
    (backend, repo, expected)
}

fn packs(repo: &Repository) -> usize {
    repo.backend().list(FileKind::Pack).unwrap().len()
}

#[test]
fn two_phases_free_what_nothing_needs() {
    let (_, repo, expected) = in_memory(Version::V2);
    let now = at(START);
    let before = packs(&repo);
    let plan = plan_prune(&repo, &strict(), now).unwrap();
    assert!(plan.stats.packs[&Decision::Repack].packs > 0, "{plan}");
    assert!(plan.stats.unused_before > 0 && plan.stats.unused_after == 0, "{plan}");
    assert_eq!(packs(&repo), before, "a plan changes nothing");
    let done = prune(&repo, &plan, &|| Ok(())).unwrap();
    assert!(done.packs == 0 && packs(&repo) > before);
    verify(&repo, &expected, "marked");
    // Not yet, and never beside others.
    for (options, hours) in [(alone(), 22), (strict(), 100)] {
        let plan = plan_prune(&repo, &options, now + SignedDuration::from_hours(hours)).unwrap();
        assert!(plan.stats.packs.contains_key(&Decision::Wait), "{plan}");
        assert!(!plan.stats.packs.contains_key(&Decision::Delete), "{plan}");
    }
    let done = run(&repo, &alone(), now + SignedDuration::from_hours(23)).unwrap();
    assert!(done.packs > 0);
    verify(&repo, &expected, "deleted");
    assert_eq!(check_all(&repo).warnings, 0, "nothing unused is left");
    let plan = plan_prune(&repo, &alone(), now + SignedDuration::from_hours(50)).unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn instant_deletion_needs_to_be_alone() {
    let (_, repo, expected) = in_memory(Version::V1);
    let bad = PruneOptions { alone: false, ..instant() };
    assert!(matches!(plan_prune(&repo, &bad, at(START)), Err(RepoError::Refused { .. })));
    run(&repo, &instant(), at(START)).unwrap();
    verify(&repo, &expected, "instant");
    assert_eq!(check_all(&repo).warnings, 0);
    let all: Vec<_> = expected.keys().copied().collect();
    remove_snapshots(&repo, &all).unwrap();
    run(&repo, &instant(), at(START)).unwrap();
    assert_eq!(packs(&repo), 0);
}

#[test]
fn limits_bound_what_is_rewritten_and_left() {
    let (_, repo, _) = in_memory(Version::V2);
    let plan = |options| plan_prune(&repo, &options, at(START)).unwrap();
    let none = plan(PruneOptions { max_repack: Limit::Bytes(0), ..strict() });
    assert!(none.stats.rewritten == 0 && !none.stats.packs.contains_key(&Decision::Repack));
    let any = plan(PruneOptions { max_unused: Limit::Unlimited, ..strict() });
    assert_eq!(any.stats.rewritten, 0);
    assert_eq!(any.stats.unused_after, any.stats.unused_before);
    let all = plan(strict());
    let half =
        plan(PruneOptions { max_unused: Limit::Bytes(all.stats.unused_before / 2), ..strict() });
    assert!(half.stats.rewritten < all.stats.rewritten);
    assert!(half.stats.unused_after <= all.stats.unused_before / 2);
}

/// Programs that know no marks read every snapshot too.
fn verify_for_others(repo: &Repository, expected: &Expected, when: &str) {
    let index = repo.index_in_use().unwrap();
    for snapshot in repo.snapshots().unwrap() {
        assert_eq!(&read_back(repo, &index, &snapshot), &expected[&snapshot.id], "{when}");
    }
}

/// The run meets a failure at each of its changes and at many of its reads; then it is run again.
#[test]
fn an_end_anywhere_leaves_a_sound_repository() {
    let (base, repo, expected) = in_memory(Version::V2);
    let late = at(START) + SignedDuration::from_hours(24);
    let marked = base.copy();
    run(&open(Arc::new(marked.clone())).unwrap(), &strict(), at(START)).unwrap();
    drop(repo);
    let judge = |round: &Round, options: &PruneOptions, now: Timestamp| {
        let when = format!("{options:?}, {}", round.when);
        let done = open(round.faulty.clone()).and_then(|repo| run(&repo, options, now));
        assert!(done.is_ok() || !round.calm, "{when}: {done:?}");
        let repo = open(Arc::new(round.real.clone())).unwrap();
        verify(&repo, &expected, &when);
        verify_for_others(&repo, &expected, &when);
        run(&repo, options, now).unwrap();
        verify(&repo, &expected, &format!("{when}, run again"));
        let last = now + SignedDuration::from_hours(30);
        run(&repo, &alone(), last).unwrap();
        run(&repo, &alone(), last + SignedDuration::from_hours(30)).unwrap();
        verify(&repo, &expected, &format!("{when}, cleaned"));
        assert_eq!(check_all(&repo).warnings, 0, "{when}");
    };
    for (from, options, now) in
        [(&base, strict(), at(START)), (&base, instant(), late), (&marked, alone(), late)]
    {
        let round = |round: &Round| judge(round, &options, now);
        let changes = [Fault::Once, Fault::Unheard, Fault::Gone];
        let met = everywhere(from, Side::Changes, &changes, u64::MAX, round);
        assert!(met >= 3, "{options:?}: {met}");
        everywhere(from, Side::Reads, &[Fault::Once, Fault::Bent], 30, round);
    }
}

#[test]
fn a_missing_pack_stops_everything() {
    let (backend, repo, _) = in_memory(Version::V2);
    for (pack, _) in backend.list(FileKind::Pack).unwrap() {
        let copy = backend.copy();
        copy.tamper(FileKind::Pack, pack, None);
        let repo = Repository::open(Arc::new(copy.clone()), b"secret").unwrap();
        let before = copy.changes();
        let sound = check_all(&repo).findings.iter().all(|finding| {
            !matches!(
                finding,
                tintype_repo::Finding::MissingData { .. }
                    | tintype_repo::Finding::MissingTree { .. }
                    | tintype_repo::Finding::SnapshotWithoutTree { .. }
            )
        });
        let result = run(&repo, &instant(), at(START));
        assert_eq!(result.is_ok(), sound, "{result:?}");
        assert!(sound || copy.changes() == before, "nothing is changed in a damaged repository");
    }
    drop(repo);
}

#[test]
fn a_backup_that_runs_meanwhile_loses_nothing() {
    let (_, repo, mut expected) = in_memory(Version::V2);
    let now = at(START);
    // All of the first model is unneeded once its snapshots are gone; a backup relies on it.
    let index = Arc::new(repo.index_in_use().unwrap());
    let model = expected.values().next().unwrap().clone();
    let all: Vec<_> = expected.keys().copied().collect();
    for id in all {
        forget(&repo, &mut expected, id);
    }
    let mut running = begin(&repo, index, &model, "2026-01-01T01:00:00Z");
    run(&repo, &strict(), now).unwrap();
    repo.save_snapshot(&mut running).unwrap();
    expected.insert(running.id, model);
    verify(&repo, &expected, "finished behind the marks");
    let plan = plan_prune(&repo, &alone(), now + SignedDuration::from_hours(48)).unwrap();
    assert!(plan.stats.packs.contains_key(&Decision::Recover), "{plan}");
    prune(&repo, &plan, &|| Ok(())).unwrap();
    verify(&repo, &expected, "recovered");
    run(&repo, &alone(), now + SignedDuration::from_hours(96)).unwrap();
    run(&repo, &alone(), now + SignedDuration::from_hours(200)).unwrap();
    verify(&repo, &expected, "later");
    assert_eq!(check_all(&repo).warnings, 0);
}

#[test]
fn a_lost_lock_ends_a_run_before_it_removes() {
    let (backend, repo, expected) = in_memory(Version::V2);
    let plan = plan_prune(&repo, &instant(), at(START)).unwrap();
    let lost = || Err(RepoError::LockLost { detail: "test".into() });
    let before = backend.list(FileKind::Pack).unwrap();
    assert!(matches!(prune(&repo, &plan, &lost), Err(RepoError::LockLost { .. })));
    let after = backend.list(FileKind::Pack).unwrap();
    assert!(before.iter().all(|pack| after.contains(pack)));
    verify(&repo, &expected, "lost");
}

/// Backups, running backups, forgetting and prunes of all kinds in random order.
#[test]
fn random_histories_keep_what_is_expected() {
    for seed in 0..12 {
        let version = if seed % 3 == 0 { Version::V1 } else { Version::V2 };
        let repo = new_repository(Arc::new(MemoryBackend::new()), version);
        let (mut chance, mut model, mut expected) = (Chance(seed), Model::new(), Expected::new());
        let mut now = at(START);
        let mut running = None;
        for step in 0..30 {
            let when = format!("seed {seed}, step {step}");
            match chance.below(8) {
                0..=2 => {
                    chance.change(&mut model);
                    let saved = save(&repo, &model, &now.to_string());
                    expected.insert(saved.id, model.clone());
                }
                3 if running.is_none() => {
                    chance.change(&mut model);
                    let index = Arc::new(repo.index_in_use().unwrap());
                    running = Some((now, index, model.clone()));
                }
                3 | 4 => {
                    if let Some((_, index, model)) = running.take() {
                        let mut saved = begin(&repo, index, &model, &now.to_string());
                        repo.save_snapshot(&mut saved).unwrap();
                        expected.insert(saved.id, model);
                    }
                }
                5 if !expected.is_empty() => {
                    let id =
                        *expected.keys().nth(chance.below(expected.len() as u64) as usize).unwrap();
                    forget(&repo, &mut expected, id);
                }
                _ => {
                    let mut options =
                        if chance.below(2) == 0 { strict() } else { PruneOptions::default() };
                    // A backup with a lock keeps prunes from being alone; one without is shorter than the marks' time.
                    let quick = running
                        .as_ref()
                        .is_none_or(|(since, ..)| now.duration_since(*since).as_hours() < 20);
                    options.alone = quick;
                    options.instant_delete = running.is_none() && chance.below(3) == 0;
                    options.repack_uncompressed = chance.below(3) == 0;
                    let plan = plan_prune(&repo, &options, now).unwrap();
                    assert!(!plan.to_string().is_empty());
                    prune(&repo, &plan, &|| Ok(())).unwrap();
                }
            }
            verify(&repo, &expected, &when);
            now += SignedDuration::from_hours(chance.below(10) as i64);
        }
    }
}
