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

/// What the exact sums of one family are.
#[derive(Clone, Debug, Default)]
pub struct FamilySums {
    /// Accounted bytes that each tag pays for.
    pub paid: HashMap<u64, u64>,
    /// The weights of each tag's spaces.
    pub weights: HashMap<u64, u64>,
    /// Accounted bytes that each head shows and its tag pays for.
    pub shown: HashMap<SpaceId, u64>,
}

/// Items of a sequence, each with the tag that pays.
type PaidGroups = Vec<(u64, Group)>;
/// Bytes that are seen at a point, by the tag that pays and by birth.
type Seen = HashMap<u64, BTreeMap<Epoch, u64>>;

/// One family being counted. What several heads see is looked at once.
struct Count<'t> {
    tree: &'t Tree,
    tags: HashMap<SpaceId, u64>,
    /// By the newest space of the sequence.
    paid: HashMap<SpaceId, PaidGroups>,
    seen: HashMap<(SpaceId, Epoch), Seen>,
}

impl Tree {
    /// The space without a parent from which this one came.
    #[must_use]
    pub fn root(&self, space: SpaceId) -> SpaceId {
        let mut at = space;
        while let Some(parent) = self.get(at).and_then(|space| space.parent) {
            at = parent.space;
        }
        at
    }

    /// A root and all that forked from it, directly or not: nobody else's sums depend on them.
    fn family(&self, root: SpaceId) -> Vec<SpaceId> {
        let (mut found, mut next) = (Vec::new(), vec![root]);
        while let Some(space) = next.pop() {
            let Some(here) = self.get(space) else { continue };
            next.extend(here.forks().map(|(_, child)| child));
            found.push(space);
        }
        found.sort_unstable();
        found
    }

    /// Whether a root's family has more than `spaces` members. Costs no more than that many look-ups.
    #[must_use]
    pub fn is_larger(&self, root: SpaceId, spaces: usize) -> bool {
        let (mut seen, mut next) = (0, vec![root]);
        while let Some(here) = next.pop().and_then(|space| self.get(space)) {
            seen += 1;
            if seen + next.len() > spaces {
                return true;
            }
            // One more than what is asked for tells as much as all of them.
            next.extend(here.forks().map(|(_, child)| child).take(spaces + 1));
        }
        false
    }

    /// Accounted bytes that a space owns, whoever sees them. While no tag continues another one, the sum over the spaces of a tag is
    /// what it pays for.
    #[must_use]
    pub fn weight(&self, space: SpaceId) -> u64 {
        // What died behind a fork is counted as alive where it was born.
        self.get(space).map_or(0, |space| space.cells.alive_total() + space.own_dead())
    }

    /// Whether in this root's family some space continues data of another tag: only then what a tag pays for differs from what its
    /// spaces own.
    #[must_use]
    pub fn is_shared(&self, root: SpaceId) -> bool {
        self.is_mixed(&self.family(root))
    }

    /// Whether some space of these continues data of another tag.
    fn is_mixed(&self, family: &[SpaceId]) -> bool {
        family.iter().filter_map(|id| self.get(*id)).any(|space| {
            let parent = space.parent.and_then(|parent| self.get(parent.space));
            parent.is_some_and(|parent| parent.tag != space.tag)
        })
    }

    /// The exact sums of the family of a root.
    ///
    /// Cost: its spaces and cells, and for each head the spaces below it.
    #[must_use]
    pub fn sums(&self, root: SpaceId) -> FamilySums {
        let family = self.family(root);
        let mut count = Count {
            tree: self,
            tags: self.reader_tags(&family),
            paid: HashMap::new(),
            seen: HashMap::new(),
        };
        let mut sums = FamilySums::default();
        for id in &family {
            let tag = self.get(*id).map_or(0, |space| space.tag);
            *sums.weights.entry(tag).or_insert(0) += self.weight(*id);
        }
        let mixed = self.is_mixed(&family);
        if mixed {
            for sequence in self.sequences(&family) {
                for (tag, group) in count.paid(&sequence) {
                    *sums.paid.entry(*tag).or_insert(0) += group.bytes;
                }
            }
        } else {
            sums.paid = sums.weights.clone();
        }
        for head in family.iter().filter(|id| self.get(**id).is_some_and(|space| space.head)) {
            let shown = match u64::try_from(self.drift(*head)) {
                // It inherits nothing, and nobody else is there to pay.
                Ok(own) if *head == root && !mixed => own,
                _ => count.shown(*head),
            };
            sums.shown.insert(*head, shown);
        }
        sums
    }

    /// The sequences of a family, each once.
    fn sequences(&self, family: &[SpaceId]) -> Vec<Sequence> {
        let sequences = family.iter().map(|id| (*id, self.sequence(*id)));
        let tops = sequences.filter(|(id, sequence)| sequence.spaces.first() == Some(id));
        tops.map(|(_, sequence)| sequence).collect()
    }

    /// By how much what `head` shows moves with a commit that changes no moments: what it owns alive, less what it took
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
    fn reader_tags(&self, family: &[SpaceId]) -> HashMap<SpaceId, u64> {
        let mut tags = HashMap::<SpaceId, u64>::new();
        // A child is younger than its parent, and merging gives it an older parent still.
        for id in family.iter().rev() {
            let Some(space) = self.get(*id) else { continue };
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
                tags.insert(*id, tag);
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

impl Count<'_> {
    /// All items of a sequence, with the tags that pay for them.
    fn paid(&mut self, sequence: &Sequence) -> &PaidGroups {
        let top = sequence.spaces.first().copied().unwrap_or(SpaceId(0));
        self.paid.entry(top).or_insert_with(|| {
            let readers = self.tree.readers(sequence, &self.tags);
            let groups = self.tree.groups(sequence).into_iter();
            let paid = |group: Group| (readers.pays(group.tag, group.birth, group.death), group);
            groups.map(paid).collect()
        })
    }

    /// What a read at `last` of a sequence sees there, and `tag` pays for, by birth.
    fn seen(
        &mut self,
        sequence: &Sequence,
        last: Epoch,
        tag: u64,
    ) -> Option<&BTreeMap<Epoch, u64>> {
        let top = sequence.spaces.first().copied()?;
        if !self.seen.contains_key(&(top, last)) {
            let mut seen = Seen::new();
            let visible = |group: &Group| group.birth <= last && group.death > last;
            for (tag, group) in self.paid(sequence).iter().filter(|(_, group)| visible(group)) {
                *seen.entry(*tag).or_default().entry(group.birth).or_insert(0) += group.bytes;
            }
            self.seen.insert((top, last), seen);
        }
        self.seen.get(&(top, last))?.get(&tag)
    }

    /// Bytes that `head` shows and its tag pays for.
    fn shown(&mut self, head: SpaceId) -> u64 {
        let tree = self.tree;
        let Some(tag) = tree.get(head).map(|space| space.tag) else { return 0 };
        let mut at = tree.sequence(head);
        let mut last = Epoch(u64::MAX - 1);
        let mut died = BTreeMap::new();
        let mut shown = 0;
        loop {
            for (birth, bytes) in self.seen(&at, last, tag).into_iter().flatten() {
                let gone = died.get(birth).copied().unwrap_or(0);
                shown += u64::saturating_sub(*bytes, gone);
            }
            let oldest = at.spaces.last().and_then(|id| tree.get(*id));
            let Some(parent) = oldest.and_then(|space| space.parent) else { return shown };
            tree.note_deaths(&at, last, &mut died);
            last = parent.epoch;
            at = tree.sequence(parent.space);
        }
    }
}
