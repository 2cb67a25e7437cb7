//! Documents are kept whole: all changes of a call or none, also over a power loss, beside commits of data.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests may stop")]

mod world;

use std::sync::Arc;
use tintype_store::{DocumentChange, StoreError};
use world::World;

fn put(name: &str, value: &str) -> DocumentChange {
    DocumentChange { kind: "policy", name: name.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn names(world: &World, kind: &str) -> Vec<String> {
    world.store.documents(kind).unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn changes_of_one_call_are_one_and_kinds_are_apart() {
    let world = World::new(31);
    let user = DocumentChange { kind: "user", ..put("c", "{}") };
    world.store.put_documents(&[put("b", "[1]"), put("a", "{}"), user]).unwrap();
    assert_eq!(names(&world, "policy"), ["a", "b"]);
    assert_eq!(names(&world, "user"), ["c"]);
    assert_eq!(world.store.document("policy", "b").unwrap().unwrap(), "[1]");

    let refused = world.store.put_documents(&[put("a", "[2]"), put("b", "{")]);
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    assert_eq!(world.store.document("policy", "a").unwrap().unwrap(), "{}");

    let gone = DocumentChange { value: None, ..put("a", "") };
    world.store.put_documents(&[gone]).unwrap();
    assert_eq!(world.store.document("policy", "a").unwrap(), None);
    assert_eq!(names(&world, "policy"), ["b"]);
}

#[test]
fn they_survive_a_power_loss_and_a_check_knows_them() {
    let mut world = World::new(32);
    for _ in 0..40 {
        world.mutate().unwrap();
    }
    world.store.put_documents(&[put("nightly", "{\"keep\":7}")]).unwrap();
    let (kv, files) = (Arc::new(world.kv.crash(1)), Arc::new(world.files.crash(2)));
    world.reopen_on(kv, files).unwrap();
    assert_eq!(names(&world, "policy"), ["nightly"]);
    assert_eq!(world.store.fsck(false).unwrap().problems, Vec::<String>::new());
}
