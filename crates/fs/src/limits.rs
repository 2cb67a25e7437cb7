//! Quota and capacity of a volume: checked before anything is changed.
//!
//! The quota counts live blocks only (`EDQUOT`), the capacity live blocks and what snapshots hold
//! (`ENOSPC`). What snapshots hold is asked from the store at most once a second.

use crate::error::{Result, refuse};
use crate::vfs::Statfs;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tintype_model::VolumeId;
use tintype_store::Store;

/// Bytes of a block.
const BLOCK: u64 = tintype_store::BLOCK as u64;
/// Blocks that are shown when no limit is known: 1 PiB.
const PLENTY: u64 = 1 << 38;
const FRESH: Duration = Duration::from_millis(500);
/// How long the figures are trusted when room is short.
const SHORT: Duration = Duration::from_millis(20);
/// Bytes of the store's disk that growing files leave alone, so that commits, deletes and cleaning go on.
const RESERVE: (u64, u64) = (64 << 20, 256 << 20);

fn reserve(total: u64) -> u64 {
    (total / 8).clamp(RESERVE.0.min(total / 2), RESERVE.1)
}

/// Total and free bytes of where the store lies.
pub type Space = (u64, u64);
/// Asks how much room the store has.
pub type SpaceProbe = Box<dyn Fn() -> Option<Space> + Send + Sync>;

#[derive(Default)]
struct Known {
    quota: Option<u64>,
    capacity: Option<u64>,
    held: u64,
    /// The volume has snapshots: what is replaced may stay.
    snapshots: bool,
    /// Bytes replaced since `held` was told.
    replaced: u64,
    commits: u64,
    space: Option<Space>,
    asked: Option<Instant>,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Blocks that are mapped afterwards and were not before.
    pub(crate) grow: u64,
    /// Blocks whose old content an earlier moment may go on holding.
    pub(crate) replace: u64,
}

/// The limits of one tree.
pub(crate) struct Limits {
    volume: Option<VolumeId>,
    known: Mutex<Known>,
    probe: Mutex<Option<SpaceProbe>>,
}

impl Limits {
    /// Limits of a volume, or none for a writable snapshot.
    pub(crate) fn new(volume: Option<VolumeId>) -> Self {
        Self { volume, known: Mutex::default(), probe: Mutex::default() }
    }

    /// Says how to ask for the room that the store has.
    pub(crate) fn set_probe(&self, probe: SpaceProbe) {
        *self.probe.lock() = Some(probe);
    }

    /// Sets the limits as the volume's metadata says.
    pub(crate) fn set(&self, quota: Option<u64>, capacity: Option<u64>) {
        let mut known = self.known.lock();
        (known.quota, known.capacity, known.asked) = (quota, capacity, None);
    }

    /// Asks the store again when the figures are old. Not to be called under a tree's lock.
    pub(crate) fn refresh(&self, store: &Store) {
        let mut known = self.known.lock();
        let roomy = known.space.is_some_and(|(total, free)| free > reserve(total) * 16);
        let trusted = if roomy && known.capacity.is_none() { FRESH } else { SHORT };
        if known.asked.is_some_and(|at| at.elapsed() < trusted) {
            return;
        }
        known.asked = Some(Instant::now());
        let capacity = known.capacity.is_some();
        drop(known);
        let (held, snapshots) = match self.volume {
            Some(volume) if capacity => {
                (store.usage_lately(volume).snapshot_bytes, store.has_snapshots(volume))
            }
            _ => (0, false),
        };
        let waiting = store.unwritten_bytes();
        let space = self.probe.lock().as_ref().and_then(|probe| probe());
        let commits = store.commits();
        let mut known = self.known.lock();
        known.space = space.map(|(total, free)| (total, free.saturating_sub(waiting)));
        known.snapshots = snapshots;
        if known.commits != commits || held != known.held {
            (known.held, known.commits, known.replaced) = (held, commits, 0);
        }
    }

    /// Whether a tree with `live` blocks may do something with this need.
    pub(crate) fn check(&self, live: u64, need: Need) -> Result<()> {
        let mut known = self.known.lock();
        let bytes = |blocks: u64| blocks.saturating_mul(BLOCK);
        let after = bytes(live.saturating_add(need.grow));
        if need.grow > 0 && known.quota.is_some_and(|quota| after > quota) {
            return refuse(libc::EDQUOT);
        }
        let replace = if known.snapshots || known.held > 0 { need.replace } else { 0 };
        let replaced = known.replaced.saturating_add(bytes(replace));
        let with_held = after.saturating_add(known.held).saturating_add(replaced);
        let more = need.grow > 0 || replace > 0;
        if more && known.capacity.is_some_and(|capacity| with_held > capacity) {
            return refuse(libc::ENOSPC);
        }
        let short = |(total, free): Space| bytes(need.grow).saturating_add(reserve(total)) > free;
        if need.grow > 0 && known.space.is_some_and(short) {
            return refuse(libc::ENOSPC);
        }
        known.replaced = replaced;
        Ok(())
    }

    /// Figures for `statfs` of a tree with these live blocks and inodes.
    pub(crate) fn statfs(&self, live: u64, inodes: u64) -> Statfs {
        let known = self.known.lock();
        let mut total = known.space.map_or(PLENTY, |space| space.0 / BLOCK);
        let mut free = known.space.map_or(PLENTY.saturating_sub(live), |space| space.1 / BLOCK);
        if let Some(capacity) = known.capacity.map(|bytes| bytes / BLOCK) {
            total = total.min(capacity);
            free = free.min(capacity.saturating_sub(live).saturating_sub(known.held / BLOCK));
        }
        if let Some(quota) = known.quota.map(|bytes| bytes / BLOCK) {
            total = total.min(quota);
            free = free.min(quota.saturating_sub(live));
        }
        Statfs {
            block_size: BLOCK as u32,
            blocks: total,
            free,
            available: free,
            files: PLENTY,
            files_free: PLENTY.saturating_sub(inodes),
            name_max: crate::names::NAME_MAX as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn grow(grow: u64) -> Need {
        Need { grow, replace: 0 }
    }

    #[test]
    fn quota_and_capacity_are_told_apart() {
        let limits = Limits::new(None);
        assert!(limits.check(1 << 30, grow(1)).is_ok());
        limits.set(Some(8 * BLOCK), Some(10 * BLOCK));
        assert!(limits.check(7, grow(1)).is_ok());
        assert_eq!(limits.check(8, grow(1)).unwrap_err().errno().0, libc::EDQUOT);
        limits.known.lock().held = 4 * BLOCK;
        assert_eq!(limits.check(6, grow(1)).unwrap_err().errno().0, libc::ENOSPC);
        assert!(limits.check(9, grow(0)).is_ok());
        let replace = Need { grow: 0, replace: 1 };
        assert_eq!(limits.check(6, replace).unwrap_err().errno().0, libc::ENOSPC);
        assert_eq!(limits.statfs(5, 1).free, 1);
    }
}
