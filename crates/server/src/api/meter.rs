//! How often an operation was asked for, how that ended, and how long it took: for `/metrics`.
//!
//! One per operation, so their number is that of the API, whatever strangers ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper bounds of the buckets in seconds.
pub const BOUNDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0, 60.0];

/// Counts of one operation.
#[derive(Debug, Default)]
pub struct Meter {
    statuses: Mutex<BTreeMap<u16, u64>>,
    buckets: [AtomicU64; BOUNDS.len()],
    micros: AtomicU64,
    count: AtomicU64,
}

/// What a meter shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers within each bound.
    pub within: [u64; BOUNDS.len()],
    /// Seconds of all.
    pub seconds: f64,
    /// All answers.
    pub count: u64,
}

impl Meter {
    /// One more answer.
    pub fn note(&self, status: u16, took: Duration) {
        *self.statuses.lock().entry(status).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| seconds <= **bound);
        if let Some((_, bucket)) = bucket {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// As it stands.
    pub fn read(&self) -> Reading {
        let mut sum = 0;
        let within = self.buckets.each_ref().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        });
        Reading {
            statuses: self.statuses.lock().clone(),
            within,
            seconds: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
            count: self.count.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_came_within_them() {
        let meter = Meter::default();
        meter.note(200, Duration::from_micros(700));
        meter.note(200, Duration::from_millis(3));
        meter.note(404, Duration::from_secs(100));
        let reading = meter.read();
        assert_eq!(reading.within, [0, 1, 1, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!((reading.count, reading.statuses[&200], reading.statuses[&404]), (3, 2, 1));
        assert!((reading.seconds - 100.0037).abs() < 1e-6);
    }
}
