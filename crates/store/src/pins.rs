//! Moments that are kept without a name of a user, for as long as somebody needs what they show.
//!
//! Two uses. A comparison keeps both of its moments, so that a live one is one instant: its line is cut, and what it showed
//! then stays while operations and commits go on. And whoever refers to blocks of another line keeps the moment that he
//! took them from, until a commit has taken the new references; so no delete, and no change of the other line, frees a block
//! whose new reference still waits in memory.
//!
//! A pin is a name in the tree and nothing else: no row, so none is left after a crash. What it alone keeps goes when it goes.
//! Predictions leave pins out: they say what a delete frees in the end.

use crate::error::{Result, StoreError};
use crate::moment::View;
use crate::room::Aim;
use crate::store::{Core, MomentRef, Store, moment_point, moment_space};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tintype_history::{Epoch, Key, Point, Removal, SpaceId, visit_touched};

/// The pins of a store; guarded with its core.
#[derive(Default)]
pub(crate) struct Pins {
    held: BTreeMap<u64, Point>,
    /// Kept until the commit with this ticket, or a later one, has ended well.
    owed: Vec<(Point, u64)>,
    last: u64,
}

impl Pins {
    /// Every pinned moment, as often as it is pinned.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.held.values().copied().chain(self.owed.iter().map(|(point, _)| *point))
    }

    /// A space became part of another.
    pub(crate) fn rename(&mut self, upper: SpaceId, lower: SpaceId) {
        let all = self.held.values_mut().chain(self.owed.iter_mut().map(|(point, _)| point));
        for point in all.filter(|point| point.space == upper) {
            point.space = lower;
        }
    }
}

impl Core {
    fn pin(&mut self, point: Point) -> u64 {
        self.history.add_name(point);
        self.pins.last += 1;
        self.pins.held.insert(self.pins.last, point);
        self.pins.last
    }

    fn unpin(&mut self, points: &[Point]) {
        if points.is_empty() {
            return;
        }
        self.history.remove_names(points);
        (self.trim, self.merge_due) = (true, true);
    }

    /// What exactly this removal frees once nothing is pinned or held.
    pub(crate) fn predict(&mut self, removal: &Removal) -> u64 {
        let held = self.catalog.holds.values().flat_map(|hold| hold.points);
        let pinned: Vec<Point> = self.pins.points().chain(held).collect();
        self.history.predict_without(&pinned, removal)
    }
}

/// While it lives, and until a commit has taken what was changed meanwhile, nothing that its moment shows is freed.
pub struct Loan<'s> {
    store: &'s Store,
    pin: u64,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut core = self.store.core();
        // A commit that starts from now on cuts what the borrower changed.
        let until = self.store.started.load(Ordering::SeqCst) + 1;
        let Some(point) = core.pins.held.remove(&self.pin) else { return };
        match core.pins.owed.iter_mut().find(|(owed, _)| *owed == point) {
            Some((_, ticket)) => {
                *ticket = until;
                core.unpin(&[point]);
            }
            None => core.pins.owed.push((point, until)),
        }
    }
}

/// Two moments, each at one instant, that stay as they are while this lives; live ones at the same instant.
pub struct Fixed<'s> {
    store: &'s Store,
    pins: [u64; 2],
    views: [View; 2],
}

impl Fixed<'_> {
    /// The moments.
    #[must_use]
    pub fn views(&self) -> [View; 2] {
        self.views.clone()
    }

    /// Every key that may differ between the two, sorted, each once.
    ///
    /// # Errors
    /// [`StoreError::Unrelated`]: they share no history. The store failed.
    pub fn touched(&self) -> Result<Vec<Key>> {
        let core = self.store.core();
        let point = |pin: u64| core.pins.held.get(&pin).copied().ok_or(StoreError::Unrelated);
        let [a, b] = self.pins;
        core.history.touched(point(a)?, point(b)?)?.ok_or(StoreError::Unrelated)
    }

    /// As [`Fixed::touched`], but told one after the other, unsorted, perhaps several times, and without keeping
    /// commits from going on.
    ///
    /// # Errors
    /// As there.
    pub fn visit_touched(&self, visit: &mut dyn FnMut(Key)) -> Result<()> {
        let core = self.store.core();
        let point = |pin: u64| core.pins.held.get(&pin).copied().ok_or(StoreError::Unrelated);
        let [a, b] = self.pins;
        let parts = core.history.touched_parts(point(a)?, point(b)?);
        let parts = parts.ok_or(StoreError::Unrelated)?;
        // From here on the lists stay where they are.
        let _merges = self.store.shared.merges.read_recursive();
        drop(core);
        Ok(visit_touched(&*self.store.shared.kv, &parts, visit)?)
    }
}

impl Drop for Fixed<'_> {
    fn drop(&mut self) {
        let mut core = self.store.core();
        let points: Vec<Point> =
            self.pins.iter().filter_map(|pin| core.pins.held.remove(pin)).collect();
        core.unpin(&points);
        drop(core);
        self.store.tidy_soon();
    }
}

impl Store {
    /// Keeps everything that `from` shows now, for references to its blocks from another line.
    ///
    /// # Errors
    /// It does not exist.
    pub fn lend(&self, from: MomentRef) -> Result<Loan<'_>> {
        let mut core = self.core();
        let point = moment_point(&core, from)?;
        let pin = core.pin(point);
        Ok(Loan { store: self, pin })
    }

    /// A commit has ended well: what it has taken needs its sources no more.
    pub(crate) fn settle_loans(&self, ticket: u64) {
        let mut core = self.core();
        let (paid, owed) = std::mem::take(&mut core.pins.owed)
            .into_iter()
            .partition(|(_, until)| *until <= ticket);
        core.pins.owed = owed;
        let paid: Vec<(Point, u64)> = paid;
        let points: Vec<Point> = paid.into_iter().map(|(point, _)| point).collect();
        core.unpin(&points);
        drop(core);
        if !points.is_empty() {
            self.tidy_soon();
        }
    }

    /// Keeps two moments as they are now, for a comparison. Everything that reached a line before the call is in it.
    ///
    /// # Errors
    /// One does not exist, or the commit that cuts the lines failed.
    pub fn fix(&self, a: MomentRef, b: MomentRef) -> Result<Fixed<'_>> {
        let guard = self.commit.lock();
        self.shared.check()?;
        let moments = [a, b];
        let sealed = match self.any_line(&moments)? {
            true => {
                let ends = self.plan_ends(&guard, &moments, Aim::Keep)?;
                self.commit_for(&guard, &ends.next, Aim::Keep, |_, _| Ok(()))?;
                ends.sealed
            }
            false => BTreeMap::new(),
        };
        // No commit has come in between, so nothing that the sealed moments show has died.
        let mut core = self.core();
        let points = sealed_points(&core, &sealed, moments)?;
        Ok(self.fixed(&mut core, points))
    }

    /// Pins two points.
    pub(crate) fn fixed(&self, core: &mut Core, points: [Point; 2]) -> Fixed<'_> {
        let view = |point| View::new(self.shared.clone(), core.history.tree().chain(point));
        let views = points.map(view);
        let pins = points.map(|point| core.pin(point));
        Fixed { store: self, pins, views }
    }

    fn any_line(&self, moments: &[MomentRef]) -> Result<bool> {
        let core = self.core();
        for moment in moments {
            moment_point(&core, *moment)?;
        }
        Ok(moments.iter().any(|moment| is_line(&core, *moment)))
    }

    /// How the lines among these moments are cut. The caller holds the commit lock until the commit with this cut has ended.
    pub(crate) fn plan_ends(
        &self,
        _guard: &crate::commit::CommitGuard<'_>,
        moments: &[MomentRef],
        aim: Aim,
    ) -> Result<Ends> {
        // What an earlier cut left waiting for room belongs to epochs before the ones that end now.
        let ready = self.make_ready(aim);
        self.note_room(&ready);
        ready?;
        let mut ends = Ends::default();
        let mut core = self.core();
        for moment in moments {
            let Some(space) = moment_space(&core, *moment)? else { continue };
            let Some(open) = core.history.tree().get(space).map(|found| found.open) else {
                continue;
            };
            if ends.sealed.insert(space, open).is_none() {
                let epoch = core.history.reserve_epoch();
                ends.next.insert(space, epoch);
            }
        }
        Ok(ends)
    }
}

/// A cut of lines, by space.
#[derive(Default)]
pub(crate) struct Ends {
    /// The epochs that end.
    pub(crate) sealed: BTreeMap<SpaceId, Epoch>,
    /// Those that begin.
    pub(crate) next: BTreeMap<SpaceId, Epoch>,
}

/// The points of moments whose lines were cut.
pub(crate) fn sealed_points(
    core: &Core,
    sealed: &BTreeMap<SpaceId, Epoch>,
    [a, b]: [MomentRef; 2],
) -> Result<[Point; 2]> {
    let point = |moment| {
        let open = moment_point(core, moment)?;
        let sealed = sealed.get(&open.space).filter(|_| is_line(core, moment));
        Ok::<_, StoreError>(sealed.map_or(open, |epoch| Point { epoch: *epoch, ..open }))
    };
    Ok([point(a)?, point(b)?])
}

/// Whether a moment is the writable end of a line.
fn is_line(core: &Core, moment: MomentRef) -> bool {
    moment_space(core, moment).is_ok_and(|space| space.is_some())
}
