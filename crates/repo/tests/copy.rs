//! Copies between repositories: all content comes along, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use support::{Chance, Expected, Model, new_repository, save, verify};
use tintype_repo::{
    Backend, BlobOptions, FileKind, MemoryBackend, RepoError, SnapshotModification, Trouble,
    Version, copy_snapshots, modify_snapshot, same_cuts,
};

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
    let copy = |snapshots: &[_]| copy_snapshots(&from, &to, snapshots, BlobOptions::default(), 2);
    place.set_trouble(Trouble::FailAfter(1));
    assert!(matches!(copy(&all), Err(RepoError::Backend(_))));
    assert_eq!(to.snapshots().unwrap(), []);
    place.set_trouble(Trouble::None);
    let copied = copy(&all).unwrap();
    assert_eq!((copied.snapshots.len(), copied.there.len()), (3, 0));
    for (old, new) in &copied.snapshots {
        let snapshot = from.snapshot(*old).unwrap();
        expected.insert(*new, support::read_back(&from, &index, &snapshot));
        assert_eq!(to.snapshot(*new).unwrap().original, Some(*old));
    }
    verify(&to, &expected, "copied");
    // Once more, and from a copy of a copy.
    assert_eq!(copy(&all).unwrap().there.len(), 3);
    let back =
        copy_snapshots(&to, &from, &to.snapshots().unwrap(), BlobOptions::default(), 1).unwrap();
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
