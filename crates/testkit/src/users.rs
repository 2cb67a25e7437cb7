//! Acting as another user, in the calling thread only.

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A user that is also in the group of the user that comes next.
const JOINER: u32 = 61_001;

/// Runs `f` as this user and group, and no other group except where `JOINER` says so. Needs root, and comes back to it.
pub fn as_user<T>(uid: u32, f: impl FnOnce() -> T) -> T {
    if uid == 0 {
        return f();
    }
    let (id, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    let joined = Gid::from_raw(uid + 1);
    let groups = if uid == JOINER { vec![group, joined] } else { vec![group] };
    set_thread_groups(&groups).unwrap();
    set_thread_res_gid(None, group, None).unwrap();
    set_thread_res_uid(None, id, None).unwrap();
    let result = f();
    set_thread_res_uid(None, Uid::ROOT, None).unwrap();
    set_thread_res_gid(None, Gid::ROOT, None).unwrap();
    set_thread_groups(&[Gid::ROOT]).unwrap();
    result
}

/// Whether tests that need several users can run.
#[must_use]
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}
