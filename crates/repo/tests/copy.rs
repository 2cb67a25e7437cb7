//! Copies between repositories: all content comes along, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use support::{Chance, Expected, Model, new_repository, save, verify};
use tintype_repo::{
    Backend, BlobOptions, Copied, CopyOptions, CopyProgress, FileKind, MemoryBackend, RepoError,
    Repository, SnapshotFile, SnapshotModification, Stop, Trouble, Version, copy_snapshots,
    modify_snapshot, same_cuts,
};

fn copy_with(
    from: &Repository,
    to: &Repository,
    snapshots: &[SnapshotFile],
    options: CopyOptions,
    progress: &CopyProgress,
) -> Result<Copied, RepoError> {
    copy_snapshots(from, to, snapshots, options, progress, &|| Ok(()))
}

#[test]
fn copies_hold_the_same_and_are_made_once() {
    let from = new_repository(Arc::new(MemoryBackend::new()), Version::V1);
    let place = MemoryBackend::new();
    let to = new_repository(Arc::new(place.clone()), Version::V2);
    assert!(same_cuts(&from, &from) && !same_cuts(&from, &to));
    let (mut chance, mut model, mut expected) = (Chance(5), Model::new(), Expected::new());
    for day in 1..=3 {
        (0..4).for_each(|_| chance.change(&mut model));
        save(&from, &model, &format!("2025-01-0{day}T00:00:00Z"));
    }
    let mut all = from.snapshots().unwrap();
    let index = from.index().unwrap();
    let copy = |snapshots: &[_]| {
        copy_with(&from, &to, snapshots, CopyOptions::default(), &CopyProgress::default())
    };
    place.set_trouble(Trouble::FailAfter(1));
    assert!(matches!(copy(&all), Err(RepoError::Backend(_))));
    assert_eq!(to.snapshots().unwrap(), []);
    place.set_trouble(Trouble::None);
    let copied = copy(&all).unwrap();
    assert_eq!((copied.snapshots.len(), copied.there.len()), (3, 0));
    for (old, new) in &copied.snapshots {
        let (snapshot, new) = (from.snapshot(*old).unwrap(), new.unwrap());
        expected.insert(new, support::read_back(&from, &index, &snapshot));
        assert_eq!(to.snapshot(new).unwrap().original, Some(*old));
    }
    verify(&to, &expected, "copied");
    // Once more, and from a copy of a copy.
    assert_eq!(copy(&all).unwrap().there.len(), 3);
    let copies = to.snapshots().unwrap();
    let back = copy_with(&to, &from, &copies, CopyOptions::default(), &CopyProgress::default());
    let back = back.unwrap();
    assert_eq!((back.snapshots.len(), back.there.len()), (0, 3));
    // Other tags make another snapshot, without new blobs.
    let tag =
        SnapshotModification { add_tags: vec!["t".into()], ..SnapshotModification::default() };
    modify_snapshot(&from, &mut all[0], &tag).unwrap();
    let packs = place.list(FileKind::Pack).unwrap().len();
    let copied = copy(&all).unwrap();
    assert_eq!((copied.snapshots.len(), copied.there.len()), (1, 2));
    assert_eq!(copied.written.blobs, [0, 0]);
    assert_eq!(place.list(FileKind::Pack).unwrap().len(), packs);
}

#[test]
fn a_dry_run_counts_and_a_stop_leaves_no_snapshot() {
    let from = new_repository(Arc::new(MemoryBackend::new()), Version::V2);
    let place = MemoryBackend::new();
    let to = new_repository(Arc::new(place.clone()), Version::V2);
    let (mut chance, mut model) = (Chance(9), Model::new());
    (0..9).for_each(|_| chance.change(&mut model));
    save(&from, &model, "2025-01-01T00:00:00Z");
    let all = from.snapshots().unwrap();
    place.set_trouble(Trouble::FailAfter(0));
    let blobs = BlobOptions { dry_run: true, ..BlobOptions::default() };
    let dry = CopyOptions { blobs, ..CopyOptions::default() };
    let would = copy_with(&from, &to, &all, dry, &CopyProgress::default()).unwrap();
    assert_eq!(would.snapshots, [(all[0].id, None)]);
    place.set_trouble(Trouble::None);
    let stop = Stop::default();
    stop.ask();
    let progress = CopyProgress::new(stop);
    let stopped = copy_with(&from, &to, &all, CopyOptions::default(), &progress);
    assert!(matches!(stopped, Err(RepoError::Stopped)));
    let lost = || Err(RepoError::LockLost { detail: String::new() });
    let (options, progress) = (CopyOptions::default(), CopyProgress::default());
    let unguarded = copy_snapshots(&from, &to, &all, options, &progress, &lost);
    assert!(matches!(unguarded, Err(RepoError::LockLost { .. })));
    assert_eq!(to.snapshots().unwrap(), []);
    // What was stored before is found: only the snapshot is new.
    let there = copy_with(&from, &to, &all, CopyOptions::default(), &CopyProgress::default());
    assert_eq!(
        (there.unwrap().written.blobs, would.written.blobs.iter().sum::<u64>() > 2),
        ([0, 0], true)
    );
}
