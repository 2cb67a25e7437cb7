//! What a store does by itself: writing ahead, committing, reclaiming, cleaning.
//!
//! Three threads. The writer appends full extents while operations go on. The keeper commits at the interval. The tidier does
//! bounded steps of whatever else is due. What is due is derived from the store's state, so a restart resumes it.

use crate::error::{Result, StoreError};
use crate::store::{Core, Store};
use jiff::Timestamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tintype_history::Output;
use tintype_kv::Batch;

/// Rows that one step of reclaim handles.
const STEP_ROWS: usize = 1024;
/// How long the tidier works on before it looks up.
const SLICE: Duration = Duration::from_millis(20);
/// The shortest wait.
const SHORT: Duration = Duration::from_millis(5);
/// The longest wait.
const LONG: Duration = Duration::from_millis(200);

impl Store {
    pub(crate) fn start_threads(self: &Arc<Self>) {
        type Body = fn(&Weak<Store>);
        let bodies: [(&str, Body); 3] =
            [("tt-writer", writer), ("tt-keeper", keeper), ("tt-tidier", tidier)];
        for (name, body) in bodies {
            let store = Arc::downgrade(self);
            let thread =
                std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&store));
            match thread {
                Ok(handle) => self.threads.lock().push(handle),
                Err(error) => tracing::error!(%error, "cannot start a background thread"),
            }
        }
    }

    /// Commits, syncs and stops the background threads.
    ///
    /// # Errors
    /// The last commit failed.
    pub fn close(&self) -> Result<()> {
        self.closes_soon();
        // Most of the work, while the threads still help.
        let synced = self.sync();
        self.stop_threads();
        let ended = self.end_all();
        self.shared.segments.close()?;
        synced.and(ended)
    }

    /// A running fsck ends with an error, so that nobody who has to write before the store closes waits for it.
    pub fn closes_soon(&self) {
        self.shared.say_closing();
    }

    fn stop_threads(&self) {
        self.shared.bell.ring(|wanted| wanted.stop = true);
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }

    pub(crate) fn tidy_soon(&self) {
        self.shared.bell.ring(|wanted| wanted.tidy = true);
    }

    /// Has the background look for dead data now, instead of when it next would.
    pub fn clean_soon(&self) {
        self.clean_due.store(true, Ordering::Release);
        self.tidy_soon();
    }

    /// Does all due work now; for tests and tools.
    ///
    /// # Errors
    /// The store failed.
    pub fn run_background_until_idle(&self) -> Result<()> {
        loop {
            self.sync()?;
            while self.reclaim_step()? {}
            let cleaned = self.clean_step()?;
            if !cleaned && self.core().history.due() == 0 {
                break;
            }
        }
        self.shared.kv.compact()?;
        Ok(())
    }

    /// Whether an extent's row is durable, or 0, the extent of reserved blocks.
    #[must_use]
    pub fn is_committed(&self, extent: u64) -> bool {
        self.shared.ram.get(extent).is_none()
    }

    /// One bounded step of reclaim; `false`: nothing was due.
    ///
    /// # Errors
    /// The store failed.
    pub fn reclaim_step(&self) -> Result<bool> {
        self.shared.check()?;
        let mut core = self.core();
        let core = &mut *core;
        self.ask_step(core.refused.step, true)?;
        let mut batch = Batch::new();
        batch.frees_space();
        let mut output = Output::default();
        let stepped = core.history.step(&mut batch, STEP_ROWS, &mut output);
        let mut done = match stepped {
            Ok(done) => done,
            Err(error) => return self.set_aside(core, &error.into()),
        };
        if !done && core.trim {
            core.trim = core.history.trim_touched(&mut batch, STEP_ROWS)?;
            done = core.trim;
        }
        if !done && batch.is_empty() {
            return self.quiet_step(core);
        }
        core.merge_due = true;
        let applied = self.apply_refs(core, &mut batch, Vec::new(), &output);
        self.poisoning(applied)?;
        let written = self.write_step(core, batch);
        self.poisoning(written)?;
        self.publish_usage(core);
        let mut progress = self.progress.lock();
        progress.reclaim_steps += 1;
        progress.reclaimed_bytes += output.freed_bytes;
        Ok(done)
    }
}

impl Store {
    /// What changes no sum, when nothing else is due: lists become thinner, then chains shorter.
    fn quiet_step(&self, core: &mut Core) -> Result<bool> {
        let mut batch = Batch::new();
        batch.frees_space();
        let thinned = core.history.thin_touched(&mut batch, STEP_ROWS)?;
        // Nothing in memory follows from this batch: when it is refused, it is done after the next opening.
        self.write_step(core, batch)?;
        if thinned { Ok(true) } else { self.merge_step(core) }
    }

    /// A damaged row stops one piece of work, not all: forgets what the step changed in memory, and the work
    /// until the store is opened again.
    fn set_aside(&self, core: &mut Core, error: &StoreError) -> Result<bool> {
        let work = core.history.first_due();
        tracing::warn!(%error, ?work, "reclaim met a damaged row; run `tintype fsck`");
        core.stuck_work.extend(work);
        self.reload(core)?;
        Ok(true)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

fn writer(store: &Weak<Store>) {
    loop {
        let Some(store) = store.upgrade() else { return };
        {
            let bell = &store.shared.bell;
            let mut wanted = bell.wanted.lock();
            if !wanted.write && !wanted.stop {
                bell.work.wait_for(&mut wanted, Duration::from_millis(200));
            }
            if wanted.stop {
                return;
            }
            wanted.write = false;
        }
        while store.shared.check().is_ok() {
            match store.poisoning(store.write_ahead()) {
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
    }
}

/// Commits when asked and at the interval.
fn keeper(store: &Weak<Store>) {
    let mut last = Instant::now();
    loop {
        let Some(store) = store.upgrade() else { return };
        let interval = store.options.commit_interval;
        let commit = {
            let bell = &store.shared.bell;
            let mut wanted = bell.wanted.lock();
            if !wanted.commit && !wanted.stop {
                let rest = interval.saturating_sub(last.elapsed());
                bell.work.wait_for(&mut wanted, rest.clamp(SHORT, LONG));
            }
            if wanted.stop {
                return;
            }
            std::mem::take(&mut wanted.commit)
        };
        if store.shared.check().is_err() {
            return;
        }
        if commit || last.elapsed() >= interval {
            if let Err(error) = store.sync()
                && !error.is_full()
            {
                tracing::error!(%error, "a background commit failed");
            }
            if let Err(error) = store.let_go_over(Timestamp::now()) {
                tracing::warn!(%error, "holds whose time is over stay for now");
            }
            last = Instant::now();
        }
    }
}

/// Reclaims and cleans in slices, and rests as long as it worked while others work too.
fn tidier(store: &Weak<Store>) {
    let mut pause = SHORT;
    loop {
        let Some(store) = store.upgrade() else { return };
        {
            let bell = &store.shared.bell;
            let mut wanted = bell.wanted.lock();
            if !wanted.tidy && !wanted.stop {
                bell.work.wait_for(&mut wanted, pause);
            }
            if wanted.stop {
                return;
            }
            wanted.tidy = false;
        }
        if store.shared.check().is_err() {
            return;
        }
        let start = Instant::now();
        let more = store.tidy_slice();
        pause = match more {
            false => LONG,
            true if store.is_busy() => start.elapsed().max(SHORT),
            true => Duration::ZERO,
        };
    }
}

impl Store {
    fn is_busy(&self) -> bool {
        self.shared.dirty_records.load(Ordering::Relaxed) > 0
            || self.shared.ram.unwritten.load(Ordering::Relaxed) > 0
    }

    /// Works on what is due for a moment; `true`: there is more.
    fn tidy_slice(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < SLICE {
            let step = self
                .reclaim_step()
                // What finds no room must not keep dead segments from going.
                .or_else(|error| if error.is_full() { Ok(false) } else { Err(error) })
                .and_then(|done| if done { Ok(true) } else { self.clean_step() });
            match step {
                Ok(true) => {}
                Ok(false) => {
                    self.count_step();
                    return false;
                }
                Err(error) => {
                    if !error.is_full() {
                        tracing::warn!(%error, "background work failed; it will be tried again");
                    }
                    self.clean_due.store(true, Ordering::Release);
                    return false;
                }
            }
        }
        true
    }
}
