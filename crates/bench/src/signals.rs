//! Ctrl-C and SIGTERM as a flag that can be asked for.
//!
//! The handler only stores to an atomic, which is all that a signal handler may do.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// From now on SIGINT and SIGTERM do not end the process; the result tells whether one came.
pub(crate) fn catch() -> impl Fn() -> bool {
    let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler is an `extern "C"` function that only stores to an atomic.
        unsafe { libc::signal(signal, handler) };
    }
    || STOP.load(Ordering::Relaxed)
}
