//! What a store does by itself: writing ahead, committing, reclaiming, cleaning.
//!
//! Two threads. The writer appends full extents while operations go on. The keeper commits at the interval and, between commits,
//! does bounded steps of whatever is due. What is due is derived from the store's state, so a restart resumes it.

use crate::error::{Result, StoreError};
use crate::store::{Core, Store};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tintype_history::Output;
use tintype_kv::Batch;

/// Rows that one step of reclaim handles.
const STEP_ROWS: usize = 1024;
/// How long the keeper works on before it looks at the clock again.
const SLICE: Duration = Duration::from_millis(20);

impl Store {
    pub(crate) fn start_threads(self: &Arc<Self>) {
        type Body = fn(&Weak<Store>);
        let bodies: [(&str, Body); 2] = [("tt-writer", writer), ("tt-keeper", keeper)];
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
        let synced = self.sync();
        self.stop_threads();
        self.shared.shut_down();
        self.shared.segments.close()?;
        synced
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

    /// One bounded step of reclaim; `false`: nothing was due.
    ///
    /// # Errors
    /// The store failed.
    pub fn reclaim_step(&self) -> Result<bool> {
        self.shared.check()?;
        let mut core = self.core();
        let core = &mut *core;
        let mut batch = Batch::new();
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
            return self.merge_step(core);
        }
        let applied = self.apply_refs(core, &mut batch, Vec::new(), &output);
        self.poisoning(applied)?;
        let written = self.write_batch(core, batch, false);
        self.poisoning(written)?;
        core.inherited_stale = true;
        self.publish_usage(core);
        let mut progress = self.progress.lock();
        progress.reclaim_steps += 1;
        progress.reclaimed_bytes += output.freed_bytes;
        Ok(done)
    }
}

impl Store {
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

fn keeper(store: &Weak<Store>) {
    let mut last = Instant::now();
    let mut busy = false;
    loop {
        let Some(store) = store.upgrade() else { return };
        let interval = store.options.commit_interval;
        let commit = {
            let bell = &store.shared.bell;
            let mut wanted = bell.wanted.lock();
            if !busy && !wanted.commit && !wanted.tidy && !wanted.stop {
                let rest = interval.saturating_sub(last.elapsed());
                let pause = rest.clamp(Duration::from_millis(5), Duration::from_millis(200));
                bell.work.wait_for(&mut wanted, pause);
            }
            if wanted.stop {
                return;
            }
            wanted.tidy = false;
            std::mem::take(&mut wanted.commit)
        };
        if store.shared.check().is_err() {
            return;
        }
        if commit || last.elapsed() >= interval {
            if let Err(error) = store.sync() {
                tracing::error!(%error, "a background commit failed");
            }
            last = Instant::now();
        }
        busy = store.tidy_slice();
    }
}

impl Store {
    /// Works on what is due for a moment; `true`: there is more.
    fn tidy_slice(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < SLICE {
            let step = self
                .reclaim_step()
                .and_then(|done| if done { Ok(true) } else { self.clean_step() });
            match step {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    tracing::warn!(%error, "background work failed; it will be tried again");
                    std::thread::sleep(Duration::from_millis(500));
                    return false;
                }
            }
        }
        true
    }
}
