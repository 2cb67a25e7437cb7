//! Notices requests that take long while others wait behind them, and has another thread go on with those.
//!
//! The thread that decodes requests also does the fast ones. Before each it writes down which one it does ([`Watched`]);
//! when the watch sees the same one at two looks, a new thread claims the connection and decodes on. The old one notices
//! that its request was taken from it, answers it and leaves. Exactly one of the two goes on, for both try to change the
//! same word.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::connection::Connection;
use crate::registry::Registry;

/// Between two looks.
const TICK: Duration = Duration::from_millis(2);
/// Looks without any request after which the watch sleeps until it is woken.
const QUIET: u32 = 100;

/// What a connection is doing.
#[derive(Default)]
pub(crate) struct Watched {
    /// The request in the hands of the thread that decodes; 0 for none.
    busy: AtomicU64,
    next: AtomicU64,
    last: AtomicU64,
}

impl Watched {
    /// Before a request. The number is for [`Watched::end`].
    pub fn begin(&self) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.busy.store(id, Ordering::SeqCst);
        id
    }

    /// After a request: whether the connection is still this thread's.
    pub fn end(&self, id: u64) -> bool {
        self.busy.compare_exchange(id, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes the connection from the thread that does request `id`, unless it has finished.
    pub fn claim(&self, id: u64) -> bool {
        self.end(id)
    }

    /// What is being done, and whether anything was since the last look.
    pub fn look(&self) -> (u64, bool) {
        let next = self.next.load(Ordering::Relaxed);
        let moved = self.last.swap(next, Ordering::Relaxed) != next;
        (self.busy.load(Ordering::SeqCst), moved)
    }
}

/// The watch of a server.
#[derive(Default)]
pub(crate) struct Watch {
    asleep: AtomicBool,
    closed: Mutex<bool>,
    bell: Condvar,
}

impl Watch {
    /// Called before each request; costs nothing while the watch is awake.
    pub fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            let _guard = self.closed.lock();
            self.asleep.store(false, Ordering::SeqCst);
            self.bell.notify_all();
        }
    }

    /// Looks until closed. `hand_over` starts a thread for a connection that hangs.
    pub fn run(&self, registry: &Registry, hand_over: impl Fn(&Arc<Connection>, u64)) {
        let mut quiet = 0;
        let mut closed = self.closed.lock();
        while !*closed {
            self.bell.wait_for(&mut closed, TICK);
            parking_lot::MutexGuard::unlocked(&mut closed, || {
                let (stuck, active) = registry.stuck();
                quiet = if active { 0 } else { quiet + 1 };
                let alive = stuck.iter().filter_map(|(it, id)| Some((Weak::upgrade(it)?, *id)));
                alive.for_each(|(connection, id)| hand_over(&connection, id));
            });
            if quiet < QUIET {
                continue;
            }
            // Whoever begins a request from now on wakes us; whoever began before is seen by one more look.
            self.asleep.store(true, Ordering::SeqCst);
            if registry.stuck().1 {
                self.asleep.store(false, Ordering::SeqCst);
            }
            while self.asleep.load(Ordering::SeqCst) && !*closed {
                self.bell.wait(&mut closed);
            }
            quiet = 0;
        }
    }

    pub fn close(&self) {
        *self.closed.lock() = true;
        self.bell.notify_all();
    }
}
