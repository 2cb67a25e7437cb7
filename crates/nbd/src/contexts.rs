//! Names of metadata contexts: what clients ask for, and what a device has.
//!
//! "Changed since" has two names: ours, and the one that QEMU, libnbd and backup programs ask for today.

use crate::port::{Context, Device};

/// Contexts of one device that are named one by one; what lies beyond is reached by asking for it by name.
const LISTED_MAX: usize = 4096;
/// Contexts that one connection may use.
pub(crate) const CHOSEN_MAX: usize = 64;

const ALLOCATION: &str = "base:allocation";
const DEPTH: &str = "qemu:allocation-depth";
/// Before the name of a snapshot.
const CHANGED: [&str; 2] = ["tintype:changed-since:", "qemu:dirty-bitmap:"];

/// The context of this device that a client calls `name`.
pub(crate) fn find(device: &dyn Device, name: &str) -> Option<Context> {
    match name {
        ALLOCATION => return Some(Context::Allocation),
        DEPTH => return Some(Context::Depth),
        _ => {}
    }
    let snapshot = CHANGED.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let known = !snapshot.is_empty() && device.has_snapshot(snapshot);
    known.then(|| Context::ChangedSince(snapshot.to_owned()))
}

/// Names that match a query of `LIST_META_CONTEXT`: a whole name, a namespace (`qemu:`), or a prefix that stands before
/// snapshots. No query at all asks for everything.
pub(crate) fn list(device: &dyn Device, queries: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let asked = |name: &str| queries.is_empty() || queries.contains(&name);
    let namespace =
        |name: &str| name.split_once(':').map_or("", |(space, _)| space).to_owned() + ":";
    for fixed in [ALLOCATION, DEPTH] {
        if asked(fixed) || asked(&namespace(fixed)) {
            found.push(fixed.to_owned());
        }
    }
    let wild: Vec<&str> =
        CHANGED.into_iter().filter(|prefix| asked(prefix) || asked(&namespace(prefix))).collect();
    if !wild.is_empty() {
        let snapshots = device.snapshots(LISTED_MAX);
        for prefix in wild {
            found.extend(snapshots.iter().map(|name| format!("{prefix}{name}")));
            if snapshots.len() >= LISTED_MAX {
                found.push(prefix.to_owned());
            }
        }
    }
    for query in queries {
        if find(device, query).is_some() && !found.iter().any(|name| name == query) {
            found.push((*query).to_owned());
        }
    }
    found
}

/// The contexts that `SET_META_CONTEXT` chooses, each once, with the name that the client used. Nothing when they are
/// too many.
pub(crate) fn choose(device: &dyn Device, queries: &[&str]) -> Option<Vec<(String, Context)>> {
    let mut chosen: Vec<(String, Context)> = Vec::new();
    for query in queries {
        let Some(context) = find(device, query) else { continue };
        if !chosen.iter().any(|(name, _)| name == query) {
            chosen.push(((*query).to_owned(), context));
        }
        if chosen.len() > CHOSEN_MAX {
            return None;
        }
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn wildcards_list_and_only_whole_names_choose() {
        let disk = MemoryDisk::new(1 << 20);
        disk.snapshot("a");
        disk.snapshot("b");
        let all = list(&disk, &[]);
        assert_eq!(all.len(), 6, "{all:?}");
        assert_eq!(list(&disk, &["base:"]), ["base:allocation"]);
        let qemu = ["qemu:allocation-depth", "qemu:dirty-bitmap:b", "qemu:dirty-bitmap:a"];
        assert_eq!(list(&disk, &["qemu:"]), qemu);
        assert_eq!(list(&disk, &["qemu:dirty-bitmap:"]), qemu[1..]);
        assert_eq!(list(&disk, &["qemu:dirty-bitmap:a"]), ["qemu:dirty-bitmap:a"]);
        assert!(list(&disk, &["qemu:dirty-bitmap:c", "x-other:", "nothing", ""]).is_empty());
        let chosen = choose(&disk, &["base:", "base:allocation", "base:allocation", "qemu:", "x"]);
        assert_eq!(chosen.unwrap(), [("base:allocation".to_owned(), Context::Allocation)]);
        let name = "tintype:changed-since:b";
        let chosen = choose(&disk, &[name, "tintype:changed-since:"]).unwrap();
        assert_eq!(chosen, [(name.to_owned(), Context::ChangedSince("b".into()))]);
    }

    #[test]
    fn many_snapshots_end_in_a_wildcard_and_can_still_be_chosen() {
        let disk = MemoryDisk::new(1 << 20);
        let names: Vec<String> = (0..5000).map(|n| format!("s{n}")).collect();
        names.iter().for_each(|name| disk.snapshot(name));
        let all = list(&disk, &["qemu:dirty-bitmap:"]);
        assert_eq!(all.len(), 4097);
        assert_eq!(all.last().unwrap(), "qemu:dirty-bitmap:");
        assert!(choose(&disk, &["qemu:dirty-bitmap:s0"]).is_some_and(|c| c.len() == 1));
        let queries: Vec<String> = names.iter().map(|n| format!("qemu:dirty-bitmap:{n}")).collect();
        let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
        assert!(choose(&disk, &queries).is_none());
    }
}
