//! The check of a store that does not open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use tintype_app::types::FsCreate;
use tintype_app::{App, AppOptions, ErrorKind, NoMounter, fsck_unopened};
use tintype_kv::{Batch, FjallKv, Kv};
use tintype_model::{Compression, VolumeName};

#[test]
fn a_store_with_damaged_sums_is_refused_named_repaired_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let open = || {
        let options = AppOptions {
            store: store.clone(),
            create: true,
            snapshot_limits: None,
            user: "tester".into(),
        };
        App::open(options, Arc::new(NoMounter))
    };
    let app = open().unwrap();
    let name = VolumeName::new("home").unwrap();
    let compression = Compression::default();
    app.fs_create(&FsCreate { name, quota: None, capacity: None, compression, mount: None })
        .unwrap();
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
