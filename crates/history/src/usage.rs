//! Who pays for what: accounted bytes by tag (volume), each byte once.
//!
//! An item is paid for by the tag in whose space it was born while a moment of that tag sees it. After that the tag of the
//! oldest moment that sees it pays: so a volume without snapshots pays for nothing but its live end, and data that only a clone still
//! shows counts at the clone. The sums over all tags fall by exactly what a removal frees, for every item is counted once.
//!
//! Pure and in memory, like [`crate::tree`]. A clone's fork counts as a moment that sees all that was alive there: which items
//! the clone has replaced since is known by birth only. So where clones of several volumes are all that is left of a moment, the
//! oldest pays for the others until they are joined.

use crate::codec::ALIVE;
use crate::tree::{Sequence, Tree};
use crate::types::{Epoch, SpaceId};
use std::collections::{BTreeMap, HashMap};

/// Items of one sequence that share owner, birth and death.
struct Group {
    tag: u64,
    birth: Epoch,
    death: Epoch,
    bytes: u64,
}

/// The moments of one sequence, oldest first, with the tags that they belong to.
struct Readers(Vec<(Epoch, u64)>);

impl Readers {
    /// The tag that pays for items of `own` that live in [birth, death).
    fn pays(&self, own: u64, birth: Epoch, death: Epoch) -> u64 {
        let from = self.0.partition_point(|(epoch, _)| *epoch < birth);
        let mut oldest = None;
        for (epoch, tag) in self.0.iter().skip(from) {
            if *epoch >= death {
                break;
            }
            if *tag == own {
                return own;
            }
            oldest = oldest.or(Some(*tag));
        }
        oldest.unwrap_or(own)
    }
}

impl Tree {
    /// Whether some space continues data of another tag: only then [`Tree::paid`] differs from [`Tree::totals`].
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.iter().any(|(_, space)| {
            let parent = space.parent.and_then(|parent| self.get(parent.space));
            parent.is_some_and(|parent| parent.tag != space.tag)
        })
    }

    /// Accounted bytes that the spaces of each tag own, whoever sees them: what [`Tree::paid`] is, quickly, while
    /// no tag continues another one.
    #[must_use]
    pub fn totals(&self) -> HashMap<u64, u64> {
        let mut totals = HashMap::new();
        for (_, space) in self.iter() {
            // What died behind a fork is counted as alive where it was born.
            *totals.entry(space.tag).or_insert(0) += space.cells.alive_total() + space.own_dead();
        }
        totals
    }

    /// Accounted bytes that each tag pays for.
    #[must_use]
    pub fn paid(&self) -> HashMap<u64, u64> {
        if !self.is_mixed() {
            return self.totals();
        }
        let tags = self.reader_tags();
        let mut paid = HashMap::new();
        for sequence in self.sequences() {
            let readers = self.readers(&sequence, &tags);
            for group in self.groups(&sequence) {
                let tag = readers.pays(group.tag, group.birth, group.death);
                *paid.entry(tag).or_insert(0) += group.bytes;
            }
        }
        paid
    }

    /// Bytes that `head` shows and its tag pays for.
    #[must_use]
    pub fn shown(&self, head: SpaceId) -> u64 {
        let Some(tag) = self.get(head).map(|space| space.tag) else { return 0 };
        let tags = self.reader_tags();
        let mut at = self.sequence(head);
        let mut last = Epoch(u64::MAX - 1);
        let mut died = BTreeMap::new();
        let mut shown = 0;
        loop {
            let readers = self.readers(&at, &tags);
            let mut seen = BTreeMap::new();
            let visible = |group: &Group| group.birth <= last && group.death > last;
            for group in self.groups(&at).into_iter().filter(visible) {
                if readers.pays(group.tag, group.birth, group.death) == tag {
                    *seen.entry(group.birth).or_insert(0) += group.bytes;
                }
            }
            for (birth, bytes) in seen {
                let gone = died.get(&birth).copied().unwrap_or(0);
                shown += u64::saturating_sub(bytes, gone);
            }
            self.note_deaths(&at, last, &mut died);
            let oldest = at.spaces.last().and_then(|id| self.get(*id));
            let Some(parent) = oldest.and_then(|space| space.parent) else { return shown };
            last = parent.epoch;
            at = self.sequence(parent.space);
        }
    }

    /// By how much [`Tree::shown`] moves with a commit that changes no moments: what `head` owns alive, less what it took
    /// of what it inherited.
    #[must_use]
    pub fn drift(&self, head: SpaceId) -> i64 {
        let Some(space) = self.get(head) else { return 0 };
        let foreign = space.cells.dead_total().saturating_sub(space.own_dead());
        space.cells.alive_total().cast_signed().saturating_sub_unsigned(foreign)
    }

    /// Deaths of inherited items up to `last`, by birth.
    fn note_deaths(&self, sequence: &Sequence, last: Epoch, died: &mut BTreeMap<Epoch, u64>) {
        let spaces = sequence.spaces.iter().filter_map(|id| self.get(*id));
        for (death, birth, bytes) in spaces.flat_map(|space| space.cells.all_dead()) {
            if birth <= sequence.base && death <= last {
                *died.entry(birth).or_insert(0) += bytes;
            }
        }
    }

    /// The tag whose moments see the end of each space: its own while it has a head, a name or a child of the same tag.
    fn reader_tags(&self) -> HashMap<SpaceId, u64> {
        let mut tags = HashMap::<SpaceId, u64>::new();
        // A child is younger than its parent, and merging gives it an older parent still.
        for (id, space) in self.iter().collect::<Vec<_>>().into_iter().rev() {
            let mut below = space.forks().filter_map(|(_, child)| tags.get(&child).copied());
            let tag = if space.head || space.has_names() {
                Some(space.tag)
            } else {
                let first = below.next();
                if first == Some(space.tag) || below.any(|tag| tag == space.tag) {
                    Some(space.tag)
                } else {
                    first
                }
            };
            if let Some(tag) = tag {
                tags.insert(id, tag);
            }
        }
        tags
    }

    fn readers(&self, sequence: &Sequence, tags: &HashMap<SpaceId, u64>) -> Readers {
        let mut readers = Vec::new();
        for id in &sequence.spaces {
            let Some(space) = self.get(*id) else { continue };
            readers.extend(space.named().map(|epoch| (epoch, space.tag)));
            if space.head {
                readers.push((Epoch(u64::MAX - 1), space.tag));
            }
            for (epoch, child) in space.forks() {
                if !sequence.spaces.contains(&child) {
                    readers.extend(tags.get(&child).map(|tag| (epoch, *tag)));
                }
            }
        }
        readers.sort_unstable_by_key(|(epoch, _)| *epoch);
        Readers(readers)
    }

    /// All items that the spaces of a sequence own.
    fn groups(&self, sequence: &Sequence) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut died_above = BTreeMap::<Epoch, u64>::new();
        for id in &sequence.spaces {
            let Some(space) = self.get(*id) else { continue };
            let fork = space.parent.map_or(Epoch(0), |parent| parent.epoch);
            for (birth, bytes) in space.cells.alive_after(Epoch(0)) {
                let above = died_above.get(&birth).copied().unwrap_or(0);
                let bytes = bytes.saturating_sub(above);
                groups.push(Group { tag: space.tag, birth, death: ALIVE, bytes });
            }
            let owned = |birth: &Epoch| *birth > sequence.base;
            for (death, birth, bytes) in space.cells.all_dead().filter(|cell| owned(&cell.1)) {
                let owner = self.get(self.owner(*id, birth)).map_or(space.tag, |owner| owner.tag);
                groups.push(Group { tag: owner, birth, death, bytes });
                if birth <= fork {
                    *died_above.entry(birth).or_insert(0) += bytes;
                }
            }
        }
        groups
    }
}
