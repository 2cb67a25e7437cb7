//! A scrub keeps nobody waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop")]

mod world;

use std::ops::ControlFlow;
use tintype_store::StoreError;
use world::World;

#[test]
fn a_scrub_ends_when_the_store_is_closed() {
    let mut world = World::new(3);
    for _ in 0..200 {
        world.mutate().unwrap();
    }
    world.sync().unwrap();
    let mut seen = 0;
    let whole = world.store.scrub(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(whole.extents > 0 && whole.damaged.is_empty(), "{whole:?}");
    let ended = world.store.scrub(&mut |report| {
        seen = report.extents;
        world.store.close().unwrap();
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(StoreError::Shutdown)), "{ended:?} after {seen}");
}
