//! The check of a store that does not open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use tintype_app::types::FsCreate;
use tintype_app::{App, AppOptions, AppResult, ErrorKind, NoMounter, Stop, fsck_unopened, until};
use tintype_kv::{Batch, FjallKv, Kv};
use tintype_model::{Compression, VolumeName};

fn open(store: &Path) -> AppResult<Arc<App>> {
    let options = AppOptions {
        store: store.to_owned(),
        create: true,
        snapshot_limits: None,
        user: "tester".into(),
    };
    App::open(options, Arc::new(NoMounter))
}

fn create(app: &App) {
    let name = VolumeName::new("home").unwrap();
    let compression = Compression::default();
    app.fs_create(&FsCreate { name, quota: None, capacity: None, compression, mount: None })
        .unwrap();
}

#[test]
fn checks_end_when_nobody_waits_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let app = open(&dir.path().join("store")).unwrap();
    create(&app);
    let stop = Stop::default();
    assert!(until(&stop, || app.fsck(true, true)).unwrap().clean);
    stop.ask();
    for ended in
        [until(&stop, || app.fsck(true, true).map(drop)), until(&stop, || app.scrub().map(drop))]
    {
        let error = ended.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.detail.contains("has gone"), "{error}");
    }
    // Nothing of it stays: no job, no lock, no wish.
    assert!(app.status().unwrap().jobs.is_empty());
    assert!(app.scrub().unwrap().clean && app.fsck(false, true).unwrap().clean);
    app.close().unwrap();
}

#[test]
fn a_store_with_damaged_sums_is_refused_named_repaired_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let open = || open(&store);
    let app = open().unwrap();
    create(&app);
    app.close().unwrap();
    drop(app);
    let kv = FjallKv::open(store.join("kv"), tintype_kv::Options::default()).unwrap();
    let mut batch = Batch::new();
    for row in kv.range(b"U", b"V") {
        batch.put(row.unwrap().0, vec![0xff]);
    }
    assert!(!batch.is_empty());
    kv.write(batch).unwrap();
    kv.sync().unwrap();
    drop(kv);
    assert_eq!(open().err().unwrap().kind, ErrorKind::Damaged);
    let found = fsck_unopened(&store, false).unwrap();
    assert!(!found.clean && found.findings.iter().all(|finding| !finding.repaired));
    let fixed = fsck_unopened(&store, true).unwrap();
    assert!(fixed.clean && fixed.findings.iter().all(|finding| finding.repaired), "{fixed:?}");
    let app = open().unwrap();
    assert!(app.fsck(false, true).unwrap().clean);
    app.close().unwrap();
}
