//! Values that are kept within a bound of weight; each is made by one thread while others that want it wait.
//!
//! What was not used for longest goes first, several at once, so that finding them costs little for each. A value heavier than the bound is
//! given and not kept.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

struct Held<V> {
    value: Arc<V>,
    weight: usize,
    used: u64,
}

struct State<K, V> {
    held: HashMap<K, Held<V>>,
    making: HashSet<K>,
    weight: usize,
    clock: u64,
}

/// The values.
pub struct Cache<K, V> {
    state: Mutex<State<K, V>>,
    made: Condvar,
    limit: usize,
}

/// Ends the making of a value, however it ends.
struct Making<'c, K: Copy + Eq + Hash, V> {
    cache: &'c Cache<K, V>,
    key: K,
}

impl<K: Copy + Eq + Hash, V> Drop for Making<'_, K, V> {
    fn drop(&mut self) {
        self.cache.state.lock().making.remove(&self.key);
        self.cache.made.notify_all();
    }
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// Keeps values of this weight together, in bytes.
    pub fn new(limit: usize) -> Self {
        let (held, making) = (HashMap::new(), HashSet::new());
        let state = State { held, making, weight: 0, clock: 0 };
        Self { state: Mutex::new(state), made: Condvar::new(), limit }
    }

    /// The value, made with its weight if it is not there.
    ///
    /// # Errors
    /// What `make` says; the next one tries again.
    pub fn get<E>(
        &self,
        key: K,
        make: impl FnOnce() -> Result<(V, usize), E>,
    ) -> Result<Arc<V>, E> {
        let mut state = self.state.lock();
        loop {
            state.clock += 1;
            let now = state.clock;
            if let Some(held) = state.held.get_mut(&key) {
                held.used = now;
                return Ok(Arc::clone(&held.value));
            }
            if state.making.insert(key) {
                break;
            }
            self.made.wait(&mut state);
        }
        drop(state);
        let _making = Making { cache: self, key };
        let (value, weight) = make()?;
        let value = Arc::new(value);
        self.keep(key, &value, weight);
        Ok(value)
    }

    fn keep(&self, key: K, value: &Arc<V>, weight: usize) {
        if weight > self.limit {
            return;
        }
        let mut state = self.state.lock();
        if state.weight + weight > self.limit {
            make_room(&mut state, (self.limit - weight).min(self.limit / 4 * 3));
        }
        state.weight += weight;
        let used = state.clock;
        state.held.insert(key, Held { value: Arc::clone(value), weight, used });
    }
}

/// Drops what was not used for longest, down to this weight.
fn make_room<K: Copy + Eq + Hash, V>(state: &mut State<K, V>, down_to: usize) {
    let mut all: Vec<(u64, K)> = state.held.iter().map(|(key, held)| (held.used, *key)).collect();
    all.sort_unstable_by_key(|(used, _)| *used);
    for (_, key) in all {
        if state.weight <= down_to {
            return;
        }
        if let Some(held) = state.held.remove(&key) {
            state.weight -= held.weight;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let cache = Cache::<u32, u32>::new(40);
        let get = |key: u32, weight: usize| {
            let mut made = false;
            let make = || {
                made = true;
                Ok::<_, ()>((key, weight))
            };
            assert_eq!(*cache.get(key, make).unwrap(), key);
            made
        };
        assert!((0..4).all(|key| get(key, 10)));
        assert!(!get(0, 10));
        assert!(get(4, 10));
        assert!(!get(0, 10) && get(1, 10));
        assert!(get(9, 41) && get(9, 41), "too heavy to be kept");
        assert!(cache.state.lock().weight <= 40);
        assert_eq!(cache.get(77, || Err(5)), Err(5));
        assert!(get(77, 1));
    }

    #[test]
    fn one_thread_makes_it_for_all() {
        let (cache, count) = (Cache::<u8, u8>::new(9), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let make = || {
                        count.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        Ok::<_, ()>((1, 1))
                    };
                    cache.get(0, make).unwrap()
                });
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
