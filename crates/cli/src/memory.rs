//! How the allocator treats memory in commands on repositories: what is freed goes back to the system at once, and no page is larger than it must be.
//!
//! These commands free large buffers again and again. The allocator keeps what is free for ten seconds, and the kernel fills a touched buffer up to
//! the next 2 MiB: together a third to a half of the memory of a backup, for no gain in time. A server keeps both, since what it frees it soon
//! needs again.

#![allow(unsafe_code)]

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, for which the crate has no name.
const PURGE_DELAY: mi_option_t = 15;

/// Sets this process up for such a command. A failure costs memory and nothing else.
pub fn frugal() {
    // SAFETY: sets one number of the allocator's options, which all threads may do at any time; no memory of ours is touched.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads a number.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000, "milliseconds, as the allocator documents its default");
        frugal();
        assert_eq!(get(), 0);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"])));
    }
}
