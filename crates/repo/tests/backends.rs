//! The contract of the port to places, which every adapter fulfils.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod contract;
mod programs;
mod rest_server;

use std::sync::Arc;

use rest_server::{Manners, Server};
use tempfile::TempDir;
use tintype_repo::{
    Access, Backend, FileKind, Id, LocalFolder, MemoryBackend, Patience, PlaceOptions, Retrying,
    open_location,
};

/// An empty place, and what must live as long.
struct Fixture {
    backend: Arc<dyn Backend>,
    _folder: Option<TempDir>,
}

fn local() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(LocalFolder::new(folder.path().join("not/yet/there")));
    Fixture { backend, _folder: Some(folder) }
}

fn memory() -> Fixture {
    Fixture { backend: Arc::new(MemoryBackend::new()), _folder: None }
}

fn retrying() -> Fixture {
    let backend = Arc::new(Retrying::new(MemoryBackend::new(), Patience::NONE));
    Fixture { backend, _folder: None }
}

fn at_server(manners: Manners) -> Fixture {
    let place = format!("rest:{}", Server::start(manners).url()).parse().unwrap();
    let access = Access { patience: Patience::NONE, ..Access::default() };
    Fixture { backend: open_location(&place, &access).unwrap(), _folder: None }
}

fn rest() -> Fixture {
    at_server(Manners::default())
}

/// As the oldest servers and rclone are.
fn rest_of_others() -> Fixture {
    at_server(Manners {
        version_1: true,
        null_lists: true,
        ignores_ranges: true,
        replaces: true,
        ..Manners::default()
    })
}

fn rest_with_strange_names() -> Fixture {
    at_server(Manners {
        strange_names: vec!["..", "../../config", "/etc/passwd", "00", "", "config", "\u{0}"],
        ..Manners::default()
    })
}

fn rclone() -> Option<Fixture> {
    let program = programs::find("rclone")?;
    let folder = tempfile::tempdir().unwrap();
    let place = format!("rclone::local:{}", folder.path().join("not/yet/there").display());
    let options = PlaceOptions::parse([&*format!("rclone.program={}", program.display())]).unwrap();
    // Who reads a file while it is written to this remote is refused for a moment.
    let access = Access { options, ..Access::default() };
    let backend = open_location(&place.parse().unwrap(), &access).unwrap();
    Some(Fixture { backend, _folder: Some(folder) })
}

macro_rules! adapters {
    ([$($adapter:ident)*]: $($check:ident),* $(,)?) => { adapters!(@each [$($adapter)*] $($check)*); };
    (@each $adapters:tt $($check:ident)*) => {$( mod $check { adapters!(@one $adapters $check); } )*};
    (@one [$($adapter:ident)*] $check:ident) => {$(
        #[test]
        fn $adapter() {
            let Some(fixture) = Option::<super::Fixture>::from(super::$adapter()) else { return };
            super::contract::$check(&fixture.backend);
        }
    )*};
}

adapters! {
    [local memory retrying rest rest_of_others rest_with_strange_names rclone]:
    files_come_back, parts_and_their_edges, what_is_missing, lists, removal, writing_again, config, large_files, absurd_parts, creation,
}

// What threads see of a file that others write again at that moment is the affair of rclone's remote, and its local one writes in place.
adapters! {
    [local memory retrying rest rest_of_others rest_with_strange_names]: many_threads,
}

#[test]
fn a_folder_lists_nothing_but_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let backend = LocalFolder::new(folder.path());
    backend.create().unwrap();
    let id = Id::of(b"data");
    backend.write(FileKind::Pack, id, b"data").unwrap();
    backend.write(FileKind::Key, id, b"data").unwrap();
    let name = id.to_string();
    let keys = folder.path().join("keys");
    for wrong in ["..data", "readme", &name[1..], &name.to_uppercase(), &format!("{name}-tmp-1-1")]
    {
        std::fs::write(keys.join(wrong), "x").unwrap();
    }
    std::fs::create_dir(keys.join(Id::of(b"folder").to_string())).unwrap();
    assert_eq!(backend.list(FileKind::Key).unwrap(), [(id, 4)]);
    // In the folder of packs that begin otherwise.
    let data = folder.path().join("data");
    let stray = Id::of(b"stray").to_string();
    let other = if stray.starts_with("00") { "01" } else { "00" };
    std::fs::write(data.join(other).join(&stray), "x").unwrap();
    std::fs::write(data.join(&stray), "x").unwrap();
    assert_eq!(backend.list(FileKind::Pack).unwrap(), [(id, 4)]);
}
