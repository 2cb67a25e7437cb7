//! What each volume uses: told from memory, as of the last commit.
//!
//! The exact sums walk all cells where clones share data. A commit only moves them by what it changed itself; they are counted anew when moments
//! change, and when somebody asks.

use crate::store::{Core, Store};
use std::collections::HashMap;
use tintype_history::SpaceId;
use tintype_model::VolumeId;

/// Accounted bytes of a volume: 4,096 for each referenced block plus the size of each record version.
///
/// What several volumes see counts once: at the one that wrote it while it has a moment that sees it, then at the one with the
/// oldest moment that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Alive in the live volume, what counts at another volume left out.
    pub live_bytes: u64,
    /// Held by snapshots and writable snapshots only.
    pub snapshot_bytes: u64,
}

/// What the exact sums are above those that a commit keeps.
#[derive(Default)]
pub(crate) struct Beyond {
    /// Of what each head shows.
    shown: HashMap<SpaceId, i64>,
    /// Of what each volume pays for.
    paid: HashMap<u64, i64>,
}

impl Store {
    /// What a volume uses, exactly, as of the last commit.
    #[must_use]
    pub fn usage(&self, volume: VolumeId) -> Usage {
        let mut core = self.core();
        core.usage_stale |= core.history.tree().is_mixed();
        self.publish_usage(&mut core);
        drop(core);
        self.usage_lately(volume)
    }

    /// What a volume uses, as of the last commit; data that passed from one volume to a clone since moments last changed may still count at
    /// the first. Takes no lock that a commit holds.
    #[must_use]
    pub fn usage_lately(&self, volume: VolumeId) -> Usage {
        self.usage.read().get(&volume).map_or_else(Usage::default, |(usage, _)| *usage)
    }

    pub(crate) fn publish_usage(&self, core: &mut Core) {
        let totals = core.history.tree().totals();
        if std::mem::take(&mut core.usage_stale) {
            core.beyond = beyond(core, &totals);
        }
        let tree = core.history.tree();
        let usage = core.catalog.volumes.values().map(|volume| {
            let total = totals.get(&volume.id.0).copied().unwrap_or(0);
            let more = core.beyond.paid.get(&volume.id.0).copied().unwrap_or(0);
            let total = total.saturating_add_signed(more);
            let more = core.beyond.shown.get(&volume.space).copied().unwrap_or(0);
            let shown = tree.drift(volume.space).saturating_add(more);
            let live_bytes = total.min(u64::try_from(shown).unwrap_or(0));
            let usage = Usage { live_bytes, snapshot_bytes: total - live_bytes };
            (volume.id, (usage, core.catalog.count(volume.id) > 0))
        });
        *self.usage.write() = usage.collect();
    }
}

fn beyond(core: &Core, totals: &HashMap<u64, u64>) -> Beyond {
    let tree = core.history.tree();
    let above = |exact: u64, kept: i64| exact.cast_signed().saturating_sub(kept);
    let paid = tree.paid();
    let volumes = core.catalog.volumes.values();
    Beyond {
        shown: volumes
            .clone()
            .map(|volume| (volume.space, above(tree.shown(volume.space), tree.drift(volume.space))))
            .collect(),
        paid: volumes
            .map(|volume| {
                let of = |sums: &HashMap<u64, u64>| sums.get(&volume.id.0).copied().unwrap_or(0);
                (volume.id.0, above(of(&paid), of(totals).cast_signed()))
            })
            .collect(),
    }
}
