//! A mounted floor for tests, over each transport that this machine offers.
//!
//! Where FUSE does not work, tests say `SKIPPED` and pass; with `TINTYPE_REQUIRE_FUSE=1` they fail.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

#[path = "../../../bench/src/floor.rs"]
pub mod floor;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tintype_fuse::{Choice, FuseError, Options, Session, Transport};

pub use floor::Floor;

/// A mounted floor; dropping it unmounts and then removes the directory.
pub struct Mount {
    pub session: Session,
    pub floor: Arc<Floor>,
    _dir: TempDir,
}

impl Mount {
    pub fn dir(&self) -> &Path {
        self.session.dir()
    }
}

pub fn mount(options: &Options) -> Result<Mount, FuseError> {
    let dir = tempfile::Builder::new().prefix("tintype-fuse-").tempdir().unwrap();
    let floor = Arc::new(Floor::default());
    let session = Session::mount(floor.clone(), dir.path(), options)?;
    Ok(Mount { session, floor, _dir: dir })
}

/// Runs `test` over both transports, with and without the kernel's writeback cache.
pub fn on_each(test: impl Fn(&Mount)) {
    for (transport, writeback) in
        [(Choice::Dev, true), (Choice::Dev, false), (Choice::Uring, true), (Choice::Uring, false)]
    {
        on(&Options { transport, writeback, ..Options::default() }, &test);
    }
}

/// Runs `test` over one mount.
pub fn on(options: &Options, test: impl Fn(&Mount)) {
    if options.transport == Choice::Uring {
        drop(std::fs::write("/sys/module/fuse/parameters/enable_uring", "Y"));
    }
    match mount(options) {
        Ok(mount) => {
            let expected = match options.transport {
                Choice::Dev => Transport::Dev,
                _ => Transport::Uring,
            };
            assert_eq!(mount.session.transport(), expected);
            test(&mount);
        }
        Err(error) => skip(&format!("{:?}: {error}", options.transport)),
    }
}

pub fn skip(why: &str) {
    let required = std::env::var("TINTYPE_REQUIRE_FUSE").is_ok_and(|value| value == "1");
    assert!(!required, "FUSE is required here: {why}");
    eprintln!("SKIPPED: {why}");
}
