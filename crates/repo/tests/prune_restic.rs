//! Our prunes and restic's on one repository, in both orders. Skipped, loudly, where restic is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use support::{
    Chance, Expected, Model, at, new_repository, restic, restic_installed, save, verify,
};
use tintype_repo::{
    Limit, LocalFolder, PruneOptions, Repository, SnapshotId, Version, plan_prune, prune,
    remove_snapshots,
};

fn backups(
    repo: &Repository,
    chance: &mut Chance,
    model: &mut Model,
    expected: &mut Expected,
    year: u32,
) {
    for day in 1..=3 {
        (0..4).for_each(|_| chance.change(model));
        let saved = save(repo, model, &format!("{year}-01-0{day}T00:00:00Z"));
        expected.insert(saved.id, model.clone());
    }
}

fn forget_some(repo: &Repository, chance: &mut Chance, expected: &mut Expected) {
    for _ in 0..2 {
        let at = chance.below(expected.len() as u64) as usize;
        let id: SnapshotId = *expected.keys().nth(at).unwrap();
        remove_snapshots(repo, &[id]).unwrap();
        expected.remove(&id);
    }
}

fn ours(repo: &Repository, options: &PruneOptions, hours: i64) {
    let now = at("2026-06-01") + SignedDuration::from_hours(hours);
    let plan = plan_prune(repo, options, now).unwrap();
    prune(repo, &plan, &|| Ok(())).unwrap();
}

fn clean(place: &Path, repo: &Repository, expected: &Expected, when: &str) {
    verify(repo, expected, when);
    let text = restic(place, &["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{when}: {text}");
}

#[test]
fn prunes_of_both_programs_take_turns() {
    if !restic_installed() {
        return;
    }
    for (seed, version) in [(1, Version::V1), (2, Version::V2)] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("repo");
        let repo = new_repository(Arc::new(LocalFolder::new(&place)), version);
        let (mut chance, mut model, mut expected) = (Chance(seed), Model::new(), Expected::new());
        let marking = PruneOptions { max_unused: Limit::Bytes(0), ..PruneOptions::default() };
        let alone = PruneOptions { alone: true, ..marking };
        let instant = PruneOptions { instant_delete: true, ..alone };
        for (round, year) in (2000..2004).enumerate() {
            backups(&repo, &mut chance, &mut model, &mut expected, year);
            forget_some(&repo, &mut chance, &mut expected);
            let hours = round as i64 * 100;
            ours(&repo, &marking, hours);
            clean(&place, &repo, &expected, "marked");
            match round {
                0 => ours(&repo, &alone, hours + 24),
                1 => drop(restic(&place, &["prune", "--max-unused=0"])),
                2 => ours(&repo, &instant, hours + 1),
                _ => {
                    backups(&repo, &mut chance, &mut model, &mut expected, year + 10);
                    forget_some(&repo, &mut chance, &mut expected);
                    drop(restic(&place, &["prune", "--max-unused=0"]));
                    clean(&place, &repo, &expected, "restic's");
                    ours(&repo, &alone, hours + 48);
                }
            }
            clean(&place, &repo, &expected, "deleted");
        }
        // A repository that was made bigger by restic's own hand goes through our prune as well.
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        for i in 0..20 {
            std::fs::write(source.join(i.to_string()), chance.bytes(5000)).unwrap();
        }
        restic(&place, &["backup", source.to_str().unwrap()]);
        restic(&place, &["forget", "--keep-last=1", "--group-by="]);
        ours(&repo, &instant, 1000);
        let text = restic(&place, &["check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{text}");
        restic(
            &place,
            &["restore", "latest", "--target", folder.path().join("back").to_str().unwrap()],
        );
        let back = folder.path().join("back").join(source.strip_prefix("/").unwrap());
        for i in 0..20 {
            let name = i.to_string();
            assert_eq!(
                std::fs::read(back.join(&name)).unwrap(),
                std::fs::read(source.join(&name)).unwrap()
            );
        }
    }
}
