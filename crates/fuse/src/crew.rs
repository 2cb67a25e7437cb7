//! The threads of a mount: how many run, when a stand-in is needed, when the last one is gone.
//!
//! Handlers are synchronous, and a few of them (ioctls that take a snapshot) need answers from the
//! very mount that they serve: they flush its dirty pages. If enough of them ran at once, no
//! thread would be left to answer, for ever. So a handler that may re-enter first *steps out*: the
//! crew starts a stand-in whenever fewer than its base would remain. Handlers that only wait for
//! disks or locks need no stand-in, for nothing that they wait for waits for the mount. Stand-ins stay, so the same
//! number of such handlers waits for no thread again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Stand-ins of one crew; beyond that many re-entering handlers at once the rest is refused.
const MOST_AWAY: usize = 64;

/// Counts the live threads of a session.
#[derive(Debug, Default)]
pub struct Life {
    threads: Mutex<usize>,
    changed: Condvar,
}

impl Life {
    /// Counts the caller's thread until the result is dropped.
    pub fn enter(self: &Arc<Self>) -> Alive {
        *self.threads.lock() += 1;
        Alive(Arc::clone(self))
    }

    /// Whether any thread lives.
    pub fn is_alive(&self) -> bool {
        *self.threads.lock() > 0
    }

    /// Waits until no thread lives, at most for `limit`; returns whether that came true.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let mut threads = self.threads.lock();
        let done = |threads: &mut usize| *threads > 0;
        match limit {
            None => self.changed.wait_while(&mut threads, done),
            Some(limit) => drop(self.changed.wait_while_for(&mut threads, done, limit)),
        }
        *threads == 0
    }
}

/// One live thread.
#[derive(Debug)]
pub struct Alive(Arc<Life>);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.threads.lock() -= 1;
        self.0.changed.notify_all();
    }
}

#[derive(Debug, Default)]
struct Count {
    total: usize,
    away: usize,
}

/// Starts one more thread of a crew.
pub type Hire = Box<dyn Fn(&Arc<Crew>) -> io::Result<()> + Send + Sync>;

/// Threads that serve one queue.
pub struct Crew {
    base: usize,
    count: Mutex<Count>,
    hire: Hire,
}

impl Crew {
    /// A crew that always keeps `base` threads at the queue.
    #[must_use]
    pub fn new(base: usize, hire: Hire) -> Arc<Self> {
        Arc::new(Self { base, count: Mutex::default(), hire })
    }

    /// Starts the base threads that are not there yet.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn fill(self: &Arc<Self>) -> io::Result<()> {
        while self.count.lock().total < self.base {
            self.count.lock().total += 1;
            (self.hire)(self)?;
        }
        Ok(())
    }

    /// The caller's thread is about to run a handler that may need this queue. `None`: too many
    /// do so already, or no stand-in can be had.
    pub fn step_out(self: &Arc<Self>) -> Option<Away> {
        let mut count = self.count.lock();
        if count.away >= MOST_AWAY {
            return None;
        }
        count.away += 1;
        let short = count.total < self.base + count.away;
        count.total += usize::from(short);
        drop(count);
        let away = Away(Arc::clone(self));
        if short && let Err(error) = (self.hire)(self) {
            tracing::warn!(%error, "cannot start a stand-in thread for the mount");
            self.count.lock().total -= 1;
            return None;
        }
        Some(away)
    }
}

/// A thread that has stepped out.
pub struct Away(Arc<Crew>);

impl Drop for Away {
    fn drop(&mut self) {
        self.0.count.lock().away -= 1;
    }
}
