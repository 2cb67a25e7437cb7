//! `tintype-bench floor`: mounts the in-memory floor and serves it until it is unmounted or the
//! process is asked to stop. The load itself comes from outside (`scripts/floor.py`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tintype_fuse::{Choice, Options, Session, WhenBusy};

use crate::floor::Floor;
use crate::signals;

const USAGE: &str = "usage: tintype-bench floor --mount DIR [--transport auto|dev|uring] \
                     [--writeback on|off] [--depth N] [--threads N] [--readahead KIB]";

/// Runs the subcommand.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (dir, options) = parse(arguments)?;
    tintype_fuse::repair_dead_mount(&dir).map_err(|error| error.to_string())?;
    let stop = signals::catch();
    let session = Session::mount(Arc::new(Floor::default()), &dir, &options)
        .map_err(|error| error.to_string())?;
    eprintln!("floor at {} over {:?}", session.dir().display(), session.transport());
    while !session.wait(Some(Duration::from_millis(100))) {
        if stop() {
            return session.unmount(WhenBusy::Detach).map_err(|error| error.to_string());
        }
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(PathBuf, Options), String> {
    let (mut dir, mut options) = (None, Options::default());
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match (name.as_str(), value.as_str()) {
            ("--mount", _) => dir = Some(PathBuf::from(value)),
            ("--transport", "auto") => options.transport = Choice::Auto,
            ("--transport", "dev") => options.transport = Choice::Dev,
            ("--transport", "uring") => options.transport = Choice::Uring,
            ("--writeback", "on") => options.writeback = true,
            ("--writeback", "off") => options.writeback = false,
            ("--depth", number) => options.depth = Some(number.parse().map_err(|_| USAGE)?),
            ("--threads", number) => options.threads = Some(number.parse().map_err(|_| USAGE)?),
            ("--readahead", number) => {
                options.read_ahead_kib = Some(number.parse().map_err(|_| USAGE)?);
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((dir.ok_or(USAGE)?, options))
}
