//! Bounds the memory that requests of one connection hold, and keeps a few buffers for the next ones.

use parking_lot::{Condvar, Mutex};

/// Bytes of buffers that are kept.
const KEPT: usize = 4 << 20;
/// Buffers that are kept.
const KEPT_COUNT: usize = 128;

/// Bytes in flight: payloads that wait to be written, and data that waits to be sent.
pub(crate) struct Budget {
    limit: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

impl Budget {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Takes `bytes` if there is room. One request always fits, however large.
    pub fn try_take(&self, bytes: usize) -> bool {
        let mut used = self.used.lock();
        let fits = *used == 0 || used.saturating_add(bytes) <= self.limit;
        if fits {
            *used = used.saturating_add(bytes);
        }
        fits
    }

    /// Takes `bytes` as soon as there is room.
    pub fn take(&self, bytes: usize) {
        let mut used = self.used.lock();
        while *used != 0 && used.saturating_add(bytes) > self.limit {
            self.freed.wait(&mut used);
        }
        *used = used.saturating_add(bytes);
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        if bytes != 0 {
            let mut used = self.used.lock();
            *used = used.saturating_sub(bytes);
            self.freed.notify_all();
        }
    }
}

/// Buffers for the next requests of the same connection; they still hold what was in them.
#[derive(Default)]
pub(crate) struct Buffers {
    kept: Mutex<(usize, Vec<Vec<u8>>)>,
}

impl Buffers {
    /// A buffer of `length` bytes with any content: whoever takes it fills it.
    pub fn get(&self, length: usize) -> Vec<u8> {
        let old = {
            let mut kept = self.kept.lock();
            let old = kept.1.pop();
            kept.0 = kept.0.saturating_sub(old.as_ref().map_or(0, Vec::capacity));
            old
        };
        match old {
            Some(mut buffer) if buffer.capacity() >= length => {
                buffer.resize(length, 0);
                buffer
            }
            // Memory that the system zeroes only when it is touched.
            _ => vec![0; length],
        }
    }

    /// Keeps a buffer, or drops it.
    pub fn put(&self, buffer: Vec<u8>) {
        let mut kept = self.kept.lock();
        let bytes = kept.0.saturating_add(buffer.capacity());
        if buffer.capacity() != 0 && bytes <= KEPT && kept.1.len() < KEPT_COUNT {
            kept.0 = bytes;
            kept.1.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_one_always_fits() {
        let budget = Budget::new(100);
        assert!(budget.try_take(1000));
        assert!(!budget.try_take(1));
        budget.give(1000);
        budget.take(60);
        assert!(budget.try_take(40) && !budget.try_take(1));
        budget.give(60);
        assert!(budget.try_take(60));
    }

    #[test]
    fn buffers_have_the_length_asked_for() {
        let buffers = Buffers::default();
        for length in [4096, 100, 8192, 0, 4096, 5 << 20, 1] {
            let buffer = buffers.get(length);
            assert_eq!(buffer.len(), length);
            buffers.put(buffer);
        }
        assert!(buffers.kept.lock().0 <= KEPT);
    }
}
