//! What is due near a change, and what removals would free: found without looking at spaces that have nothing to do with it.
//!
//! Whether something is due in a space depends on the points, heads and cells of its sequence alone. So after a change only the sequences
//! of the changed spaces are looked at; when that settles something, those of what it changed. A prediction does all of it on the
//! tree itself, keeps what undoes it, and takes it back. It uses the same functions as reclaim, so it cannot differ from what is done.

use std::collections::BTreeSet;

use crate::cells::Cells;
use crate::tree::{Removal, Space, Tree, Work};
use crate::types::{Epoch, Point, SpaceId};

impl Tree {
    /// The spaces in which other work may be due once these have changed.
    #[must_use]
    pub fn near(&self, changed: &BTreeSet<SpaceId>) -> BTreeSet<SpaceId> {
        let present = changed.iter().filter(|id| self.get(**id).is_some());
        present.flat_map(|id| self.sequence(*id).spaces).collect()
    }

    /// Exactly the bytes that removing these names and heads frees, cascades included. `pending` are the spaces in which work is due already.
    pub fn predict(&mut self, pending: BTreeSet<SpaceId>, removal: &Removal) -> u64 {
        if removal.heads.is_empty()
            && let Some(cells) = self.quick(&removal.names)
        {
            return cells.iter().map(|(_, bytes)| bytes).sum();
        }
        let mut trial = Trial { tree: self, undo: Vec::new() };
        trial.settle_near(pending);
        trial.remove(removal);
        let names = removal.names.iter().map(|point| point.space);
        trial.settle_near(names.chain(removal.heads.iter().copied()).collect())
    }
}

/// How one step is taken back.
enum Undo {
    Name(Point),
    Head(SpaceId),
    Space(SpaceId, Box<Space>),
    Cells(SpaceId, Box<Cells>),
    Dead(SpaceId, Epoch, Epoch, u64),
    Alive(SpaceId, Epoch, u64),
}

/// A tree in which something is tried; when this is dropped, the tree is as before.
struct Trial<'t> {
    tree: &'t mut Tree,
    undo: Vec<Undo>,
}

impl Trial<'_> {
    fn remove(&mut self, removal: &Removal) {
        for point in &removal.names {
            if self.tree.remove_name(*point) {
                self.undo.push(Undo::Name(*point));
            }
        }
        for head in &removal.heads {
            if let Some(space) = self.tree.get_mut(*head)
                && std::mem::take(&mut space.head)
            {
                self.undo.push(Undo::Head(*head));
            }
        }
    }

    /// Settles all that is due near these spaces, and what follows from it. Answers the bytes that go.
    fn settle_near(&mut self, mut changed: BTreeSet<SpaceId>) -> u64 {
        let mut freed = 0;
        loop {
            let work = self.tree.due_in(&self.tree.near(&changed));
            if work.is_empty() {
                return freed;
            }
            for item in work {
                freed += self.settle(item, &mut changed);
            }
        }
    }

    fn settle(&mut self, work: Work, changed: &mut BTreeSet<SpaceId>) -> u64 {
        match work {
            Work::Cell { space, death, birth } => self.settle_cell(space, death, birth, changed),
            Work::CutBack { space, .. } => {
                let cells = self.tree.get(space).map(|found| Box::new(found.cells.clone()));
                self.undo.extend(cells.map(|cells| Undo::Cells(space, cells)));
                changed.insert(space);
                self.tree.settle(work)
            }
            Work::Drop { space } => self.drop_space(space, changed),
        }
    }

    fn settle_cell(
        &mut self,
        space: SpaceId,
        death: Epoch,
        birth: Epoch,
        changed: &mut BTreeSet<SpaceId>,
    ) -> u64 {
        let owner = self.tree.owner(space, birth);
        for id in [space, owner] {
            // What a space with a head is joined with does not depend on its cells.
            if self.tree.get(id).is_some_and(|found| !found.head) {
                changed.insert(id);
            }
        }
        if let Some(cells) = self.tree.get(space).map(|found| &found.cells) {
            self.undo.push(Undo::Dead(space, death, birth, cells.dead(death, birth)));
        }
        if owner != space
            && let Some(cells) = self.tree.get(owner).map(|found| &found.cells)
        {
            self.undo.push(Undo::Alive(owner, birth, cells.alive(birth)));
        }
        self.tree.settle(Work::Cell { space, death, birth })
    }

    /// Drops a space. Below it, in a space with a head, at most a point goes, and only what that one saw is looked for.
    fn drop_space(&mut self, space: SpaceId, changed: &mut BTreeSet<SpaceId>) -> u64 {
        let Some(gone) = self.tree.take(space) else { return 0 };
        let (mut freed, parent) = (gone.cells.alive_total(), gone.parent);
        self.undo.push(Undo::Space(space, Box::new(gone)));
        let Some(fork) = parent else { return freed };
        if self.tree.get(fork.space).is_some_and(|below| !below.head) {
            changed.insert(fork.space);
            return freed;
        }
        for work in self.tree.without_point(fork) {
            freed += self.settle(work, changed);
        }
        freed
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Name(point) => self.tree.add_name(point),
                Undo::Space(id, space) => self.tree.insert(id, *space),
                Undo::Head(id) => {
                    if let Some(space) = self.tree.get_mut(id) {
                        space.head = true;
                    }
                }
                Undo::Cells(id, cells) => {
                    if let Some(space) = self.tree.get_mut(id) {
                        space.cells = *cells;
                    }
                }
                Undo::Dead(id, death, birth, bytes) => {
                    if let Some(space) = self.tree.get_mut(id) {
                        space.cells.set_dead(death, birth, bytes);
                    }
                }
                Undo::Alive(id, birth, bytes) => {
                    if let Some(space) = self.tree.get_mut(id) {
                        space.cells.set_alive(birth, bytes);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % n.max(1)
        }
    }

    /// Spaces that fork from each other in any way, with names, heads and cells anywhere.
    fn random(dice: &mut Dice) -> Tree {
        let mut tree = Tree::default();
        let mut epoch = 1;
        for id in 1..2 + dice.below(8) {
            let parent = (id > 1 && dice.below(5) > 0).then(|| {
                let space = SpaceId(1 + dice.below(id - 1));
                let open = tree.get(space).map_or(1, |found| found.open.0);
                Point { space, epoch: Epoch(1 + dice.below(open)) }
            });
            let first = epoch + 1;
            epoch += 2 + dice.below(6);
            let mut space = Space::new(parent, Epoch(epoch), 1);
            space.head = dice.below(3) == 0;
            for _ in 0..dice.below(6) {
                let birth = first + dice.below(epoch - first + 1);
                let death = birth + dice.below(epoch - birth + 1);
                space.cells.set_alive(Epoch(birth), 1 + dice.below(90));
                space.cells.set_dead(Epoch(death), Epoch(birth), 1 + dice.below(90));
            }
            tree.insert(SpaceId(id), space);
            for _ in 0..dice.below(4) {
                let epoch = Epoch(first + dice.below(epoch - first + 1));
                tree.add_name(Point { space: SpaceId(id), epoch });
            }
        }
        tree
    }

    fn picked(tree: &Tree, dice: &mut Dice) -> Removal {
        let mut removal = Removal::default();
        for (id, space) in tree.iter() {
            let names = space.named().filter(|_| dice.below(3) == 0);
            removal.names.extend(names.map(|epoch| Point { space: id, epoch }));
        }
        let heads = tree.iter().filter(|(_, space)| space.head);
        removal.heads.extend(heads.map(|(id, _)| id).filter(|_| dice.below(2) == 0));
        removal
    }

    /// What the whole tree, looked at again and again, says.
    fn everywhere(tree: &Tree, removal: &Removal) -> (u64, Tree) {
        let (mut before, mut after) = (tree.clone(), tree.clone());
        for point in &removal.names {
            after.remove_name(*point);
        }
        for head in &removal.heads {
            after.get_mut(*head).into_iter().for_each(|space| space.head = false);
        }
        let pending = settle_all(&mut before);
        (settle_all(&mut after).saturating_sub(pending), after)
    }

    fn settle_all(tree: &mut Tree) -> u64 {
        let mut freed = 0;
        loop {
            let work = tree.due();
            if work.is_empty() {
                return freed;
            }
            freed += work.into_iter().map(|item| tree.settle(item)).sum::<u64>();
        }
    }

    #[test]
    fn a_prediction_equals_that_of_the_whole_tree_and_changes_nothing() {
        let (mut dice, mut larger) = (Dice(7), 0);
        for round in 0..20_000 {
            let mut tree = random(&mut dice);
            settle_all(&mut tree);
            let removal = picked(&tree, &mut dice);
            let (expected, _) = everywhere(&tree, &removal);
            let before = format!("{tree:?}");
            assert_eq!(tree.predict(BTreeSet::new(), &removal), expected, "{round}: {before}");
            assert!(format!("{tree:?}") == before, "{round}: not taken back");
            larger += u32::from(expected > 0);
        }
        assert!(larger > 2_000, "{larger}");
    }

    #[test]
    fn what_is_due_near_a_change_is_all_that_is_due() {
        let mut dice = Dice(11);
        for round in 0..20_000 {
            let mut tree = random(&mut dice);
            settle_all(&mut tree);
            let removal = picked(&tree, &mut dice);
            for point in &removal.names {
                tree.remove_name(*point);
            }
            for head in &removal.heads {
                tree.get_mut(*head).into_iter().for_each(|space| space.head = false);
            }
            let names = removal.names.iter().map(|point| point.space);
            let changed = names.chain(removal.heads.iter().copied()).collect();
            assert_eq!(tree.due_in(&tree.near(&changed)), tree.due(), "{round}: {tree:?}");
        }
    }

    #[test]
    fn others_cost_nothing() {
        let steps = |others: u64| {
            let mut tree = Tree::default();
            let served = |parent| {
                let mut space = Space::new(parent, Epoch(9), 1);
                space.head = true;
                space
            };
            tree.insert(SpaceId(1), served(None));
            for id in 2..3 + others {
                let parent = Some(Point { space: SpaceId(1), epoch: Epoch(id % 7 + 1) });
                tree.insert(SpaceId(id), served(parent));
            }
            tree.near(&BTreeSet::from([SpaceId(2)])).len()
        };
        assert_eq!((steps(1), steps(20_000)), (1, 1));
    }
}
