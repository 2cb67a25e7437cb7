//! Whether every directory hangs from the root.

use super::log::Log;
use crate::keys::ROOT_INO;

/// What is known of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing.
    No,
    /// It lies on the way that is being walked.
    Now,
    /// Its way was walked before.
    Before,
}

/// Walks from each directory up. A parent that does not exist is told where its names are checked.
pub(super) fn check(dirs: &[(u64, u64)], log: &mut Log) {
    let mut seen = vec![Seen::No; dirs.len()];
    for start in 0..dirs.len() {
        if let Some(ino) = walk(dirs, &mut seen, start) {
            log.of(ino, "is a directory that lies within itself, so nothing leads to it");
        }
    }
}

/// Walks up; answers a directory of a loop that was closed.
fn walk(dirs: &[(u64, u64)], seen: &mut [Seen], start: usize) -> Option<u64> {
    let mut way = Vec::new();
    let mut at = Some(start);
    let mut looped = None;
    while let Some(place) = at {
        let (Some(&(ino, parent)), Some(state)) = (dirs.get(place), seen.get_mut(place)) else {
            break;
        };
        if *state != Seen::No {
            looped = (*state == Seen::Now).then_some(ino);
            break;
        }
        *state = Seen::Now;
        way.push(place);
        at = if ino == ROOT_INO {
            None
        } else {
            dirs.binary_search_by_key(&parent, |dir| dir.0).ok()
        };
    }
    for place in way {
        if let Some(state) = seen.get_mut(place) {
            *state = Seen::Before;
        }
    }
    looped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_told_once() {
        let mut log = Log::default();
        check(&[(1, 1), (2, 1), (3, 2), (4, 6), (5, 4), (6, 5), (7, 5), (8, 99)], &mut log);
        assert_eq!(log.report.problems.iter().map(|p| p.ino).collect::<Vec<_>>(), [Some(4)]);
    }
}
