//! Guessing passwords is made slow: after a few failures of a user from an address, each further attempt waits longer.
//!
//! An attempt counts before its password is looked at, so many at once gain nothing; a success forgets them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::error::{AppError, AppResult, ErrorKind};

/// Failures that cost nothing.
const FREE: u32 = 5;
/// The longest wait.
const WAIT_SECONDS_MAX: i64 = 300;
/// Pairs that are remembered; the oldest go first.
const PAIRS_MAX: usize = 4096;

/// Attempts by user and address.
#[derive(Debug, Default)]
pub(super) struct Throttle(BTreeMap<(String, String), Attempts>);

#[derive(Clone, Copy, Debug)]
struct Attempts {
    count: u32,
    last: Timestamp,
}

impl Attempts {
    fn wait(self) -> SignedDuration {
        let over = self.count.saturating_sub(FREE);
        let seconds = if self.count < FREE { 0 } else { 1i64 << over.min(20) };
        SignedDuration::from_secs(seconds.min(WAIT_SECONDS_MAX))
    }
}

impl Throttle {
    /// One more attempt, unless it comes too early.
    pub fn attempt(&mut self, user: &str, address: &str, now: Timestamp) -> AppResult<()> {
        let key = (user.to_owned(), address.to_owned());
        let before = self.0.get(&key).copied();
        if let Some(before) = before {
            let left = before.wait() - now.duration_since(before.last);
            if left.is_positive() {
                return Err(too_many(user, left.as_secs() + 1));
            }
        }
        if before.is_none() {
            self.make_room();
        }
        let count = before.map_or(1, |before| before.count.saturating_add(1));
        self.0.insert(key, Attempts { count, last: now });
        Ok(())
    }

    /// It was the right password.
    pub fn forget(&mut self, user: &str, address: &str) {
        self.0.remove(&(user.to_owned(), address.to_owned()));
    }

    fn make_room(&mut self) {
        if self.0.len() < PAIRS_MAX {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, attempts)| attempts.last);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.0.remove(&key);
        }
    }
}

fn too_many(user: &str, seconds: i64) -> AppError {
    AppError::new(
        ErrorKind::TooMany,
        format!("user {user}"),
        "had too many failed logins from this address",
        format!("Try again in {seconds} s."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_wait_longer_and_longer_and_others_do_not() {
        let mut throttle = Throttle::default();
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for _ in 0..FREE {
            throttle.attempt("a", "x", at(0)).unwrap();
        }
        let error = throttle.attempt("a", "x", at(0)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooMany);
        throttle.attempt("a", "y", at(0)).unwrap();
        throttle.attempt("b", "x", at(0)).unwrap();
        throttle.attempt("a", "x", at(1)).unwrap();
        assert!(throttle.attempt("a", "x", at(2)).is_err());
        throttle.attempt("a", "x", at(3)).unwrap();
        throttle.forget("a", "x");
        throttle.attempt("a", "x", at(3)).unwrap();
    }

    #[test]
    fn it_remembers_no_more_than_so_many() {
        let mut throttle = Throttle::default();
        for number in 0..2 * PAIRS_MAX {
            throttle.attempt(&number.to_string(), "x", Timestamp::UNIX_EPOCH).unwrap();
        }
        assert_eq!(throttle.0.len(), PAIRS_MAX);
    }
}
