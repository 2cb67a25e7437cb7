//! Spaces, their points, and who needs what: the pure part of the history, in memory.
//!
//! Nothing here touches the key-value engine. The tree answers: which items does no moment need any
//! more, and how many bytes would go if some names went. Both answers come from the same
//! functions, so a prediction cannot differ from what is later done.
//!
//! Words: a *point* of a space is an epoch at which a name or a child's fork sits. A headless space whose
//! newest point carries exactly one child is *joined* with that child; a maximal run of joined spaces is a *sequence*.

use crate::cells::Cells;
use crate::types::{Epoch, Point, SpaceId};
use std::collections::{BTreeMap, BTreeSet};

/// One space.
#[derive(Clone, Debug)]
pub struct Space {
    /// Where it forked off.
    pub parent: Option<Point>,
    /// Its open epoch.
    pub open: Epoch,
    /// A number of the layer above (the volume), for sums by volume; 0: nobody's.
    pub tag: u64,
    /// Something live ends here.
    pub head: bool,
    names: BTreeMap<Epoch, u32>,
    children: BTreeMap<Epoch, BTreeSet<SpaceId>>,
    /// Accounted bytes.
    pub cells: Cells,
}

impl Space {
    /// A space without points.
    #[must_use]
    pub fn new(parent: Option<Point>, open: Epoch, tag: u64) -> Self {
        Self {
            parent,
            open,
            tag,
            head: false,
            names: BTreeMap::new(),
            children: BTreeMap::new(),
            cells: Cells::default(),
        }
    }

    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The epochs that carry names.
    pub(crate) fn named(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.names.keys().copied()
    }

    /// The spaces that forked off, oldest fork first.
    pub(crate) fn forks(&self) -> impl Iterator<Item = (Epoch, SpaceId)> + '_ {
        self.children.iter().flat_map(|(epoch, all)| all.iter().map(|child| (*epoch, *child)))
    }

    fn newest(&self) -> Option<Epoch> {
        let name = self.names.last_key_value().map(|(epoch, _)| *epoch);
        let child = self.children.last_key_value().map(|(epoch, _)| *epoch);
        name.max(child)
    }

    fn fork(&self) -> Epoch {
        self.parent.map_or(Epoch(0), |point| point.epoch)
    }

    /// Bytes of cells whose items were born in this space.
    pub(crate) fn own_dead(&self) -> u64 {
        match self.parent {
            None => self.cells.dead_total(),
            Some(parent) => self.cells.dead_total() - self.cells.dead_upto(parent.epoch),
        }
    }

    /// The child that continues this space, if it is joined: not before the space has been cut back.
    fn continued_by(&self) -> Option<SpaceId> {
        if self.head {
            return None;
        }
        let newest = self.newest()?;
        let children = self.children.get(&newest)?;
        let only = if children.len() == 1 { children.first().copied() } else { None };
        only.filter(|_| !self.holds_behind(newest))
    }

    /// Whether there is history behind `after`.
    fn holds_behind(&self, after: Epoch) -> bool {
        self.cells.alive_after(after).next().is_some()
            || self.cells.dead_after(after).next().is_some()
    }

    /// The epoch that is a point only because the continuation forks there.
    fn pin_only(&self) -> Option<Epoch> {
        self.continued_by()?;
        let newest = self.newest()?;
        (!self.names.contains_key(&newest)).then_some(newest)
    }

    /// Whether a name or a fork sits in `from .. below`.
    fn has_point(&self, from: Epoch, below: Epoch) -> bool {
        self.names.range(from..below).next().is_some()
            || self.children.range(from..below).next().is_some()
    }

    fn first_point(&self, from: Epoch) -> Option<Epoch> {
        let pin = self.pin_only();
        let keep = |epoch: &&Epoch| Some(**epoch) != pin;
        let name = self.names.range(from..).next().map(|(epoch, _)| *epoch);
        let child = self.children.range(from..).map(|(epoch, _)| epoch).find(keep).copied();
        match (name, child) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn last_point(&self, below: Epoch) -> Option<Epoch> {
        let pin = self.pin_only();
        let keep = |epoch: &&Epoch| Some(**epoch) != pin;
        let name = self.names.range(..below).next_back().map(|(epoch, _)| *epoch);
        let child = self.children.range(..below).map(|(epoch, _)| epoch).rfind(keep).copied();
        name.max(child)
    }
}

/// Something that can be freed or cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// No point sees the items that were born in `birth` and died in `death` of `space`.
    Cell {
        /// The space whose epoch took them.
        space: SpaceId,
        /// Death.
        death: Epoch,
        /// Birth.
        birth: Epoch,
    },
    /// A headless space holds history behind its newest point.
    CutBack {
        /// The space.
        space: SpaceId,
        /// Its newest point.
        after: Epoch,
    },
    /// A headless space without points.
    Drop {
        /// The space.
        space: SpaceId,
    },
}

impl Work {
    /// The space that it is in.
    #[must_use]
    pub fn space(self) -> SpaceId {
        match self {
            Self::Cell { space, .. } | Self::CutBack { space, .. } | Self::Drop { space } => space,
        }
    }
}

/// A maximal run of joined spaces.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Newest first.
    pub spaces: Vec<SpaceId>,
    /// Fork epoch of the oldest one: births at or below are inherited, not owned.
    pub base: Epoch,
}

/// All spaces.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    spaces: BTreeMap<SpaceId, Space>,
}

/// What goes away in a prediction.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    /// Names, one entry per name.
    pub names: Vec<Point>,
    /// Heads.
    pub heads: Vec<SpaceId>,
}

impl Tree {
    /// The space, if it exists.
    #[must_use]
    pub fn get(&self, id: SpaceId) -> Option<&Space> {
        self.spaces.get(&id)
    }

    /// The space for changes to its head, epoch and cells.
    pub fn get_mut(&mut self, id: SpaceId) -> Option<&mut Space> {
        self.spaces.get_mut(&id)
    }

    /// All spaces by id.
    pub fn iter(&self) -> impl Iterator<Item = (SpaceId, &Space)> {
        self.spaces.iter().map(|(id, space)| (*id, space))
    }

    /// Adds a space and pins its fork point.
    pub fn insert(&mut self, id: SpaceId, space: Space) {
        if let Some(parent) = space.parent
            && let Some(parent_space) = self.spaces.get_mut(&parent.space)
        {
            parent_space.children.entry(parent.epoch).or_default().insert(id);
        }
        self.spaces.insert(id, space);
    }

    /// Pins every fork point again after loading spaces in any order.
    pub fn link_children(&mut self) {
        let forks: Vec<_> =
            self.spaces.iter().filter_map(|(id, s)| s.parent.map(|p| (*id, p))).collect();
        for (id, parent) in forks {
            if let Some(space) = self.spaces.get_mut(&parent.space) {
                space.children.entry(parent.epoch).or_default().insert(id);
            }
        }
    }

    /// Removes a space and its pin.
    pub fn remove(&mut self, id: SpaceId) {
        drop(self.take(id));
    }

    /// As [`Tree::remove`]; answers the space.
    pub(crate) fn take(&mut self, id: SpaceId) -> Option<Space> {
        let gone = self.spaces.remove(&id)?;
        if let Some(parent) = gone.parent
            && let Some(space) = self.spaces.get_mut(&parent.space)
            && let Some(children) = space.children.get_mut(&parent.epoch)
        {
            children.remove(&id);
            if children.is_empty() {
                space.children.remove(&parent.epoch);
            }
        }
        Some(gone)
    }

    /// A name appears at a point.
    pub fn add_name(&mut self, point: Point) {
        if let Some(space) = self.spaces.get_mut(&point.space) {
            *space.names.entry(point.epoch).or_insert(0) += 1;
        }
    }

    /// A name goes. `false`: there was none.
    pub fn remove_name(&mut self, point: Point) -> bool {
        let Some(space) = self.spaces.get_mut(&point.space) else { return false };
        let Some(count) = space.names.get_mut(&point.epoch) else { return false };
        *count = count.saturating_sub(1);
        if *count == 0 {
            space.names.remove(&point.epoch);
        }
        true
    }

    /// The spaces that a read at `point` visits, newest first, each with the last visible epoch.
    #[must_use]
    pub fn chain(&self, point: Point) -> Vec<Point> {
        let mut parts = vec![point];
        let mut at = point.space;
        while let Some(parent) = self.spaces.get(&at).and_then(|space| space.parent) {
            parts.push(parent);
            at = parent.space;
        }
        parts
    }

    /// The space whose rows hold a version born in `birth` that is visible in `space`.
    #[must_use]
    pub fn owner(&self, space: SpaceId, birth: Epoch) -> SpaceId {
        let mut at = space;
        while let Some(parent) = self.spaces.get(&at).and_then(|s| s.parent) {
            if birth > parent.epoch {
                break;
            }
            at = parent.space;
        }
        at
    }

    /// The sequence that `space` belongs to.
    #[must_use]
    pub fn sequence(&self, space: SpaceId) -> Sequence {
        let mut top = space;
        while let Some(child) = self.spaces.get(&top).and_then(Space::continued_by) {
            top = child;
        }
        let mut spaces = vec![top];
        let mut at = top;
        loop {
            let Some(parent) = self.spaces.get(&at).and_then(|s| s.parent) else {
                return Sequence { spaces, base: Epoch(0) };
            };
            let joined = self.spaces.get(&parent.space).and_then(Space::continued_by) == Some(at);
            if !joined {
                return Sequence { spaces, base: parent.epoch };
            }
            spaces.push(parent.space);
            at = parent.space;
        }
    }

    /// Whether a point p of the sequence has `birth <= p < death`.
    #[must_use]
    pub fn seen(&self, sequence: &Sequence, birth: Epoch, death: Epoch) -> bool {
        self.last_point(sequence, death).is_some_and(|point| point >= birth)
    }

    fn last_point(&self, sequence: &Sequence, below: Epoch) -> Option<Epoch> {
        sequence.spaces.iter().filter_map(|id| self.spaces.get(id)?.last_point(below)).max()
    }

    fn first_point(&self, sequence: &Sequence, from: Epoch) -> Option<Epoch> {
        sequence.spaces.iter().filter_map(|id| self.spaces.get(id)?.first_point(from)).min()
    }

    /// Whether the history below `space`'s open epoch has any point that a comparison or a
    /// cut back could start from.
    #[must_use]
    pub fn has_earlier_point(&self, space: SpaceId) -> bool {
        let sequence = self.sequence(space);
        sequence.base > Epoch(0) || self.first_point(&sequence, Epoch(0)).is_some()
    }

    /// Whether a name or a fork of this very space sits in `from .. below`, joined or not.
    pub(crate) fn has_point(&self, space: SpaceId, from: Epoch, below: Epoch) -> bool {
        self.spaces.get(&space).is_some_and(|found| found.has_point(from, below))
    }

    /// The oldest point of a root sequence: touched lists up to it serve nobody. `None`: keep all.
    #[must_use]
    pub fn touched_floor(&self, space: SpaceId) -> Option<Epoch> {
        let sequence = self.sequence(space);
        if sequence.base > Epoch(0) {
            return None;
        }
        Some(self.first_point(&sequence, Epoch(0)).unwrap_or(Epoch(u64::MAX - 1)))
    }

    /// Data born above this epoch goes with a dropped space: what its records carry over from joined spaces
    /// has no other record left, since its older ones died with the joining.
    #[must_use]
    pub fn drop_floor(&self, space: SpaceId) -> Epoch {
        let mut sequence = self.sequence(space);
        sequence.spaces.retain(|id| *id != space);
        let point = self.last_point(&sequence, Epoch(u64::MAX));
        point.unwrap_or_default().max(sequence.base)
    }

    /// Everything that is due, cells before cuts and drops: an item whose cell is due must be gone
    /// before the space that holds it is cut, so that nothing is freed twice.
    #[must_use]
    pub fn due(&self) -> Vec<Work> {
        let cells = self.due_cells(self.iter());
        if cells.is_empty() { Self::due_cuts(self.iter()) } else { cells }
    }

    /// As [`Tree::due`], of these spaces alone: whole sequences. A cell and the space that holds its items are of one sequence.
    #[must_use]
    pub fn due_in(&self, spaces: &BTreeSet<SpaceId>) -> Vec<Work> {
        let these = || spaces.iter().filter_map(|id| Some((*id, self.spaces.get(id)?)));
        let cells = self.due_cells(these());
        if cells.is_empty() { Self::due_cuts(these()) } else { cells }
    }

    fn due_cells<'s>(&self, among: impl Iterator<Item = (SpaceId, &'s Space)>) -> Vec<Work> {
        let mut work = Vec::new();
        let tops = among.filter(|(_, space)| space.continued_by().is_none());
        for (top, _) in tops {
            let sequence = self.sequence(top);
            for id in &sequence.spaces {
                let Some(space) = self.spaces.get(id) else { continue };
                for (death, birth, _) in space.cells.all_dead() {
                    if birth > sequence.base && !self.seen(&sequence, birth, death) {
                        work.push(Work::Cell { space: *id, death, birth });
                    }
                }
            }
        }
        work
    }

    fn due_cuts<'s>(among: impl Iterator<Item = (SpaceId, &'s Space)>) -> Vec<Work> {
        let mut work = Vec::new();
        for (id, space) in among.filter(|(_, space)| !space.head) {
            match space.newest() {
                None => work.push(Work::Drop { space: id }),
                Some(after) if space.holds_behind(after) => {
                    work.push(Work::CutBack { space: id, after });
                }
                Some(_) => {}
            }
        }
        work
    }

    /// Headless spaces and their newest points.
    pub fn ends(&self) -> impl Iterator<Item = (SpaceId, Epoch)> + '_ {
        let headless = self.spaces.iter().filter(|(_, space)| !space.head);
        headless.filter_map(|(id, space)| Some((*id, space.newest()?)))
    }

    /// Pairs of joined, headless neighbours (upper, lower) of sequences longer than `depth`, the lightest
    /// upper one first.
    #[must_use]
    pub fn mergeable(&self, depth: usize) -> Vec<(SpaceId, SpaceId)> {
        let mut pairs = Vec::new();
        let tops = self.spaces.iter().filter(|(_, space)| space.continued_by().is_none());
        for (top, _) in tops {
            let sequence = self.sequence(*top);
            if sequence.spaces.len() <= depth {
                continue;
            }
            for pair in sequence.spaces.windows(2).skip(1) {
                if let [upper, lower] = pair
                    && self.may_merge(*upper, *lower)
                {
                    let weight = self.spaces.get(upper).map_or(u64::MAX, |space| {
                        space.cells.alive_total().saturating_add(space.cells.dead_total())
                    });
                    pairs.push((weight, *upper, *lower));
                }
            }
        }
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, upper, lower)| (upper, lower)).collect()
    }

    /// Sums by tag must not move: both have one tag, or nobody's data lies below.
    fn may_merge(&self, upper: SpaceId, lower: SpaceId) -> bool {
        match (self.spaces.get(&upper), self.spaces.get(&lower)) {
            (Some(upper), Some(lower)) => upper.tag == lower.tag || lower.tag == 0,
            _ => false,
        }
    }

    /// Makes `upper` part of `lower`, which it continues. Answers the children that moved with it.
    pub fn merge(&mut self, upper: SpaceId, lower: SpaceId) -> Vec<SpaceId> {
        let Some(gone) = self.spaces.get(&upper).cloned() else { return Vec::new() };
        self.remove(upper);
        let fork = gone.fork();
        let mut moved = Vec::new();
        for (_, children) in gone.children {
            for child in children {
                if let Some(parent) = self.spaces.get_mut(&child).and_then(|c| c.parent.as_mut()) {
                    parent.space = lower;
                    moved.push(child);
                }
            }
        }
        let Some(space) = self.spaces.get_mut(&lower) else { return moved };
        space.open = gone.open;
        space.tag = gone.tag;
        for (epoch, count) in gone.names {
            *space.names.entry(epoch).or_insert(0) += count;
        }
        for (birth, bytes) in gone.cells.alive_after(Epoch(0)) {
            space.cells.set_alive(birth, bytes);
        }
        for (death, birth, bytes) in gone.cells.all_dead() {
            space.cells.set_dead(death, birth, bytes);
            if birth <= fork && birth > space.fork() {
                let alive = space.cells.alive(birth);
                space.cells.set_alive(birth, alive.saturating_sub(bytes));
            }
        }
        self.link_children();
        moved
    }

    /// Changes the cells as the work does when it is complete; answers the bytes that go.
    pub fn settle(&mut self, work: Work) -> u64 {
        match work {
            Work::Cell { space, death, birth } => self.settle_cell(space, death, birth),
            Work::CutBack { space, after } => self.settle_cut(space, after),
            Work::Drop { space } => {
                let bytes = self.spaces.get(&space).map_or(0, |s| s.cells.alive_total());
                self.remove(space);
                bytes
            }
        }
    }

    fn settle_cell(&mut self, space: SpaceId, death: Epoch, birth: Epoch) -> u64 {
        let owner = self.owner(space, birth);
        let Some(cells) = self.spaces.get_mut(&space).map(|s| &mut s.cells) else { return 0 };
        let bytes = cells.dead(death, birth);
        cells.set_dead(death, birth, 0);
        if owner != space
            && let Some(cells) = self.spaces.get_mut(&owner).map(|s| &mut s.cells)
        {
            cells.set_alive(birth, cells.alive(birth).saturating_sub(bytes));
        }
        bytes
    }

    fn settle_cut(&mut self, id: SpaceId, after: Epoch) -> u64 {
        let Some(space) = self.spaces.get_mut(&id) else { return 0 };
        let fork = space.fork();
        let cells = &mut space.cells;
        let mut freed = 0;
        for (birth, bytes) in cells.alive_after(after).collect::<Vec<_>>() {
            freed += bytes;
            cells.set_alive(birth, 0);
        }
        for (death, birth, bytes) in cells.dead_after(after).collect::<Vec<_>>() {
            cells.set_dead(death, birth, 0);
            if birth > fork {
                cells.set_alive(birth, cells.alive(birth).saturating_add(bytes));
            }
        }
        freed
    }

    /// The cells that go when exactly the given names go, if the removal changes no sequence: the
    /// quick way for ordinary snapshots. `None`: a head or a newest point is involved, use [`Tree::predict`].
    #[must_use]
    pub fn quick(&self, names: &[Point]) -> Option<Vec<(Work, u64)>> {
        let first = names.first()?;
        let sequence = self.sequence(first.space);
        let mut gone = BTreeMap::<Epoch, u32>::new();
        for point in names {
            let space = self.spaces.get(&point.space)?;
            let structural = !space.head && space.newest() == Some(point.epoch);
            if structural || !sequence.spaces.contains(&point.space) {
                return None;
            }
            *gone.entry(point.epoch).or_insert(0) += 1;
        }
        gone.retain(|epoch, count| self.vanishes(&sequence, *epoch, *count));
        Some(self.runs(&sequence, &gone.into_keys().collect()))
    }

    fn vanishes(&self, sequence: &Sequence, epoch: Epoch, count: u32) -> bool {
        sequence.spaces.iter().filter_map(|id| self.spaces.get(id)).all(|space| {
            let names = space.names.get(&epoch).copied().unwrap_or(0);
            names <= count && !space.children.contains_key(&epoch)
        })
    }

    /// Cells that only the points in `gone` see.
    fn runs(&self, sequence: &Sequence, gone: &BTreeSet<Epoch>) -> Vec<(Work, u64)> {
        let mut found = Vec::new();
        let mut rest = gone.iter().copied().peekable();
        while let Some(start) = rest.next() {
            let low = self.last_point(sequence, start).unwrap_or(Epoch(0)).max(sequence.base);
            let mut end = start;
            let mut next = self.first_point(sequence, Epoch(end.0 + 1));
            while next.is_some() && rest.peek().copied() == next {
                end = rest.next().unwrap_or(end);
                next = self.first_point(sequence, Epoch(end.0 + 1));
            }
            let high = next.unwrap_or(Epoch(u64::MAX - 1));
            for id in &sequence.spaces {
                let Some(space) = self.spaces.get(id) else { continue };
                let cells = space.cells.between(low, end, start, high);
                found.extend(
                    cells.into_iter().map(|(death, birth, bytes)| {
                        (Work::Cell { space: *id, death, birth }, bytes)
                    }),
                );
            }
        }
        found
    }

    /// The cells that only this point saw, now that it may be gone. Its space has a head.
    pub(crate) fn without_point(&self, point: Point) -> Vec<Work> {
        let sequence = self.sequence(point.space);
        if !self.vanishes(&sequence, point.epoch, 0) {
            return Vec::new();
        }
        let cells = self.runs(&sequence, &BTreeSet::from([point.epoch]));
        cells.into_iter().map(|(work, _)| work).collect()
    }
}
