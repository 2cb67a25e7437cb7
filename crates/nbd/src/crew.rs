//! Threads: as many as there is work at a time, kept for a while, and slots that bound how many of them help.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A thread without work ends after this time.
const REST: Duration = Duration::from_secs(10);

pub(crate) type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    idle: usize,
    closed: bool,
}

/// Runs each task at once, on a thread that rests or on a new one. Callers bound how many run.
#[derive(Default)]
pub(crate) struct Crew {
    state: Mutex<State>,
    bell: Condvar,
}

impl Crew {
    /// Starts `task`, or gives it back with the reason why there is no thread.
    pub fn run(self: &Arc<Self>, task: Task) -> Result<(), (Task, io::Error)> {
        let mut state = self.state.lock();
        state.tasks.push_back(task);
        if state.idle >= state.tasks.len() {
            self.bell.notify_one();
            return Ok(());
        }
        let crew = Arc::clone(self);
        let started =
            std::thread::Builder::new().name("nbd-crew".into()).spawn(move || crew.work());
        // The lock was held: the last task is still ours.
        match (started, state.tasks.pop_back()) {
            (Err(error), Some(task)) => Err((task, error)),
            (_, task) => {
                state.tasks.extend(task);
                Ok(())
            }
        }
    }

    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                task();
                state = self.state.lock();
                continue;
            }
            if state.closed {
                return;
            }
            state.idle = state.idle.saturating_add(1);
            let late = self.bell.wait_for(&mut state, REST).timed_out();
            state.idle = state.idle.saturating_sub(1);
            if late && state.tasks.is_empty() {
                return;
            }
        }
    }

    /// Threads end once they have nothing to do.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.bell.notify_all();
    }
}

/// A number of things of which only so many may be out.
pub(crate) struct Slots {
    used: AtomicUsize,
    max: usize,
}

impl Slots {
    pub fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    pub fn try_take(&self) -> bool {
        let more = |used| (used < self.max).then_some(used + 1);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    pub fn give(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_task_runs_though_others_wait_for_it() {
        let crew = Arc::new(Crew::default());
        let (out, results) = mpsc::channel();
        let mut before: Option<mpsc::Sender<()>> = None;
        for n in 0..8 {
            let (go, wait) = mpsc::channel();
            let (out, next) = (out.clone(), before.replace(go));
            let task = move || {
                // The last one goes first: none may wait for a thread.
                if n < 7 {
                    wait.recv().unwrap();
                }
                out.send(n).unwrap();
                if let Some(next) = next {
                    next.send(()).unwrap();
                }
            };
            assert!(crew.run(Box::new(task)).is_ok());
        }
        let order: Vec<i32> = results.iter().take(8).collect();
        assert_eq!(order, [7, 6, 5, 4, 3, 2, 1, 0]);
        crew.close();
    }

    #[test]
    fn slots_are_bounded() {
        let slots = Slots::new(2);
        assert!(slots.try_take() && slots.try_take() && !slots.try_take());
        slots.give();
        assert!(slots.try_take());
    }
}
