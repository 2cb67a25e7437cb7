//! The clock of policies, as a port, and when it can be trusted to call a snapshot old.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// What the wall clock of the machine shows.
    fn now(&self) -> Timestamp;

    /// A count that only grows, and does not jump when the wall clock is set.
    fn steady(&self) -> Duration;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How far the two counts may part before the wall clock counts as set, and how long it must then go on evenly.
const TRUST: Duration = Duration::from_secs(3600);

/// Whether the wall clock has gone evenly for a while. One that was set to a wrong year must not make everything old at once.
#[derive(Debug, Default)]
pub(crate) struct Trust(Option<Seen>);

#[derive(Debug)]
struct Seen {
    wall: Timestamp,
    steady: Duration,
    since: Duration,
}

impl Trust {
    /// Takes a look at the clock. Answers whether it has gone evenly for an hour.
    pub(crate) fn look(&mut self, clock: &dyn Clock) -> bool {
        let (wall, steady) = (clock.now(), clock.steady());
        let since = match &self.0 {
            None => steady,
            Some(seen) => {
                let passed = SignedDuration::try_from(steady.saturating_sub(seen.steady));
                let apart = wall.duration_since(seen.wall) - passed.unwrap_or_default();
                if apart.unsigned_abs() > TRUST { steady } else { seen.since }
            }
        };
        self.0 = Some(Seen { wall, steady, since });
        steady.saturating_sub(since) >= TRUST
    }
}
