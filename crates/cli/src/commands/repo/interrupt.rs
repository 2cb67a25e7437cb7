//! Ctrl-C and the signal to end while a repository is at work: the first asks the work to stop, the second ends the program at once.
//!
//! Work that stops leaves what is sound: packs with their index, no half snapshot, and no lock. At once means without the index and with the lock.

use std::sync::OnceLock;

use tintype_repo::{Lock, RepoError, Stop};
use tokio::signal::unix::SignalKind;

use crate::error::{CliError, CliResult, STOPPED};
use crate::notice::notice;
use crate::signals;

static STOP: OnceLock<Stop> = OnceLock::new();
static LISTENING: OnceLock<()> = OnceLock::new();

/// The wish of whoever sent a signal to this program.
pub fn stop() -> Stop {
    STOP.get_or_init(Stop::default).clone()
}

/// From here on signals are wishes. Before, and in commands that never call this, they end the program as ever.
pub fn listen() -> CliResult<()> {
    if LISTENING.set(()).is_err() {
        return Ok(());
    }
    signals::each(&[SignalKind::interrupt(), SignalKind::terminate()], || {
        if stop().is_asked() {
            std::process::exit(i32::from(STOPPED));
        }
        stop().ask();
        notice("stopping; a second signal ends it at once");
    })
}

/// To be asked before anything is removed and before a snapshot is written: is the lock ours, and is the work still wanted?
pub fn guard(lock: &Lock) -> Result<(), RepoError> {
    stop().check()?;
    lock.check()
}

/// A failure behind a signal is the stop: places give nothing any more then.
pub fn explain(error: CliError) -> CliError {
    match STOP.get().is_some_and(Stop::is_asked) {
        true => RepoError::Stopped.into(),
        false => error,
    }
}
