//! An adapter around another: calls that fail for reasons that pass are made again, after pauses that grow.
//!
//! Every call of the port may be repeated: writes replace, removals of what is gone are fine. Pauses double from half a second to a minute and
//! are spread at random, so that many clients of a server that comes back do not come back at once. Until the place has answered once, patience
//! is short: a wrong address is likelier than an outage. The clock is a port, tests let it run without waiting.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Backend, BackendError, FileKind, Result};
use crate::id::Id;

const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// How long failures that pass are waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first failure of a call to its last attempt.
    pub total: Duration,
    /// The same as long as no call succeeded.
    pub before_first_answer: Duration,
}

impl Default for Patience {
    /// 15 minutes; 30 seconds before the first answer.
    fn default() -> Self {
        Self { total: Duration::from_mins(15), before_first_answer: Duration::from_secs(30) }
    }
}

impl Patience {
    /// Nothing is tried again.
    pub const NONE: Self = Self { total: Duration::ZERO, before_first_answer: Duration::ZERO };
}

/// Time, as far as waiting needs it.
pub trait Clock: Send + Sync {
    /// Time since any fixed moment.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, pause: Duration);

    /// Any number: spreads the pauses.
    fn random(&self) -> u32;
}

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn random(&self) -> u32 {
        // Without random bytes all clients pause alike, which is no reason to fail.
        getrandom::u32().unwrap_or(u32::MAX / 2)
    }
}

/// Told before each pause: what failed and how long the pause is.
pub type Notice = dyn Fn(&BackendError, Duration) + Send + Sync;

/// An adapter that tries again.
pub struct Retrying<B> {
    inner: B,
    patience: Patience,
    clock: Arc<dyn Clock>,
    notice: Box<Notice>,
    answered: AtomicBool,
}

impl<B> fmt::Debug for Retrying<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrying").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl<B: Backend> Retrying<B> {
    /// Around `inner`.
    pub fn new(inner: B, patience: Patience) -> Self {
        let clock = Arc::new(SystemClock::default());
        Self { inner, patience, clock, notice: Box::new(|_, _| ()), answered: false.into() }
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Calls `notice` before each pause, from the thread whose call failed.
    #[must_use]
    pub fn with_notice(
        mut self,
        notice: impl Fn(&BackendError, Duration) + Send + Sync + 'static,
    ) -> Self {
        self.notice = Box::new(notice);
        self
    }

    fn attempt<T>(&self, mut call: impl FnMut(&B) -> Result<T>) -> Result<T> {
        let mut failing_since = None;
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match call(&self.inner) {
                Ok(done) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(e) => e,
            };
            // A file that is not there is an answer too.
            if error.is_permanent() {
                self.answered.store(true, Ordering::Relaxed);
                return Err(error);
            }
            let now = self.clock.now();
            let waited = now.saturating_sub(*failing_since.get_or_insert(now));
            let Some(left) = self.limit().checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(error);
            };
            let spread = spread(pause, self.clock.random()).min(left);
            (self.notice)(&error, spread);
            self.clock.sleep(spread);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn limit(&self) -> Duration {
        if self.answered.load(Ordering::Relaxed) {
            self.patience.total
        } else {
            self.patience.before_first_answer.min(self.patience.total)
        }
    }
}

/// Between half and one and a half times the pause.
fn spread(pause: Duration, random: u32) -> Duration {
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

impl<B: Backend> Backend for Retrying<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.attempt(B::create)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<(Id, u64)>> {
        self.attempt(|inner| inner.list(kind))
    }

    fn read(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        self.attempt(|inner| inner.read(kind, id))
    }

    fn read_part(&self, kind: FileKind, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.attempt(|inner| inner.read_part(kind, id, offset, len))
    }

    fn read_into(&self, kind: FileKind, id: Id, into: &mut Vec<u8>) -> Result<()> {
        self.attempt(|inner| inner.read_into(kind, id, into))
    }

    fn read_part_into(
        &self,
        kind: FileKind,
        id: Id,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        self.attempt(|inner| inner.read_part_into(kind, id, offset, len, into))
    }

    fn write(&self, kind: FileKind, id: Id, data: &[u8]) -> Result<()> {
        self.attempt(|inner| inner.write(kind, id, data))
    }

    fn remove(&self, kind: FileKind, id: Id) -> Result<()> {
        self.attempt(|inner| inner.remove(kind, id))
    }
}
