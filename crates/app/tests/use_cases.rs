//! The use cases on a real store without mounts: names, rules, limits, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use tintype_app::types::{
    CloneRequest, DeleteWish, FsCreate, FsUpdate, SnapshotCreate, SnapshotUpdate,
};
use tintype_app::{App, AppOptions, ErrorKind, NoMounter};
use tintype_model::{Compression, SnapshotFilter, SnapshotLimits, SnapshotRef, VolumeName};

struct Fixture {
    dir: tempfile::TempDir,
    app: Arc<App>,
}

fn options(dir: &tempfile::TempDir, limits: Option<SnapshotLimits>) -> AppOptions {
    AppOptions {
        store: dir.path().join("store"),
        create: true,
        snapshot_limits: limits,
        user: "tester".into(),
    }
}

fn fixture(limits: Option<SnapshotLimits>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(options(&dir, limits), Arc::new(NoMounter)).unwrap();
    app.fs_create(&wish("home")).unwrap();
    Fixture { dir, app }
}

fn wish(name: &str) -> FsCreate {
    FsCreate {
        name: volume(name),
        quota: None,
        capacity: None,
        compression: Compression::default(),
        mount: None,
    }
}

fn volume(name: &str) -> VolumeName {
    VolumeName::new(name).unwrap()
}

fn name(text: &str) -> SnapshotRef {
    text.parse().unwrap()
}

fn plain(text: &str) -> SnapshotCreate {
    SnapshotCreate::plain(name(text))
}

impl Fixture {
    fn listed(&self) -> Vec<String> {
        let list = self.app.snapshot_list(None, &SnapshotFilter::default()).unwrap();
        list.iter().map(|info| format!("{}@{}", info.volume, info.name)).collect()
    }
}

#[test]
fn filesystems_are_made_changed_and_deleted() {
    let f = fixture(None);
    assert_eq!(f.app.fs_create(&wish("home")).unwrap_err().kind, ErrorKind::Exists);
    let update = FsUpdate {
        name: Some(volume("house")),
        quota: Some(Some(1 << 20)),
        compression: Some(Compression::Zstd(5)),
        ..FsUpdate::default()
    };
    let info = f.app.fs_update(&volume("home"), &update).unwrap();
    assert_eq!((info.name.as_str(), info.quota), ("house", Some(1 << 20)));
    let back = FsUpdate { quota: Some(None), ..FsUpdate::default() };
    assert_eq!(f.app.fs_update(&volume("house"), &back).unwrap().quota, None);
    assert_eq!(f.app.fs_show(&volume("home")).unwrap_err().kind, ErrorKind::NotFound);
    f.app.fs_delete(&volume("house"), false).unwrap();
    assert!(f.app.fs_list().unwrap().is_empty());
}

#[test]
fn a_filesystem_that_cannot_be_mounted_is_not_made() {
    let f = fixture(None);
    let mut other = wish("other");
    other.mount = Some(f.dir.path().join("other/deeper"));
    assert_eq!(f.app.fs_create(&other).unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(f.app.fs_list().unwrap().len(), 1);
    assert!(!f.dir.path().join("other").exists(), "the folder that was made for it stays");
}

#[test]
fn a_filesystem_with_snapshots_goes_only_by_force() {
    let f = fixture(None);
    f.app.snapshot_create(&plain("home@a")).unwrap();
    assert_eq!(f.app.fs_delete(&volume("home"), false).unwrap_err().kind, ErrorKind::Busy);
    let gone = f.app.fs_delete(&volume("home"), true).unwrap().deleted;
    assert_eq!(gone, ["home", "home@a"]);
}

#[test]
fn snapshots_know_what_they_are() {
    let f = fixture(None);
    let mut wish = plain("home@a");
    wish.tags = "b,a".parse().unwrap();
    wish.label = "nightly".into();
    let a = f.app.snapshot_create(&wish).unwrap();
    assert_eq!((a.user.as_str(), a.label.as_str()), ("tester", "nightly"));
    assert_eq!((a.tags.to_string().as_str(), a.original.as_str()), ("a,b", a.id.as_str()));
    assert!(a.access_point.as_str().starts_with("@GMT-"));
    let b = f.app.snapshot_create(&plain("home@b")).unwrap();
    assert_eq!(b.parent.as_ref(), Some(&a.id));
    assert_ne!(b.access_point, a.access_point);
    assert_eq!(f.app.snapshot_create(&plain("home@a")).unwrap_err().kind, ErrorKind::Exists);
    let tagged = SnapshotFilter { tags: vec!["a".parse().unwrap()], ..SnapshotFilter::default() };
    assert_eq!(
        f.app.snapshot_list(None, &tagged).unwrap(),
        [f.app.snapshot_show(&name("home@a")).unwrap()]
    );
}

#[test]
fn a_rule_protects_until_it_is_changed() {
    let f = fixture(None);
    let mut wish = plain("home@a");
    wish.delete = Some(DeleteWish::Never);
    f.app.snapshot_create(&wish).unwrap();
    f.app.snapshot_create(&plain("home@b")).unwrap();
    let both = [name("home@b"), name("home@a")];
    let error = f.app.snapshot_delete(&both).unwrap_err();
    assert_eq!((error.kind, error.object.as_str()), (ErrorKind::Protected, "snapshot home@a"));
    assert!(error.remedy.contains("--delete-anytime"));
    assert_eq!(f.listed(), ["home@a", "home@b"], "all or none");
    assert_eq!(f.app.fs_delete(&volume("home"), true).unwrap_err().kind, ErrorKind::Protected);
    let free = SnapshotUpdate { delete: Some(None), ..SnapshotUpdate::default() };
    f.app.snapshot_update(&name("home@a"), &free).unwrap();
    f.app.snapshot_delete(&both).unwrap();
    assert!(f.listed().is_empty());
}

#[test]
fn writable_is_a_one_way_street() {
    let f = fixture(None);
    f.app.snapshot_create(&plain("home@a")).unwrap();
    let writable = |yes| SnapshotUpdate { writable: Some(yes), ..SnapshotUpdate::default() };
    assert!(f.app.snapshot_update(&name("home@a"), &writable(true)).unwrap().writable);
    let error = f.app.snapshot_update(&name("home@a"), &writable(false)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let mut of = plain("home@b");
    of.source = Some(name("home@a"));
    assert!(!f.app.snapshot_create(&of).unwrap().writable);
}

#[test]
fn limits_are_kept_and_remembered() {
    let f = fixture(Some(SnapshotLimits { total: 2, weighted: 3 }));
    f.app.snapshot_create(&plain("home@a")).unwrap();
    let mut writable = plain("home@w");
    writable.writable = true;
    f.app.snapshot_create(&writable).unwrap();
    let error = f.app.snapshot_create(&plain("home@b")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    f.app.close().unwrap();
    let Fixture { dir, app } = f;
    drop(app);
    let app = App::open(options(&dir, None), Arc::new(NoMounter)).unwrap();
    assert_eq!(app.snapshot_create(&plain("home@b")).unwrap_err().kind, ErrorKind::Limit);
    app.snapshot_delete(&[name("home@w")]).unwrap();
    app.snapshot_create(&plain("home@b")).unwrap();
}

#[test]
fn clones_and_restores_keep_their_names() {
    let f = fixture(None);
    f.app.snapshot_create(&plain("home@a")).unwrap();
    let request = CloneRequest { name: volume("copy"), mount: None };
    assert_eq!(f.app.snapshot_clone(&name("home@a"), &request).unwrap().name().as_str(), "copy");
    assert_eq!(
        f.app.snapshot_clone(&name("home@a"), &request).unwrap_err().kind,
        ErrorKind::Exists
    );
    let keep = "before".parse().unwrap();
    let done = f.app.snapshot_restore(&name("home@a"), Some(&keep)).unwrap();
    assert_eq!(done.kept, Some(name("home@before")));
    assert_eq!(f.listed(), ["home@a", "home@before"]);
    assert_eq!(f.app.status().unwrap().snapshots, 2);
    let info = f.app.fsck(false, true).unwrap();
    assert!(info.clean, "{info:?}");
    let count = |what: &str| info.checked.get(what).copied();
    assert_eq!(count("filesystems"), Some(f.app.fs_list().unwrap().len() as u64));
    assert_eq!(count("snapshots"), Some(f.listed().len() as u64));
    assert!(f.app.fsck(true, false).unwrap().clean);
    assert!(f.app.scrub().unwrap().clean);
}

#[test]
fn parents_survive_restores_and_restarts() {
    let Fixture { dir, app } = fixture(None);
    let cut = |app: &Arc<App>, text: &str| app.snapshot_create(&plain(text)).unwrap();
    let a = cut(&app, "home@a");
    cut(&app, "home@b");
    let request = CloneRequest { name: volume("copy"), mount: None };
    app.snapshot_clone(&name("home@b"), &request).unwrap();
    app.snapshot_clone(&name("home@b"), &CloneRequest { name: volume("other"), ..request })
        .unwrap();
    let b = cut(&app, "copy@first").parent;
    app.snapshot_restore(&name("home@a"), None).unwrap();
    let reopen = |app: Arc<App>| {
        app.close().unwrap();
        drop(app);
        App::open(options(&dir, None), Arc::new(NoMounter)).unwrap()
    };
    let app = reopen(app);
    let c = cut(&app, "home@c");
    assert_eq!(c.parent, Some(a.id));
    assert_eq!(cut(&app, "other@first").parent, b);
    assert_eq!(b, Some(app.snapshot_show(&name("home@b")).unwrap().id));
    app.snapshot_delete(&[name("home@a"), name("home@b")]).unwrap();
    let app = reopen(app);
    assert_eq!(cut(&app, "home@d").parent, Some(c.id));
}

#[test]
fn nothing_is_found_that_is_not_there() {
    let f = fixture(None);
    let missing = name("home@x");
    assert_eq!(f.app.snapshot_show(&missing).unwrap_err().object, "snapshot home@x");
    assert_eq!(f.app.space(&[missing]).unwrap_err().kind, ErrorKind::NotFound);
    let (live, gone) = ("home".parse().unwrap(), "gone".parse().unwrap());
    assert_eq!(f.app.diff(&live, &gone, false).unwrap_err().object, "volume gone");
    assert!(f.app.diff(&live, &live, true).unwrap().entries.is_empty());
}
