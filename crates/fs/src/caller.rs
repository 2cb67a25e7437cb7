//! What the system tells of a program that waits in a call to us, where the call itself does not say it.
//!
//! The shutdown ioctl carries its flag only as a pointer: four bytes of the program's memory. Whether set-group-id falls can
//! depend on all groups of the caller, of which a call carries one. The kernel offers both as files, so no unsafe code is
//! needed. Memory asks for the rights of a debugger, which a server for several users has; groups can be read by all.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::vfs::Caller;

/// The capability to keep set-id bits, as a bit of the effective set.
const CAP_FSETID: u64 = 1 << 4;

/// The number at `address` in process `pid`, if it can be read.
pub(crate) fn read_u32(pid: u32, address: u64) -> Option<u32> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 4];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// Whether set-group-id of a file of group `gid` stays when `who` changes it: the caller is in the group, or privileged.
///
/// Who cannot be asked, because it has ended or is out of sight, is taken for what the call says: its own group, and root.
pub(crate) fn keeps_set_group_id(who: &Caller, gid: u32) -> bool {
    let told = (who.pid > 0).then(|| fs::read_to_string(format!("/proc/{}/status", who.pid)).ok());
    match told.flatten() {
        _ if who.gid == gid => true,
        Some(status) => is_member(&status, gid) || (may_keep(&status) && is_of_our_world(who.pid)),
        None => who.uid == 0,
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn is_member(status: &str, gid: u32) -> bool {
    let groups = field(status, "Groups:").unwrap_or_default();
    groups.split_whitespace().any(|group| group.parse() == Ok(gid))
}

fn may_keep(status: &str) -> bool {
    let set = field(status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    set.is_some_and(|set| set & CAP_FSETID != 0)
}

/// Rights inside a user namespace of its own are no rights over our files.
fn is_of_our_world(pid: u32) -> bool {
    let world = |who: &str| fs::read_link(format!("/proc/{who}/ns/user")).ok();
    world("self").is_some_and(|ours| world(&pid.to_string()) == Some(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_can_be_read() {
        let value = Box::new(0x1234_5678_u32);
        let address = std::ptr::from_ref(&*value) as u64;
        assert_eq!(read_u32(std::process::id(), address), Some(*value));
        assert_eq!(read_u32(std::process::id(), 8), None);
    }

    #[test]
    fn groups_and_capabilities_are_read() {
        let status = "Name:\tx\nGroups:\t4 24 1000 \nCapEff:\t0000000000000010\n";
        assert!(is_member(status, 24) && is_member(status, 1000));
        assert!(!is_member(status, 100) && !is_member("Groups:\t\n", 0));
        assert!(may_keep(status));
        assert!(!may_keep("CapEff:\t000000000000000f\n") && !may_keep(""));
        assert!(is_of_our_world(std::process::id()));
    }

    #[test]
    fn who_cannot_be_asked_is_taken_at_its_word() {
        let who = Caller { uid: 7, gid: 8, pid: 0 };
        assert!(keeps_set_group_id(&who, 8));
        assert!(!keeps_set_group_id(&who, 9));
        assert!(keeps_set_group_id(&Caller { uid: 0, ..who }, 9));
    }
}
