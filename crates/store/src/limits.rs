//! Quota and capacity of a volume, and the room on the store's disk: checked before anything is changed.
//!
//! The quota counts live blocks only; the capacity live blocks, live records and what snapshots hold,
//! each as `fs show` counts it. Whatever grows leaves a reserve of the disk alone; what takes away is never refused.
//! What snapshots hold is asked from the store at most once in a while. Records are counted while the tree is
//! open, from what the store says at its opening: see [`Limits::records_at_opening`].

use crate::error::Result;
use crate::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_model::VolumeId;

/// Bytes of a block.
const BLOCK: u64 = crate::BLOCK as u64;
/// Bytes of records that a file takes at least: its inode and its name.
const FILE: u64 = 192;
/// Blocks that are shown when no limit is known: 1 PiB.
pub const PLENTY: u64 = 1 << 38;
const FRESH: Duration = Duration::from_millis(500);
/// How long the figures are trusted when room is short.
const SHORT: Duration = Duration::from_millis(20);
/// Bytes of the store's disk that growing files leave alone beyond what the store says that it needs: for records that turn out larger
/// than was estimated, and for what other trees take between two questions.
const SLACK: (u64, u64) = (3 << 20, 256 << 20);

fn slack(total: u64) -> u64 {
    (total / 32).clamp(SLACK.0.min(total / 16), SLACK.1)
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
    /// Bytes of the disk that are left alone.
    reserve: u64,
    /// Bytes that data which was accepted meanwhile may still take: all but what the store keeps for itself.
    data: Option<u64>,
    asked: Option<Instant>,
}

impl Known {
    /// Bytes of the disk that growth may take.
    fn usable(&self) -> Option<u64> {
        self.space.map(|(_, free)| free.saturating_sub(self.reserve))
    }
}

/// Why something may not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The volume's quota of live data would be passed.
    #[error("the quota of the volume is used up")]
    Quota,
    /// The volume's capacity of live data and snapshots would be passed.
    #[error("the capacity of the volume is used up")]
    Capacity,
    /// The disk below the store would lose its reserve.
    #[error("the disk below the store is full but for its reserve")]
    Room,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Blocks that are mapped afterwards and were not before.
    pub grow: u64,
    /// Blocks whose old content an earlier moment may go on holding.
    pub replace: u64,
    /// Bytes of records that come on top.
    pub records: u64,
}

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Mapped or reserved blocks.
    pub blocks: u64,
    /// Bytes of records.
    pub records: u64,
}

/// The limits of one tree.
pub struct Limits {
    volume: Option<VolumeId>,
    known: Mutex<Known>,
    probe: Arc<Mutex<Option<SpaceProbe>>>,
}

impl Limits {
    /// Limits of a volume, or none for a writable snapshot.
    pub fn new(volume: Option<VolumeId>) -> Self {
        Self { volume, known: Mutex::default(), probe: Arc::default() }
    }

    /// Limits of a writable snapshot that lies on the disk of `other`: it has no others.
    pub fn beside(other: &Self) -> Self {
        Self { volume: None, known: Mutex::default(), probe: Arc::clone(&other.probe) }
    }

    /// Bytes of records of a tree that was just opened, as well as the store can tell them from data: what a clone shares with its
    /// origin counts there, and reserved blocks have no data, so it may be too few, but never fewer than the inodes need.
    pub fn records_at_opening(&self, store: &Store, blocks: u64, inodes: u64) -> u64 {
        let live = self.volume.map_or(0, |volume| store.usage_lately(volume).live_bytes);
        live.saturating_sub(blocks.saturating_mul(BLOCK)).max(inodes.saturating_mul(FILE))
    }

    /// Says how to ask for the room that the store has.
    pub fn set_probe(&self, probe: SpaceProbe) {
        *self.probe.lock() = Some(probe);
    }

    /// Sets the limits as the volume's metadata says.
    pub fn set(&self, quota: Option<u64>, capacity: Option<u64>) {
        let mut known = self.known.lock();
        (known.quota, known.capacity, known.asked) = (quota, capacity, None);
    }

    /// Asks the store again when the figures are old. Not to be called under a tree's lock.
    pub fn refresh(&self, store: &Store) {
        let mut known = self.known.lock();
        let roomy = known.space.is_some_and(|(_, free)| free / 16 > known.reserve);
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
        let (commits, kept) = (store.commits(), store.kept_bytes());
        let mut known = self.known.lock();
        known.space = space.map(|(total, free)| (total, free.saturating_sub(waiting)));
        known.reserve = space.map_or(0, |(total, _)| slack(total).saturating_add(kept));
        known.data = space.map(|(_, free)| free.saturating_sub(waiting).saturating_sub(kept));
        known.snapshots = snapshots;
        if known.commits != commits || held != known.held {
            (known.held, known.commits, known.replaced) = (held, commits, 0);
        }
    }

    /// Refreshes the figures, and refuses data for which the disk has no room, also where it replaces other data: that goes only after
    /// what replaces it is on disk. What was accepted without room would keep everything after it waiting, deletes too. When
    /// room is short, it waits a moment for what is freed. Not to be called under a tree's lock.
    ///
    /// # Errors
    /// [`crate::StoreError::TooMuchWaits`], or the store has stopped.
    pub fn admit(&self, store: &Store, bytes: usize) -> Result<()> {
        self.refresh(store);
        store.admit(true)?;
        let wanted = (bytes as u64).saturating_add(bytes as u64 / 8).saturating_add(BLOCK);
        if self.take(wanted) {
            return Ok(());
        }
        // The figures may count twice what was written twice.
        self.refresh_now(store);
        if self.take(wanted) {
            return Ok(());
        }
        store.wait_for_room();
        self.refresh_now(store);
        if self.take(wanted) { Ok(()) } else { Err(store.too_much_waits()) }
    }

    /// Notes that data takes so much, if there is so much.
    fn take(&self, bytes: u64) -> bool {
        let mut known = self.known.lock();
        let Some(left) = known.data else { return true };
        let rest = left.checked_sub(bytes);
        known.data = rest.or(Some(left));
        rest.is_some()
    }

    fn refresh_now(&self, store: &Store) {
        self.known.lock().asked = None;
        self.refresh(store);
    }

    /// Whether a tree that holds `live` may do something with this need.
    ///
    /// # Errors
    /// Which limit forbids it.
    pub fn check(&self, live: Live, need: Need) -> Result<(), Refusal> {
        let mut known = self.known.lock();
        let bytes = |blocks: u64| blocks.saturating_mul(BLOCK);
        let after = bytes(live.blocks.saturating_add(need.grow));
        if need.grow > 0 && known.quota.is_some_and(|quota| after > quota) {
            return Err(Refusal::Quota);
        }
        let replace = if known.snapshots || known.held > 0 { need.replace } else { 0 };
        let replaced = known.replaced.saturating_add(bytes(replace));
        let records = live.records.saturating_add(need.records);
        let with_held =
            after.saturating_add(records).saturating_add(known.held).saturating_add(replaced);
        let grows = need.grow > 0 || need.records > 0;
        let more = grows || replace > 0;
        if more && known.capacity.is_some_and(|capacity| with_held > capacity) {
            return Err(Refusal::Capacity);
        }
        let wanted = bytes(need.grow).saturating_add(need.records);
        if grows && known.usable().is_some_and(|usable| wanted > usable) {
            return Err(Refusal::Room);
        }
        if let Some((_, free)) = &mut known.space {
            // Nobody asks the disk again for a while.
            *free = free.saturating_sub(wanted);
        }
        known.replaced = replaced;
        Ok(())
    }

    /// All blocks, and free blocks that can be used, as the limits allow something that holds this.
    pub fn room(&self, holds: Live) -> (u64, u64) {
        let known = self.known.lock();
        let live = holds.blocks;
        let mut total = known.space.map_or(PLENTY, |space| space.0 / BLOCK);
        let usable = known.usable().map(|bytes| bytes / BLOCK);
        let mut free = usable.unwrap_or_else(|| PLENTY.saturating_sub(live));
        if let Some(capacity) = known.capacity.map(|bytes| bytes / BLOCK) {
            total = total.min(capacity);
            let rest = known.held.saturating_add(holds.records).div_ceil(BLOCK);
            free = free.min(capacity.saturating_sub(live).saturating_sub(rest));
        }
        if let Some(quota) = known.quota.map(|bytes| bytes / BLOCK) {
            total = total.min(quota);
            free = free.min(quota.saturating_sub(live));
        }
        (total, free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn grow(grow: u64) -> Need {
        Need { grow, replace: 0, records: 0 }
    }

    const fn blocks(blocks: u64) -> Live {
        Live { blocks, records: 0 }
    }

    #[test]
    fn quota_and_capacity_are_told_apart() {
        let limits = Limits::new(None);
        assert!(limits.check(blocks(1 << 30), grow(1)).is_ok());
        limits.set(Some(8 * BLOCK), Some(10 * BLOCK));
        assert!(limits.check(blocks(7), grow(1)).is_ok());
        assert_eq!(limits.check(blocks(8), grow(1)), Err(Refusal::Quota));
        limits.known.lock().held = 4 * BLOCK;
        assert_eq!(limits.check(blocks(6), grow(1)), Err(Refusal::Capacity));
        assert!(limits.check(blocks(9), grow(0)).is_ok());
        let replace = Need { replace: 1, ..Need::default() };
        assert_eq!(limits.check(blocks(6), replace), Err(Refusal::Capacity));
        assert_eq!(limits.room(blocks(5)).1, 1);
    }

    #[test]
    fn records_count_for_the_capacity_and_the_disk_but_not_for_the_quota() {
        let limits = Limits::new(None);
        limits.set(Some(8 * BLOCK), Some(10 * BLOCK));
        let need = Need { records: 100, ..Need::default() };
        let live = Live { blocks: 8, records: 2 * BLOCK - 100 };
        assert!(limits.check(live, need).is_ok());
        let live = Live { records: live.records + 1, ..live };
        assert_eq!(limits.check(live, need), Err(Refusal::Capacity));
        assert_eq!(limits.room(Live { blocks: 5, records: BLOCK + 1 }).1, 3);
        limits.set(None, None);
        assert!(limits.check(live, need).is_ok());
        limits.known.lock().space = Some((1 << 40, 99));
        assert_eq!(limits.check(live, need), Err(Refusal::Room));
        assert!(limits.check(live, Need::default()).is_ok());
    }

    /// What is offered can be used, to the block, without asking the disk in between; and a small disk is not mostly reserve.
    #[test]
    fn what_the_disk_is_said_to_have_can_be_used() {
        for total in [64 << 20, 107 << 20, 200 << 20, 1 << 30, 1 << 40_u64] {
            let limits = Limits::new(None);
            let reserve = slack(total);
            assert!(reserve <= total / 16, "{total}");
            (limits.known.lock().space, limits.known.lock().reserve) =
                (Some((total, total)), reserve);
            let (all, free) = limits.room(blocks(0));
            assert_eq!((all, free), (total / BLOCK, (total - reserve) / BLOCK));
            assert_eq!(limits.check(blocks(0), grow(free - 1)), Ok(()));
            assert_eq!(limits.room(blocks(free - 1)).1, 1);
            assert_eq!(limits.check(blocks(free - 1), grow(1)), Ok(()));
            assert_eq!(limits.check(blocks(free), grow(1)), Err(Refusal::Room));
        }
    }
}
