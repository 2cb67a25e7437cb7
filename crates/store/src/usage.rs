//! What each volume uses: told from memory, as of the last commit.
//!
//! The exact sums walk the cells of a *family*: a root space with all that forked from it, so the clones of one volume. A commit only moves them
//! by what it changed itself; they are counted anew when moments of the family change, and when somebody asks. Nothing here costs more with
//! more volumes than those that changed: a large family, say thousands of clones of one disk, waits to be counted until somebody asks or the
//! background has time for it, which it takes a small part of. Until then its volumes show what was counted last, moved by what they wrote.

use crate::meta::{Catalog, Volume};
use crate::store::{Core, Store};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};
use tintype_history::{FamilySums, Moved, SpaceId, Tree};
use tintype_model::VolumeId;

/// Families of so many spaces are counted with the change, larger ones later.
const COUNTED_AT_ONCE: usize = 64;
/// The background counts for one part in so many of the time.
const COUNT_SHARE: u32 = 32;

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

/// The sums behind [`Usage`].
#[derive(Default)]
pub(crate) struct Sums {
    /// Tag and weight of each space.
    spaces: HashMap<SpaceId, (u64, u64)>,
    /// Weights by tag: what a commit keeps right.
    totals: HashMap<u64, u64>,
    /// What each volume pays for above its total.
    paid: HashMap<u64, i64>,
    /// What each head shows above what its cells say.
    shown: HashMap<SpaceId, i64>,
    /// What each family has put into `paid` and `shown`, by its root.
    families: HashMap<SpaceId, Beyond>,
    /// Roots of families whose cells moved since they were counted.
    drifted: BTreeSet<SpaceId>,
    /// Roots of large families of which moments changed since they were counted.
    overdue: BTreeSet<SpaceId>,
    /// When the background may count again.
    next_count: Option<Instant>,
}

/// What the exact sums of a family are above those that a commit keeps; what is 0 is left out.
#[derive(Default)]
struct Beyond {
    paid: Vec<(u64, i64)>,
    shown: Vec<(SpaceId, i64)>,
}

impl Sums {
    /// Takes in what moved. Answers the tags of which something may be another than before.
    fn follow(&mut self, tree: &Tree, moved: &Moved) -> BTreeSet<u64> {
        let mut tags = BTreeSet::new();
        for space in moved.cells.union(&moved.shape) {
            self.weigh(tree, *space, &mut tags);
            if tree.get(*space).is_some() {
                self.drifted.insert(tree.root(*space));
            }
        }
        let roots: BTreeSet<_> = moved.shape.iter().map(|space| tree.root(*space)).collect();
        for root in roots {
            if tree.is_larger(root, COUNTED_AT_ONCE) {
                self.overdue.insert(root);
            } else {
                self.recount(tree, root, &mut tags);
            }
        }
        tags
    }

    /// Whether the exact sums of a root's family may be others than these.
    fn is_due(&self, tree: &Tree, root: SpaceId) -> bool {
        self.overdue.contains(&root) || self.drifted.contains(&root) && tree.is_shared(root)
    }

    /// Whether what this volume shows is not known until its family is counted.
    fn is_unknown(&self, tree: &Tree, volume: &Volume) -> bool {
        !self.overdue.is_empty()
            && !self.shown.contains_key(&volume.space)
            && self.overdue.contains(&tree.root(volume.space))
    }

    /// Counts one family that is overdue, unless that was done lately.
    fn count_one(&mut self, tree: &Tree, tags: &mut BTreeSet<u64>) {
        let start = Instant::now();
        if self.next_count.is_some_and(|next| start < next) {
            return;
        }
        let Some(root) = self.overdue.first().copied() else { return };
        self.recount(tree, root, tags);
        let rest = (start.elapsed() * COUNT_SHARE).max(Duration::from_millis(100));
        self.next_count = Instant::now().checked_add(rest);
    }

    fn weigh(&mut self, tree: &Tree, space: SpaceId, tags: &mut BTreeSet<u64>) {
        let new = tree.get(space).map(|found| (found.tag, tree.weight(space)));
        let old = match new {
            Some(new) => self.spaces.insert(space, new),
            None => self.spaces.remove(&space),
        };
        if let Some((tag, weight)) = old {
            let total = self.totals.entry(tag).or_insert(0);
            *total = total.saturating_sub(weight);
            tags.insert(tag);
        }
        if let Some((tag, weight)) = new {
            *self.totals.entry(tag).or_insert(0) += weight;
            tags.insert(tag);
        }
    }

    /// Counts a family exactly; one that has gone is forgotten.
    fn recount(&mut self, tree: &Tree, root: SpaceId, tags: &mut BTreeSet<u64>) {
        self.drifted.remove(&root);
        let sums = tree.sums(root);
        if self.overdue.remove(&root) {
            // What was kept for want of a count shows that of today.
            tags.extend(sums.weights.keys());
        }
        let old = self.families.remove(&root).unwrap_or_default();
        for (tag, bytes) in &old.paid {
            *self.paid.entry(*tag).or_insert(0) -= bytes;
        }
        for (head, _) in &old.shown {
            self.shown.remove(head);
        }
        let new = beyond(tree, &sums);
        for (tag, bytes) in &new.paid {
            *self.paid.entry(*tag).or_insert(0) += bytes;
        }
        self.shown.extend(new.shown.iter().copied());
        tags.extend(old.paid.iter().chain(&new.paid).map(|(tag, _)| *tag));
        let heads = old.shown.iter().chain(&new.shown).filter_map(|(head, _)| tree.get(*head));
        tags.extend(heads.map(|head| head.tag));
        if !(new.paid.is_empty() && new.shown.is_empty()) {
            self.families.insert(root, new);
        }
    }

    fn of(&self, tree: &Tree, volume: &Volume) -> Usage {
        let tag = volume.id.0;
        let total = self.totals.get(&tag).copied().unwrap_or(0);
        let total = total.saturating_add_signed(self.paid.get(&tag).copied().unwrap_or(0));
        let above = self.shown.get(&volume.space).copied().unwrap_or(0);
        let shown = tree.drift(volume.space).saturating_add(above);
        let live_bytes = total.min(u64::try_from(shown).unwrap_or(0));
        Usage { live_bytes, snapshot_bytes: total - live_bytes }
    }
}

fn beyond(tree: &Tree, sums: &FamilySums) -> Beyond {
    let above = |exact: u64, kept: i64| exact.cast_signed().saturating_sub(kept);
    let paid = |tag: &u64| sums.paid.get(tag).copied().unwrap_or(0);
    let weight = |tag: &u64| sums.weights.get(tag).copied().unwrap_or(0).cast_signed();
    // Whoever pays has a space in the family.
    let tags = sums.weights.keys().map(|tag| (*tag, above(paid(tag), weight(tag))));
    let heads = sums.shown.iter().map(|(head, bytes)| (*head, above(*bytes, tree.drift(*head))));
    let mut beyond = Beyond { paid: tags.collect(), shown: heads.collect() };
    beyond.paid.retain(|(_, bytes)| *bytes != 0);
    beyond.shown.retain(|(_, bytes)| *bytes != 0);
    beyond
}

impl Store {
    /// What a volume uses, exactly, as of the last commit.
    #[must_use]
    pub fn usage(&self, volume: VolumeId) -> Usage {
        let mut core = self.core();
        let Some(space) = core.catalog.volumes.get(&volume).map(|found| found.space) else {
            return Usage::default();
        };
        self.publish_usage(&mut core);
        let root = core.history.tree().root(space);
        if core.usage.is_due(core.history.tree(), root) {
            let Core { usage, history, catalog, .. } = &mut *core;
            let mut tags = BTreeSet::new();
            usage.recount(history.tree(), root, &mut tags);
            self.publish(usage, history.tree(), catalog, &tags);
        }
        drop(core);
        self.usage_lately(volume)
    }

    /// What a volume uses, as of the last commit; data that passed from one volume to a clone since its family was last counted may still count
    /// at the first. Takes no lock that a commit holds.
    #[must_use]
    pub fn usage_lately(&self, volume: VolumeId) -> Usage {
        self.usage.read().get(&volume).map_or_else(Usage::default, |(usage, _)| *usage)
    }

    pub(crate) fn publish_usage(&self, core: &mut Core) {
        let Core { usage, history, catalog, .. } = core;
        let moved = history.take_moved();
        let mut tags = usage.follow(history.tree(), &moved);
        tags.extend(catalog.take_changed().into_iter().map(|volume| volume.0));
        self.publish(usage, history.tree(), catalog, &tags);
    }

    /// Counts a large family whose moments changed, when it is time.
    pub(crate) fn count_step(&self) {
        let mut core = self.core();
        let Core { usage, history, catalog, .. } = &mut *core;
        let mut tags = BTreeSet::new();
        usage.count_one(history.tree(), &mut tags);
        self.publish(usage, history.tree(), catalog, &tags);
    }

    fn publish(&self, sums: &Sums, tree: &Tree, catalog: &Catalog, tags: &BTreeSet<u64>) {
        if tags.is_empty() {
            return;
        }
        let mut table = self.usage.write();
        for id in tags.iter().map(|tag| VolumeId(*tag)) {
            match catalog.volumes.get(&id) {
                Some(volume) => {
                    let lately = table.get(&id).filter(|_| sums.is_unknown(tree, volume));
                    let usage = lately.map_or_else(|| sums.of(tree, volume), |(usage, _)| *usage);
                    table.insert(id, (usage, catalog.count(id) > 0));
                }
                None => {
                    table.remove(&id);
                }
            }
        }
    }
}
