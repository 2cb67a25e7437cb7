//! The same work on each of many things, by several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{RepoError, Result};

/// Calls `work` for all items, by at most `count` threads, until one fails. Items that were begun are finished.
///
/// # Errors
/// The first failure.
pub(crate) fn in_parallel<T: Sync>(
    items: &[T],
    count: usize,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let each = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..count.clamp(1, items.len().max(1))).map(|_| scope.spawn(each)).collect();
        let broken = || RepoError::Refused { detail: "a thread broke off".to_owned() };
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(broken())))
            .collect();
        results.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_item_has_its_turn_and_failures_are_told() {
        let sum = AtomicU64::new(0);
        let items: Vec<u64> = (1..=100).collect();
        let add = |item: &u64| {
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok(())
        };
        in_parallel(&items, 3, add).unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 5050);
        in_parallel(&[0u64; 0], 3, add).unwrap();
        let fail = |item: &u64| if *item == 7 { Err(RepoError::Stopped) } else { Ok(()) };
        assert!(matches!(in_parallel(&items, 3, fail), Err(RepoError::Stopped)));
    }
}
