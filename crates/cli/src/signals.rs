//! Ctrl-C and the signal to end, as calls instead of an end. Before [`each`] is called they end the program as ever.

use std::sync::OnceLock;

use tintype_app::Stop;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CliError, CliResult, STOPPED};
use crate::notice::notice;

/// Calls `act` at each signal from now on, in a thread of its own.
pub fn each(kinds: &[SignalKind], mut act: impl FnMut() + Send + 'static) -> CliResult<()> {
    let failed = |e: std::io::Error| {
        CliError::failure(format!("signals: {e}"), "Check the limits of this user: threads, files.")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed)?;
    let inside = runtime.enter();
    let signals: std::io::Result<Vec<_>> = kinds.iter().map(|kind| signal(*kind)).collect();
    let mut signals = signals.map_err(failed)?;
    drop(inside);
    let wait = move || loop {
        runtime.block_on(std::future::poll_fn(|context| {
            let mut polled = signals.iter_mut().map(|signal| signal.poll_recv(context));
            polled
                .find(std::task::Poll::is_ready)
                .map_or(std::task::Poll::Pending, |ready| ready.map(drop))
        }));
        act();
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).map_err(failed)
}

/// From now on a signal is the wish that work in this process ends ([`tintype_app::until`]); a second one ends it at once.
pub fn wish() -> CliResult<Stop> {
    let stop = Stop::default();
    let asked = stop.clone();
    each(&[SignalKind::interrupt(), SignalKind::terminate()], move || {
        if asked.is_asked() {
            std::process::exit(i32::from(STOPPED));
        }
        asked.ask();
        notice("stopping; a second signal ends it at once");
    })?;
    Ok(stop)
}

/// From now on Ctrl-C ends this program with a message and the status that shells give it.
pub fn leave_on_interrupt() -> CliResult<()> {
    static LISTENING: OnceLock<()> = OnceLock::new();
    if LISTENING.set(()).is_err() {
        return Ok(());
    }
    each(&[SignalKind::interrupt()], || {
        let told = CliError::failure(
            "stopped by a signal",
            "The server ends what only reads, such as checks, and completes what changes something.",
        );
        CliError { status: STOPPED, ..told }.report();
        std::process::exit(i32::from(STOPPED));
    })
}
