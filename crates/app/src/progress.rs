//! How far the work of this thread is, for whoever watches it from outside.
//!
//! Like the wish to stop (`tintype_store::stop`), it belongs to the thread while the work runs: use cases tell it without knowing whether they are
//! a task.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Units done, and in all. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// So many there will be.
    pub fn expect(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// So many are done.
    pub fn reach(&self, done: u64) {
        self.0.done.fetch_max(done, Ordering::Relaxed);
    }

    /// So many more are done.
    pub fn step(&self, more: u64) {
        self.0.done.fetch_add(more, Ordering::Relaxed);
    }

    /// Units done, and in all.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed))
    }
}

thread_local! {
    static WATCHED: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// Runs `work`, which tells `progress` how far it is.
pub(crate) fn watched<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    /// Gives the thread back what it had, also when the work panics.
    struct Before(Option<Progress>);
    impl Drop for Before {
        fn drop(&mut self) {
            WATCHED.replace(self.0.take());
        }
    }
    let _before = Before(WATCHED.replace(Some(progress.clone())));
    work()
}

/// Tells whoever watches this thread.
pub(crate) fn tell(news: impl FnOnce(&Progress)) {
    WATCHED.with_borrow(|watched| watched.as_ref().map(news));
}
