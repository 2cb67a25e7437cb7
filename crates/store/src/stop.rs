//! The wish that long work ends, of whoever asked for it: a client that has gone away.
//!
//! A piece of long work runs in one thread, through many layers that have nothing else to do with such wishes. So the wish belongs to the thread
//! while the work runs ([`until`]), and only loops that read and change nothing look at it: what changes something is never cut short.

use crate::error::{Result, StoreError};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish that may come. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The work shall end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it shall.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

thread_local! {
    static WISH: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Runs `work`, whose long loops end with [`StoreError::Stopped`] soon after `stop` was asked for.
pub fn until<T>(stop: &Stop, work: impl FnOnce() -> T) -> T {
    /// Gives the thread its former wish back, also when the work panics.
    struct Before(Option<Stop>);
    impl Drop for Before {
        fn drop(&mut self) {
            WISH.replace(self.0.take());
        }
    }
    let _before = Before(WISH.replace(Some(stop.clone())));
    work()
}

/// Fails when the work of this thread shall end.
///
/// # Errors
/// [`StoreError::Stopped`].
pub fn check() -> Result<()> {
    match go_on() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StoreError::Stopped),
    }
}

/// The same for those who visit; a [`check`] behind the visit tells an end from a stop.
pub fn go_on() -> ControlFlow<()> {
    match WISH.with_borrow(|wish| wish.as_ref().is_some_and(Stop::is_asked)) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_belongs_to_its_work() {
        let stop = Stop::default();
        until(&stop, || assert!(check().is_ok()));
        stop.ask();
        assert!(check().is_ok());
        until(&stop, || {
            assert!(matches!(check(), Err(StoreError::Stopped)));
            until(&Stop::default(), || assert!(check().is_ok()));
            assert!(go_on().is_break());
            std::thread::scope(|scope| scope.spawn(|| assert!(check().is_ok())).join().unwrap());
        });
        assert!(check().is_ok());
    }
}
