//! Tables of times with the verdicts that the rules must give. That restic gives the same is in `tests/forget_restic.rs`.

use tintype_model::retention::Period;

use super::*;
use crate::id::Id;
use crate::snapshot::DeleteOption;

const NOW: &str = "2030-01-01T00:00:00Z";

/// Snapshots with these times; a letter behind a blank names the tree.
fn snapshots(times: &[&str]) -> Vec<SnapshotFile> {
    let made = times.iter().zip(0u8..).map(|(text, number)| {
        let (time, tree) = text.split_once(' ').unwrap_or((text, text));
        let mut made = SnapshotFile::new(time.parse().unwrap(), BlobId::of(tree.as_bytes()));
        made.id = SnapshotId(Id([number; 32]));
        made
    });
    made.collect()
}

fn options(rules: &[(Period, i32)]) -> KeepOptions {
    let counts = rules.iter().map(|(period, count)| (*period, count.to_string().parse().unwrap()));
    KeepOptions { counts: counts.collect(), ..KeepOptions::default() }
}

fn within(rules: &[(Period, &str)]) -> KeepOptions {
    let within = rules.iter().map(|(period, span)| (*period, span.parse().unwrap()));
    KeepOptions { within: within.collect(), ..KeepOptions::default() }
}

/// Numbers of those that stay, in the order of the list.
fn kept(all: &[SnapshotFile], options: &KeepOptions) -> Vec<u8> {
    let list: Vec<_> = all.iter().collect();
    let judged = judge(&list, options, NOW.parse().unwrap()).unwrap();
    let mut kept: Vec<_> = judged
        .iter()
        .filter(|judged| judged.keep)
        .map(|judged| judged.snapshot.id.0.0[0])
        .collect();
    kept.sort_unstable();
    kept
}

#[test]
fn weeks_go_on_over_new_year() {
    let all = snapshots(&[
        "2024-12-29T12:00:00Z",
        "2024-12-30T12:00:00Z",
        "2025-01-01T12:00:00Z",
        "2025-01-05T12:00:00Z",
    ]);
    // 30 December 2024 to 5 January 2025 is one week; the oldest stays while counts last.
    assert_eq!(kept(&all, &options(&[(Period::Week, 2)])), [0, 3]);
    assert_eq!(kept(&all, &options(&[(Period::Week, 1)])), [3]);
    assert_eq!(kept(&all, &options(&[(Period::Year, 2)])), [1, 3]);
    assert_eq!(kept(&all, &options(&[(Period::Year, 3)])), [0, 1, 3]);
}

#[test]
fn quarters_halves_and_minutes_are_periods() {
    let all = snapshots(&[
        "2024-12-31T23:59:59Z",
        "2025-01-01T00:00:00Z",
        "2025-03-31T00:00:00Z",
        "2025-04-01T00:00:10Z",
        "2025-04-01T00:00:50Z",
        "2025-04-01T01:00:00Z",
        "2025-07-01T00:00:00Z",
    ]);
    assert_eq!(kept(&all, &options(&[(Period::Quarter, 4)])), [0, 2, 5, 6]);
    assert_eq!(kept(&all, &options(&[(Period::HalfYear, -1)])), [0, 5, 6]);
    assert_eq!(kept(&all, &options(&[(Period::Minute, 3)])), [4, 5, 6]);
    assert_eq!(kept(&all, &options(&[(Period::Each, 2), (Period::Year, 1)])), [5, 6]);
}

#[test]
fn days_are_those_of_the_writers_clock() {
    // One instant apart, but the 20th and the 21st on their walls; then two on one day whose instants are on two.
    let all = snapshots(&[
        "2025-11-20T23:30:00-05:00",
        "2025-11-21T04:31:00Z",
        "2025-11-21T20:00:00-08:00",
    ]);
    assert_eq!(kept(&all, &options(&[(Period::Day, 1)])), [2]);
    assert_eq!(kept(&all, &options(&[(Period::Day, 2)])), [0, 2]);
}

#[test]
fn spans_reach_back_from_the_newest_that_is_not_in_the_future() {
    let all = snapshots(&[
        "2025-01-01T00:00:00Z",
        "2025-01-10T00:00:00Z",
        "2025-01-10T12:00:00Z",
        "2025-01-11T00:00:00Z",
        "2031-01-01T00:00:00Z",
    ]);
    assert_eq!(kept(&all, &within(&[(Period::Each, "1d")])), [2, 3, 4]);
    assert_eq!(kept(&all, &within(&[(Period::Each, "1d1h")])), [1, 2, 3, 4]);
    assert_eq!(kept(&all, &within(&[(Period::Day, "5d")])), [2, 3, 4]);
    let future = snapshots(&["2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"]);
    assert_eq!(kept(&future, &within(&[(Period::Each, "1h")])), [0, 1]);
}

#[test]
fn own_rules_come_first_and_do_not_count() {
    let mut all = snapshots(&["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04"]);
    all[0].delete = DeleteOption::Never;
    all[3].delete = DeleteOption::After("2029-01-01".parse().unwrap());
    assert_eq!(kept(&all, &options(&[(Period::Each, 1)])), [0, 2]);
    let none = KeepOptions { none: true, ..KeepOptions::default() };
    assert_eq!(kept(&all, &none), [0]);
    all[1].tags = vec!["a".into(), "b".into()];
    let tagged =
        KeepOptions { tags: vec!["a,b".parse().unwrap()], ids: vec!["0202".into()], ..none };
    assert_eq!(kept(&all, &tagged), [0, 1, 2]);
}

#[test]
fn unchanged_ones_go_only_when_their_tree_stays() {
    let all = snapshots(&["2025-01-01 a", "2025-01-08 a", "2025-01-09 b", "2025-01-10 b"]);
    let thin = KeepOptions { delete_unchanged: true, ..options(&[(Period::Each, -1)]) };
    assert_eq!(kept(&all, &thin), [0, 2]);
    // The first `a` is too old, so the second one is judged by itself.
    let thin = KeepOptions { delete_unchanged: true, ..within(&[(Period::Each, "5d")]) };
    assert_eq!(kept(&all, &thin), [1, 2]);
    let thin = KeepOptions { delete_unchanged: true, ..options(&[(Period::Each, 2)]) };
    assert_eq!(kept(&all, &thin), [0, 2]);
}

#[test]
fn groups_are_not_emptied_by_accident() {
    let all = snapshots(&["2025-01-01"]);
    let list: Vec<_> = all.iter().collect();
    let now = NOW.parse().unwrap();
    let refused = |options: &KeepOptions| {
        matches!(judge(&list, options, now), Err(RepoError::Refused { .. }))
    };
    assert!(refused(&KeepOptions::default()));
    let tags = KeepOptions { tags: vec!["x".parse().unwrap()], ..KeepOptions::default() };
    assert!(refused(&tags));
    assert!(!refused(&KeepOptions { allow_empty: true, ..tags }));
    assert!(!refused(&KeepOptions { none: true, ..KeepOptions::default() }));
    let mut over = all.clone();
    over[0].delete = DeleteOption::After("2026-01-01".parse().unwrap());
    assert!(judge(&[&over[0]], &options(&[(Period::Each, 1)]), now).is_ok_and(|all| !all[0].keep));
}

#[test]
fn ties_are_broken_by_id_and_reasons_are_told() {
    let all =
        snapshots(&["2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "2025-01-01T01:00:00+01:00"]);
    assert_eq!(kept(&all, &options(&[(Period::Each, 1)])), [2]);
    let both = KeepOptions {
        within: within(&[(Period::Hour, "2h")]).within,
        ..options(&[(Period::Day, 1), (Period::Each, 1)])
    };
    let list: Vec<_> = all.iter().collect();
    let judged = judge(&list, &both, NOW.parse().unwrap()).unwrap();
    let text: Vec<_> = judged[0].reasons.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["last snapshot", "daily snapshot", "hourly within 2h"]);
}
