//! The last lines of the log, for a support bundle.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Lines that are kept.
const LINES: usize = 1000;
/// Bytes of a line that are kept.
const LINE: usize = 2000;

/// Keeps them; clones keep the same.
#[derive(Clone, Debug, Default)]
pub struct RecentLog(Arc<Mutex<VecDeque<String>>>);

impl RecentLog {
    /// One or more whole lines.
    pub fn add(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut kept = self.0.lock();
        for line in text.lines() {
            if kept.len() >= LINES {
                kept.pop_front();
            }
            kept.push_back(line.chars().take(LINE).collect());
        }
    }

    /// Those that are kept, the oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_stay() {
        let log = RecentLog::default();
        (0..LINES + 5).for_each(|n| log.add(format!("{n}\n").as_bytes()));
        let lines = log.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (LINES, "5"));
        log.add("ä".repeat(3 * LINE).as_bytes());
        assert_eq!(log.lines().last().unwrap().chars().count(), LINE);
    }
}
