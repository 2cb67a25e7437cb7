//! The keep rules against restic's own `forget --dry-run`: the same snapshots stay, for times of all kinds. Skipped, loudly, where
//! restic is not installed.
//!
//! restic up to 0.15 does not keep a group's oldest snapshot while counts last; that one may differ, and no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use support::{Chance, new_repository, restic, restic_installed};
use tintype_repo::{
    BlobId, GroupBy, Judged, KeepOptions, LocalFolder, Moment, Period, Reason, Repository,
    SnapshotFile, Version, plan_forget,
};

/// Times with clusters at the ends of hours, days, weeks and years, in several offsets, some twice, some in the future.
fn times(chance: &mut Chance, now: Timestamp) -> Vec<Moment> {
    let mut times = Vec::new();
    for year in [2019, 2020, 2021, 2024, 2025, 2026] {
        for day in ["01-01", "12-29", "12-30", "12-31", "02-28", "03-01", "06-30", "07-01"] {
            let clock =
                format!("{:02}:{:02}:{:02}", chance.below(24), chance.below(60), chance.below(60));
            let offset = ["Z", "+02:00", "-05:00", "-08:30", "+13:45"][chance.below(5) as usize];
            times.push(format!("{year}-{day}T{clock}{offset}").parse().unwrap());
        }
    }
    for _ in 0..60 {
        let back = SignedDuration::from_mins(chance.below(60 * 24 * 40) as i64);
        times.push(Moment::utc(now - back));
    }
    for hours in [1, 30, 24 * 400] {
        times.push(Moment::utc(now + SignedDuration::from_hours(hours)));
    }
    let again = times[3];
    times.push(again);
    // Ties have no order in restic: a tie with the oldest would be decided by chance.
    times.sort();
    times
}

/// The instants that stay, by restic.
fn by_restic(place: &Path, args: &[String]) -> Vec<Timestamp> {
    let mut all = vec!["forget", "--dry-run", "--json"];
    all.extend(args.iter().map(String::as_str));
    let text = restic(place, &all);
    let groups: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let keep = groups
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["keep"].as_array().cloned().unwrap_or_default());
    let mut kept: Vec<_> = keep
        .map(|kept| kept["time"].as_str().unwrap().parse::<Moment>().unwrap().instant())
        .collect();
    kept.sort();
    kept
}

/// The instants that stay, by us, and those of them that only newer versions of restic keep.
fn by_us(
    snapshots: &[SnapshotFile],
    by: &str,
    options: &KeepOptions,
) -> (Vec<Timestamp>, Vec<Timestamp>) {
    let by: GroupBy = by.parse().unwrap();
    let options = KeepOptions { allow_empty: true, ..options.clone() };
    let plan = plan_forget(snapshots, by, &options, Timestamp::now()).unwrap();
    let instant = |judged: &Judged<'_>| judged.snapshot.time.instant();
    let judged = plan.groups.iter().flat_map(|(_, judged)| judged);
    let mut kept: Vec<_> = judged.filter(|judged| judged.keep).map(instant).collect();
    kept.sort();
    let oldest = plan.groups.iter().filter_map(|(_, judged)| judged.last());
    let counted = |reason: &Reason| matches!(reason, Reason::Newest(_));
    let oldest = oldest.filter(|judged| judged.keep && judged.reasons.iter().all(counted));
    (kept, oldest.map(instant).collect())
}

/// Random rules as both understand them.
fn rules(chance: &mut Chance) -> (KeepOptions, Vec<String>) {
    let (mut options, mut args) = (KeepOptions::default(), vec![]);
    let known =
        [Period::Each, Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];
    for period in known {
        if chance.below(3) == 0 {
            let count = 1 + chance.below(12);
            options.counts.insert(period, count.to_string().parse().unwrap());
            args.push(format!("--keep-{}={count}", period.as_str()));
        }
        if chance.below(5) == 0 {
            let spans = ["1h", "26h", "10d", "1m", "1m3d5h", "1y", "5y", "1y5m7d2h", "31d", "400d"];
            let span = spans[chance.below(spans.len() as u64) as usize];
            options.within.insert(period, span.parse().unwrap());
            let name = if period == Period::Each {
                String::new()
            } else {
                format!("-{}", period.as_str())
            };
            args.push(format!("--keep-within{name}={span}"));
        }
    }
    for tags in ["a", "b", "a,b"] {
        if chance.below(6) == 0 {
            options.tags.push(tags.parse().unwrap());
            args.push(format!("--keep-tag={tags}"));
        }
    }
    if args.is_empty() {
        return rules(chance);
    }
    (options, args)
}

fn fill(repo: &Repository, chance: &mut Chance) -> Vec<SnapshotFile> {
    let tree = BlobId::of(b"no tree is needed to forget");
    for time in times(chance, Timestamp::now()) {
        let mut snapshot = SnapshotFile::new(time, tree);
        snapshot.hostname = ["one", "two"][chance.below(2) as usize].into();
        let mut paths = vec!["/a".to_owned(), "/b".to_owned()];
        if chance.below(2) == 0 {
            paths.reverse();
        }
        paths.truncate(1 + chance.below(5).min(1) as usize);
        snapshot.paths = paths;
        snapshot.tags = [vec![], vec!["a".into()], vec!["b".into(), "a".into()]]
            [chance.below(3) as usize]
            .clone();
        repo.save_snapshot(&mut snapshot).unwrap();
    }
    repo.snapshots().unwrap()
}

#[test]
fn the_same_snapshots_stay_as_with_restic() {
    if !restic_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repo");
    let repo = new_repository(Arc::new(LocalFolder::new(&place)), Version::V2);
    let mut chance = Chance(11);
    let snapshots = fill(&repo, &mut chance);
    let mut seen = BTreeSet::new();
    for round in 0..40 {
        let (options, mut args) = rules(&mut chance);
        let by = ["host,paths", "", "host", "paths,tags", "tags"][chance.below(5) as usize];
        args.push(format!("--group-by={by}"));
        let (mut theirs, (ours, oldest)) =
            (by_restic(&place, &args), by_us(&snapshots, by, &options));
        theirs.extend(
            oldest.iter().filter(|oldest| !theirs.contains(oldest)).copied().collect::<Vec<_>>(),
        );
        theirs.sort();
        assert_eq!(ours, theirs, "round {round}: {args:?}");
        seen.insert(ours.len());
    }
    assert!(seen.len() > 10, "the rules differ too little: {seen:?}");
}
