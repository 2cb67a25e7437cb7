//! A thread that does small work every second: removes nameless inodes, forgets deleted moments.

use crate::error::{FsError, Result};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Signal {
    stop: Mutex<bool>,
    changed: Condvar,
}

/// The thread.
#[derive(Default)]
pub(crate) struct Keeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts to call `work` every second until it answers false.
    pub(crate) fn start(&self, work: impl Fn() -> bool + Send + 'static) -> Result<()> {
        let signal = Arc::clone(&self.signal);
        let run = move || {
            loop {
                let mut stop = signal.stop.lock();
                if !*stop {
                    signal.changed.wait_for(&mut stop, PERIOD);
                }
                if *stop {
                    return;
                }
                drop(stop);
                if !work() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("fs-keeper".into()).spawn(run);
        *self.thread.lock() = Some(thread.map_err(|_| FsError::Refused(libc::EAGAIN))?);
        Ok(())
    }

    /// Ends the thread and waits for it, unless it is the caller.
    pub(crate) fn stop(&self) {
        *self.signal.stop.lock() = true;
        self.signal.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
        {
            drop(thread.join());
        }
    }
}
