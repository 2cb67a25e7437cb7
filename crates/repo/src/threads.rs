//! How many threads some work gets.

/// As many as wanted; 0: as many as processors.
pub(crate) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        some => some,
    }
}
