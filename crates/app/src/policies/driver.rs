//! The thread that runs the policies: at every full minute, and now and then in between, for the clock may be set.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;

/// The clock is looked at at least as often.
const LOOK: Duration = Duration::from_secs(20);
/// Runs between two in which everything is judged.
const JUDGE_ALL: u32 = 180;

/// The thread; it ends when this is dropped.
pub struct PolicyRunner {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    /// Starts running the policies. The runner must be gone before the app is closed.
    pub fn start_policies(self: &Arc<Self>) -> AppResult<PolicyRunner> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (app, stopping) = (Arc::clone(self), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("tt-policies".to_owned());
        let thread = thread.spawn(move || run(&app, &stopping)).map_err(|e| {
            AppError::new(
                ErrorKind::Unavailable,
                "policies",
                format!("cannot be run: {e}"),
                "Check the limits of the system (threads, memory).",
            )
        })?;
        Ok(PolicyRunner { stop, thread: Some(thread) })
    }
}

impl Drop for PolicyRunner {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(app: &App, stop: &(Mutex<bool>, Condvar)) {
    let mut runs = 0;
    while !*stop.0.lock() {
        // Also the first one: what the rules say may have changed meanwhile.
        let all = runs % JUDGE_ALL == 0;
        if let Err(error) = app.run_policies(all, &|| !*stop.0.lock()) {
            tracing::error!(%error, "the policies could not be run");
        }
        runs += 1;
        let second = app.policies.clock().now().as_second().rem_euclid(60).unsigned_abs();
        let mut stopped = stop.0.lock();
        if !*stopped {
            stop.1.wait_for(&mut stopped, Duration::from_secs(60 - second).min(LOOK));
        }
    }
}
